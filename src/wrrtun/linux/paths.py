"""Where a datagram came from and which of our addresses it was sent to.

On a socket of both families IPv4 shows as ::ffff:a.b.c.d. Cookies, limits and people see the
IPv4 address instead, so that a sender is the same one whichever kind of socket heard it.
"""

import ipaddress
import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

Address = IPv4Address | IPv6Address
SocketAddress = tuple[Any, ...]  # (host, port), or (host, port, flow, scope) for IPv6

_PORT = struct.Struct("!H")


class Path(NamedTuple):
    """The two ends of what a server hears: hashable, compared by value, nothing to keep open."""

    remote: SocketAddress
    local: bytes  # packed; empty when the kernel did not tell


def unmapped(address: Address) -> Address:
    """Return the IPv4 address behind ::ffff:a.b.c.d, any other address as it is."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def path_bytes(path: Path) -> bytes:
    """Return the remote address and port as 6 bytes (IPv4) or 18: what a cookie is bound to."""
    host, port = path.remote[:2]
    return unmapped(ipaddress.ip_address(host)).packed + _PORT.pack(port)


def path_text(path: Path) -> str:
    """Return the remote end for people: 192.0.2.1:4000, [2001:db8::1]:4000."""
    return socket_address_text(path.remote)


def path_local_text(path: Path) -> str:
    """Return the address that was asked on, for people; empty when unknown."""
    return str(unmapped(ipaddress.ip_address(path.local))) if path.local else ""


def socket_address_text(address: SocketAddress) -> str:
    """Return an address as the socket module gives it, for people."""
    host = unmapped(ipaddress.ip_address(address[0]))
    return f"[{host}]:{address[1]}" if host.version == 6 else f"{host}:{address[1]}"
