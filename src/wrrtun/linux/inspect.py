"""Look at this machine and its lines without changing anything: for `wrrtun doctor`.

What a question needs and may not do here (a raw socket without root) is answered with None.
"""

import contextlib
import errno
import os
import socket
import struct
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Final

from pyroute2.netlink.rtnl import RTM_GETNEIGH, RTM_GETROUTE
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from .batch_socket import BUFFER_BYTES, SO_RCVBUFFORCE
from .netlink import FAMILIES
from .paths import Address
from .route_messages import device_name
from .rtnetlink import Rtnetlink

CAP_NET_ADMIN: Final = 12
TUN: Final = Path("/dev/net/tun")
RESOLVERS: Final = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
NUD_FAILED: Final = 0x20
NUD_INCOMPLETE: Final = 0x01
IP_MTU_DISCOVER: Final = 10
IP_PMTUDISC_PROBE: Final = 3  # don't fragment, and never mind what ICMP said before
IPV6_MTU_DISCOVER: Final = 23
IP_RECVERR: Final = 11
ECHO: Final = {4: (8, 0), 6: (128, 129)}  # request and reply
ICMP: Final = {4: socket.IPPROTO_ICMP, 6: socket.IPPROTO_ICMPV6}
IP_BYTES: Final = {4: 20, 6: 40}
ICMP_BYTES: Final = 8
NTP_BYTES: Final = 48
NTP_TIME: Final = struct.Struct("!II")
NTP_TO_UNIX: Final = 2_208_988_800  # seconds from 1900 to 1970
MAX_PACKET_BYTES: Final = 65_535


@dataclass(frozen=True)
class Place:
    """Where a line's packets leave: through a device, from an address, with a mark."""

    device: str | None
    source: Address | None
    mark: int = 0

    def attach(self, one: socket.socket) -> None:
        """Have a socket use this line; OSError when that cannot be."""
        if self.mark:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, self.mark)
        if self.device is not None:
            name = self.device.encode() + b"\0"
            one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
        if self.source is not None:
            one.bind((str(self.source), 0))


def may_administer() -> bool:
    """Tell whether this process has CAP_NET_ADMIN."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> CAP_NET_ADMIN & 1)
    return False


def tun_trouble() -> str | None:
    """Say why /dev/net/tun cannot be opened; None when it can."""
    try:
        os.close(os.open(TUN, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return error.strerror or str(error)
    return None


def setting(name: str) -> str | None:
    """Read a setting below /proc/sys/net; None when there is none."""
    try:
        return Path("/proc/sys/net", name).read_text().strip()
    except OSError:
        return None


def port_trouble(address: Address | None, port: int) -> str | None:
    """Say why a UDP port cannot be taken; None when it can."""
    family = socket.AF_INET if address is None or address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as one:
        try:
            one.bind(("" if address is None else str(address), port))
        except OSError as error:
            return error.strerror
    return None


def granted_buffer_bytes() -> int:
    """Return how much a socket may hold that is made as the daemons make theirs."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            one.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        except OSError:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel doubles it


def name_servers() -> list[Address]:
    """Return whom this machine asks for names; behind systemd-resolved, whom that asks."""
    found: list[Address] = []
    for path in RESOLVERS:
        with contextlib.suppress(OSError):
            for line in path.read_text(errors="replace").splitlines():
                words = line.split()
                if words[:1] == ["nameserver"] and len(words) > 1:
                    with contextlib.suppress(ValueError):
                        found.append(ip_address(words[1].partition("%")[0]))
    return list(dict.fromkeys(address for address in found if not address.is_loopback))


def clock_offset(server: str, timeout_seconds: float) -> float | None:
    """Return by how many seconds our clock is ahead of an NTP server's; None without an answer.

    SNTP (RFC 4330), good to a fraction of a second.
    """
    try:
        (family, kind, protocol, _name, address), *_ = socket.getaddrinfo(
            server, 123, type=socket.SOCK_DGRAM
        )
        with socket.socket(family, kind, protocol) as one:
            one.settimeout(timeout_seconds)
            one.connect(address)
            one.send(b"\x23" + bytes(NTP_BYTES - 1))  # version 4, client
            answer = one.recv(NTP_BYTES)
    except OSError:
        return None
    if len(answer) < NTP_BYTES or answer[0] & 7 != 4 or answer[1] == 0:
        return None
    seconds, fraction = NTP_TIME.unpack_from(answer, 40)
    theirs: float = seconds - NTP_TO_UNIX + fraction / 2**32
    return time.time() - theirs


def device_towards(destination: Address, mark: int = 0) -> str | None:
    """Name the device of the machine's own route to a destination; None without one."""
    question = rtmsg()
    question["family"] = FAMILIES[destination.version]
    question["dst_len"] = destination.max_prefixlen
    question["attrs"] = [("RTA_DST", str(destination)), ("RTA_MARK", mark)]
    with Rtnetlink() as kernel:
        try:
            route = kernel.ask(RTM_GETROUTE, question)
        except OSError:
            return None
    return None if route is None else device_name(route.get_attr("RTA_OIF") or 0)


def is_silent_neighbour(device: str, address: Address) -> bool:
    """Tell whether a neighbour was looked for of late and has not answered (ARP, ND)."""
    question = ndmsg()
    question["family"] = FAMILIES[address.version]
    with Rtnetlink() as kernel:
        for message in kernel.ask_all(RTM_GETNEIGH, question):
            if message.get_attr("NDA_DST") == str(address):
                silent = bool(message["state"] & (NUD_FAILED | NUD_INCOMPLETE))
                if device_name(message["ifindex"]) == device:
                    return silent
    return False


def is_refused(place: Place, destination: Address, port: int, timeout_seconds: float) -> bool:
    """Tell whether UDP gets there and nothing listens at that port (ICMP says so)."""
    with socket.socket(FAMILIES[destination.version], socket.SOCK_DGRAM) as one:
        one.settimeout(timeout_seconds)
        try:
            place.attach(one)
            one.connect((str(destination), port))
            one.send(b"\0")
            one.recv(1)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def answers_tcp(place: Place, destination: Address, port: int, timeout_seconds: float) -> bool:
    """Tell whether TCP reaches the machine: a connection or its refusal, both prove it."""
    with socket.socket(FAMILIES[destination.version], socket.SOCK_STREAM) as one:
        one.settimeout(timeout_seconds)
        try:
            place.attach(one)
            one.connect((str(destination), port))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return True


def answers_ping(
    place: Place, destination: Address, packet_bytes: int, timeout_seconds: float
) -> bool | None:
    """Tell whether an unfragmented echo of that size, IP header and all, comes back.

    None: this process may not send one.
    """
    version = destination.version
    request, reply = ECHO[version]
    try:
        one = socket.socket(FAMILIES[version], socket.SOCK_RAW, ICMP[version])
    except PermissionError:
        return None
    identity = os.getpid() & 0xFFFF
    payload = bytes(max(0, packet_bytes - IP_BYTES[version] - ICMP_BYTES))
    with one:
        try:
            place.attach(one)
            if version == 4:
                one.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
            else:
                one.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE)
            one.connect((str(destination), 0))
            one.send(_echo(request, identity, payload))
            give_up_at = time.monotonic() + timeout_seconds
            while (left := give_up_at - time.monotonic()) > 0:
                one.settimeout(left)
                packet = one.recv(MAX_PACKET_BYTES)
                icmp = packet[(packet[0] & 15) * 4 :] if version == 4 else packet
                if icmp[0] == reply and icmp[4:6] == identity.to_bytes(2):
                    return True
        except OSError as error:
            if error.errno == errno.EPERM:
                return None
            return False
    return False


def _echo(kind: int, identity: int, payload: bytes) -> bytes:
    """Make an echo request; for ICMPv6 the kernel fills the checksum in."""
    packet = struct.pack("!BBHHH", kind, 0, 0, identity, 1) + payload
    even = packet + bytes(len(packet) % 2)
    total: int = sum(struct.unpack(f"!{len(even) // 2}H", even))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return packet[:2] + (~total & 0xFFFF).to_bytes(2) + packet[4:]


def hops(place: Place, destination: Address, count: int, timeout_seconds: float) -> list[Address]:
    """Return the first routers on the way that make themselves known (IPv4 only)."""
    found: list[Address] = []
    if destination.version != 4:
        return found
    for ttl in range(1, count + 1):
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
            one.settimeout(timeout_seconds)
            place.attach(one)
            one.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            one.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            one.connect((str(destination), 33434 + ttl))
            one.send(b"\0")
            with contextlib.suppress(OSError):
                one.recv(1)  # the error wakes it
            router = _offender(one)
            if router is not None:
                found.append(router)
    return found


def _offender(one: socket.socket) -> Address | None:
    """Read from the error queue who sent the ICMP error: sock_extended_err, then its address."""

    _data, ancillary, _flags, _name = one.recvmsg(1, 512, socket.MSG_ERRQUEUE)
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IP and kind == IP_RECVERR and len(data) >= 24:
            return IPv4Address(data[20:24])
    return None
