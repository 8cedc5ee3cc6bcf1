"""One request to rtnetlink, one answer; messages are laid out and read by pyroute2.

Only pyroute2's messages are used, not its sockets: those run an event loop of their own, so
inside a running loop the blocking ones raise, and uvloop refuses the others ("invalid family 16").
The kernel answers within the send, so blocking here for 0.1 to 0.4 ms holds nobody up.
"""

import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

from pyroute2.netlink import (
    NETLINK_EXT_ACK,
    NLM_F_ACK,
    NLM_F_DUMP,
    NLM_F_REQUEST,
    NLMSG_DONE,
    NLMSG_ERROR,
    SOL_NETLINK,
    nlmsg,
    nlmsgerr,
)
from pyroute2.netlink.exceptions import NetlinkDecodeError
from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWNEIGH,
    RTM_NEWROUTE,
    RTM_NEWRULE,
)
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from .closing import Closing

NLM_F_DUMP_INTR: Final = 0x10  # the list changed while it was read
READ_BYTES: Final = 1 << 16  # the kernel never fills more than 32 KB of it
DUMP_ATTEMPTS: Final = 5
ANSWER_SECONDS: Final = 2.0
HEADER: Final = struct.Struct("=IHHII")  # length, type, flags, number, port
# pyroute2's own reader knows all there are, and keeps 2 MB for it.
MESSAGES: Final = {
    RTM_NEWLINK: ifinfmsg,
    RTM_DELLINK: ifinfmsg,
    RTM_NEWADDR: ifaddrmsg,
    RTM_DELADDR: ifaddrmsg,
    RTM_NEWROUTE: rtmsg,
    RTM_DELROUTE: rtmsg,
    RTM_NEWRULE: fibmsg,
    RTM_NEWNEIGH: ndmsg,
    NLMSG_ERROR: nlmsgerr,
}


def parse(data: bytes) -> Iterator[Any]:
    """Read messages laid end to end; what is not known or not understood has only its header."""
    start = 0
    while start + HEADER.size <= len(data):
        length, kind, *_rest = HEADER.unpack_from(data, start)
        if not HEADER.size <= length <= len(data) - start:
            return
        message = MESSAGES.get(kind, nlmsg)(data[start : start + length])
        with contextlib.suppress(NetlinkDecodeError):
            message.decode()
        yield message
        start += length + 3 & ~3


class Rtnetlink(Closing):
    """A socket for requests, in the network namespace where it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.setsockopt(SOL_NETLINK, NETLINK_EXT_ACK, 1)
        self._socket.bind((0, 0))
        self._socket.settimeout(ANSWER_SECONDS)
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
            for answer in parse(data):
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
