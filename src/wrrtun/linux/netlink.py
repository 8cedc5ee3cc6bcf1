"""Network devices: find them, set up the TAP.

Every call is one or two requests to the kernel, done when it returns. Devices are named, not
numbered: a number means another device after the first one was deleted and made again.
"""

import socket
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Any, Final

from pyroute2.netlink import NLM_F_CREATE, NLM_F_REPLACE
from pyroute2.netlink.rtnl import (
    RTM_GETADDR,
    RTM_GETLINK,
    RTM_NEWADDR,
    RTM_NEWLINK,
)
from pyroute2.netlink.rtnl.ifaddrmsg import (
    IFA_F_DADFAILED,
    IFA_F_NODAD,
    IFA_F_TENTATIVE,
    ifaddrmsg,
)
from pyroute2.netlink.rtnl.ifinfmsg import IFF_RUNNING, IFF_UP, ifinfmsg

from wrrtun.core.errors import ConfigError

from .closing import Closing
from .paths import Address
from .rtnetlink import Rtnetlink

Interface = IPv4Interface | IPv6Interface

FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
UNUSABLE: Final = IFA_F_TENTATIVE | IFA_F_DADFAILED  # duplicate address detection, RFC 4862 5.4


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """A network device at one moment.

    `up` is the operator's will, `carrier` what the wire says; packets flow with both. `addresses`
    are those that a socket can be bound to, in the kernel's order.
    """

    index: int
    name: str
    mtu: int
    up: bool
    carrier: bool
    addresses: tuple[Interface, ...]


def read_address(message: Any) -> tuple[Interface, str] | None:
    """Return address and label (empty for IPv6) of an address message; None when unusable."""
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    flags = message.get_attr("IFA_FLAGS") or message["flags"]
    if text is None or flags & UNUSABLE:
        return None
    return ip_interface((text, message["prefixlen"])), message.get_attr("IFA_LABEL") or ""


class Netlink(Closing):
    """Asks and tells the kernel about devices, in the namespace where it was opened.

    What cannot be done is a ConfigError in one sentence.
    """

    def __init__(self) -> None:
        self._kernel = Rtnetlink()

    def find_link(self, name: str) -> LinkInfo | None:
        """Find a device by its name, or by an alias label such as eth0:0.

        A label stands for its device with only the label's addresses. None when there is none.
        """
        device, _, label = name.partition(":")
        found = self._get_link(ifname=device)
        if found is None or not label:
            return found
        addresses = self._addresses(found.index, label=name)
        if not addresses:
            return None
        return LinkInfo(found.index, device, found.mtu, found.up, found.carrier, addresses)

    def find_address(self, address: Address) -> LinkInfo | None:
        """Find the device that has this address; None when there is none."""
        for message in self._kernel.ask_all(RTM_GETADDR, ifaddrmsg()):
            usable = read_address(message)
            if usable is not None and usable[0].ip == address:
                return self._get_link(index=message["index"])
        return None

    def _get_link(self, ifname: str | None = None, index: int = 0) -> LinkInfo | None:
        question = ifinfmsg()
        question["index"] = index
        question["attrs"] = [("IFLA_IFNAME", ifname)] if ifname is not None else []
        try:
            message = self._kernel.ask(RTM_GETLINK, question)
        except OSError:  # ENODEV; EINVAL and ERANGE for what cannot be a name
            return None
        if message is None:
            return None
        return LinkInfo(
            index=message["index"],
            name=message.get_attr("IFLA_IFNAME"),
            mtu=message.get_attr("IFLA_MTU"),
            up=bool(message["flags"] & IFF_UP),
            carrier=bool(message["flags"] & IFF_RUNNING),
            addresses=self._addresses(message["index"]),
        )

    def _addresses(self, index: int, label: str | None = None) -> tuple[Interface, ...]:
        return tuple(
            usable[0]
            for message in self._kernel.ask_all(RTM_GETADDR, ifaddrmsg())
            if message["index"] == index
            and (usable := read_address(message)) is not None
            and label in (None, usable[1])
        )

    def add_address(self, device: str, address: Interface) -> None:
        """Give a device an address and its network; having it already is no error."""
        link = self._must_find(device)
        message = ifaddrmsg()
        message["family"] = FAMILIES[address.version]
        message["prefixlen"] = address.network.prefixlen
        message["index"] = link.index
        message["attrs"] = [("IFA_LOCAL", str(address.ip)), ("IFA_ADDRESS", str(address.ip))]
        if address.version == 6:
            # Behind a tunnel that is not up yet nobody could object, and the seconds of asking
            # would be seconds without the address.
            message["attrs"].append(("IFA_FLAGS", IFA_F_NODAD))
        try:
            self._kernel.change(RTM_NEWADDR, message, NLM_F_CREATE | NLM_F_REPLACE)
        except OSError as error:
            raise ConfigError(
                f"cannot give {device} the address {address}: {error.strerror}"
            ) from error

    def set_mtu(self, device: str, mtu_bytes: int) -> None:
        """Set the MTU: bytes of an Ethernet frame's payload."""
        self._set(device, f"the MTU {mtu_bytes}", ("IFLA_MTU", mtu_bytes))

    def set_mac(self, device: str, mac: str) -> None:
        """Set the Ethernet address, as 02:00:00:00:00:01."""
        self._set(device, f"the MAC address {mac}", ("IFLA_ADDRESS", mac))

    def set_queue(self, device: str, frames: int) -> None:
        """Set how many frames (or super-frames) wait for a reader of the device."""
        self._set(device, f"a queue of {frames}", ("IFLA_TXQLEN", frames))

    def set_super_frames(self, device: str, size_bytes: int, segments: int) -> None:
        """Bound the super-frames that a device is handed, and those that it hands on.

        Kernels too old for one of the bounds (GRO: 5.19) ignore it.
        """
        self._set(
            device,
            f"super-frames of {size_bytes} bytes and {segments} segments",
            ("IFLA_GSO_MAX_SIZE", size_bytes),
            ("IFLA_GSO_MAX_SEGS", segments),
            ("IFLA_GRO_MAX_SIZE", size_bytes),
        )

    def set_bridge(self, device: str, bridge: str) -> None:
        """Make a device a port of a bridge."""
        master = self._must_find(bridge)
        self._set(device, f"a place in the bridge {bridge}", ("IFLA_MASTER", master.index))

    def set_up(self, device: str) -> None:
        """Set a device up."""
        message = ifinfmsg()
        message["flags"] = message["change"] = IFF_UP
        message["attrs"] = [("IFLA_IFNAME", device)]
        try:
            self._kernel.change(RTM_NEWLINK, message)
        except OSError as error:
            raise ConfigError(f"cannot set {device} up: {error.strerror}") from error

    def _set(self, device: str, what: str, *attributes: tuple[str, Any]) -> None:
        message = ifinfmsg()
        message["attrs"] = [("IFLA_IFNAME", device), *attributes]
        try:
            self._kernel.change(RTM_NEWLINK, message)
        except OSError as error:
            raise ConfigError(f"cannot give {device} {what}: {error.strerror}") from error

    def _must_find(self, device: str) -> LinkInfo:
        found = self._get_link(ifname=device)
        if found is None:
            raise ConfigError(f"there is no network interface {device}")
        return found

    def close(self) -> None:
        """Close the socket to the kernel; twice is harmless."""
        self._kernel.close()
