"""What changes about the machine's devices, addresses and default routes, as the kernel tells it.

The loop watches `fileno()` and calls `read()` when it is ready. Nothing is decided here: a
change is passed on whatever device it is about.
"""

import contextlib
import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from pyroute2.netlink.rtnl import (
    RTM_DELADDR,
    RTM_DELLINK,
    RTM_DELROUTE,
    RTM_NEWADDR,
    RTM_NEWLINK,
    RTM_NEWROUTE,
    RTMGRP_IPV4_IFADDR,
    RTMGRP_IPV4_ROUTE,
    RTMGRP_IPV6_IFADDR,
    RTMGRP_IPV6_ROUTE,
    RTMGRP_LINK,
)
from pyroute2.netlink.rtnl.ifinfmsg import IFF_RUNNING, IFF_UP

from .netlink import read_address
from .rtnetlink import parse

READ_BYTES: Final = 1 << 16
READS_AT_ONCE: Final = 64
READS_TO_EMPTY: Final = 4096  # more than the buffer can hold
BUFFER_BYTES: Final = 1 << 20
SO_RCVBUFFORCE: Final = 33
BOTH: Final = IFF_UP | IFF_RUNNING


@dataclass(frozen=True, slots=True)
class LinkUp:
    """Packets can flow: the device is set up and has carrier."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class LinkDown:
    """Packets cannot flow; `deleted`: the device is not there any more."""

    index: int
    name: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class AddressAdded:
    """A device has an address that sockets can be bound to."""

    index: int
    address: IPv4Address | IPv6Address
    label: str  # eth0:0; empty for IPv6


@dataclass(frozen=True, slots=True)
class AddressRemoved:
    """A device has lost an address."""

    index: int
    address: IPv4Address | IPv6Address
    label: str


@dataclass(frozen=True, slots=True)
class DefaultRouteChanged:
    """A default route has come or gone."""


@dataclass(frozen=True, slots=True)
class ChangesLost:
    """More happened than the kernel kept for us: look at every device anew."""


Change = LinkUp | LinkDown | AddressAdded | AddressRemoved | DefaultRouteChanged | ChangesLost


class Monitor:
    """Hears the kernel's notices, in the namespace where it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        addresses = RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR
        routes = RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE
        self._socket.bind((0, RTMGRP_LINK | addresses | routes))
        # The last change told of each device. Kernels send a link message for any trifle, wireless
        # ones many a second. It cannot outgrow the machine's devices.
        self._told: dict[int, Change] = {}

    def fileno(self) -> int:
        """Return the descriptor, for the loop to watch."""
        return self._socket.fileno()

    def read(self) -> list[Change]:
        """Return what has changed since the last read, in order; bounded, never an exception."""
        changes: list[Change] = []
        for _read in range(READS_AT_ONCE):
            try:
                data, (sender, _groups) = self._socket.recvfrom(READ_BYTES)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS
                return self._start_anew()
            if sender == 0:  # only the kernel is believed
                changes += self.changes_in(data)
        return changes

    def _start_anew(self) -> list[Change]:
        # What still waits is older than what was lost: told after the caller has looked, it would
        # put old news over new.
        with contextlib.suppress(OSError):
            for _read in range(READS_TO_EMPTY):
                self._socket.recv(READ_BYTES)
        self._told.clear()
        return [ChangesLost()]

    def changes_in(self, data: bytes) -> list[Change]:
        """Return the changes that a run of messages tells of; what is no message tells none."""
        changes: list[Change] = []
        try:
            for message in parse(data):
                change = _change_in(message)
                if change is not None and self._is_news(change):
                    changes.append(change)
        except Exception:  # the decoder has no single error for what it cannot read
            return changes
        return changes

    def _is_news(self, change: Change) -> bool:
        if not isinstance(change, LinkUp | LinkDown):
            return True
        before = self._told.pop(change.index, None)
        if not (isinstance(change, LinkDown) and change.deleted):
            self._told[change.index] = change
        return before != change

    def close(self) -> None:
        """Close the socket; twice is harmless."""
        self._socket.close()


def _change_in(message: Any) -> Change | None:
    """Return the change that one message tells of."""
    kind = message["header"]["type"]
    if kind in (RTM_NEWLINK, RTM_DELLINK):
        name = message.get_attr("IFLA_IFNAME")
        if name is None or message["family"] != socket.AF_UNSPEC:
            return None  # a bridge tells of its ports: leaving a bridge is no deletion
        if kind == RTM_DELLINK:
            return LinkDown(message["index"], name, deleted=True)
        up = message["flags"] & BOTH == BOTH
        return (LinkUp if up else LinkDown)(message["index"], name)
    if kind in (RTM_NEWADDR, RTM_DELADDR):
        usable = read_address(message)
        if usable is None:
            return None
        change = AddressAdded if kind == RTM_NEWADDR else AddressRemoved
        return change(message["index"], usable[0].ip, usable[1])
    if kind in (RTM_NEWROUTE, RTM_DELROUTE) and message["dst_len"] == 0:
        return DefaultRouteChanged()
    return None
