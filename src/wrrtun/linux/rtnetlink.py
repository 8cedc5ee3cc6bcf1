"""One request to rtnetlink, one answer; messages are laid out and read by pyroute2.

Only pyroute2's messages are used, not its sockets: those run an event loop of their own, so
inside a running loop the blocking ones raise, and uvloop refuses the others ("invalid family 16").
The kernel answers within the send, so blocking here for 0.1 to 0.4 ms holds nobody up.
"""

import itertools
import os
import socket
from typing import Any, Final

from pyroute2.netlink import (
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
)
from pyroute2.netlink.rtnl.marshal import MarshalRtnl

from .closing import Closing

NLM_F_DUMP_INTR: Final = 0x10  # the list changed while it was read
READ_BYTES: Final = 1 << 16  # the kernel never fills more than 32 KB of it
DUMP_ATTEMPTS: Final = 5
ANSWER_SECONDS: Final = 2.0


class Rtnetlink(Closing):
    """A socket for requests, in the network namespace where it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._socket.settimeout(ANSWER_SECONDS)
        self._marshal = MarshalRtnl()
        self._numbers = itertools.count(1)

    def change(self, kind: int, message: Any, flags: int = 0) -> None:
        """Have the kernel do what the message says; OSError when it does not."""
        self._request(kind, message, NLM_F_ACK | flags)

    def ask(self, kind: int, message: Any) -> Any | None:
        """Return the kernel's answer to one question; OSError when it has none."""
        answers, _whole = self._request(kind, message, NLM_F_ACK)
        return answers[0] if answers else None

    def ask_all(self, kind: int, message: Any) -> list[Any]:
        """Return every message of the asked kind."""
        for _attempt in range(DUMP_ATTEMPTS):
            answers, whole = self._request(kind, message, NLM_F_DUMP)
            if whole:
                break
        return answers

    def _request(self, kind: int, message: Any, flags: int) -> tuple[list[Any], bool]:
        """Send one request; return its answers, and whether they show one moment."""
        number = next(self._numbers) & 0xFFFFFFFF
        message["header"]["type"] = kind
        message["header"]["flags"] = NLM_F_REQUEST | flags
        message["header"]["sequence_number"] = number
        message.reset()
        message.encode()
        self._socket.send(message.data)
        answers: list[Any] = []
        whole = True
        while True:
            data, (sender, _groups) = self._socket.recvfrom(READ_BYTES)
            if sender != 0:  # only the kernel is believed
                continue
            for answer in self._marshal.parse(data):
                header = answer["header"]
                if header["sequence_number"] != number:
                    continue  # the late rest of a request that timed out
                whole = whole and not header["flags"] & NLM_F_DUMP_INTR
                if header["type"] == NLMSG_ERROR:
                    _raise_for(answer)
                if header["type"] in (NLMSG_ERROR, NLMSG_DONE):
                    return answers, whole
                answers.append(answer)

    def close(self) -> None:
        """Close the socket; twice is harmless."""
        self._socket.close()


def _raise_for(answer: Any) -> None:
    """Raise the refusal, in the kernel's own words where it has some; 0 is none."""
    code = abs(answer["error"])
    if code:
        raise OSError(code, answer.get_attr("NLMSGERR_ATTR_MSG") or os.strerror(code))
