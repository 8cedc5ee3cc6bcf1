"""Where the headers of an Ethernet frame lie: enough parsing to cut, join and checksum it.

Offsets are in bytes from the start of the frame. Only frames whose transport header follows IPv4
or a plain IPv6 header (RFC 8200, no extension headers) are told; others are carried whole.
"""

import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Final, NamedTuple

ETHERNET_BYTES: Final = 14
VLAN_BYTES: Final = 4

ETHERTYPE_IPV4: Final = 0x0800
ETHERTYPE_IPV6: Final = 0x86DD
ETHERTYPES_VLAN: Final = (0x8100, 0x88A8)

TCP: Final = 6
UDP: Final = 17

Buffer = bytes | bytearray | memoryview


class Headers(NamedTuple):
    """The offsets of one TCP or UDP frame."""

    network: int
    transport: int
    payload: int
    protocol: int
    ipv6: bool

    @property
    def checksum_offset(self) -> int:
        """Offset of the checksum inside the transport header (RFC 9293, 3.1; RFC 768)."""
        return 16 if self.protocol == TCP else 6


# EtherType, IPv4 version and header length; flags and fragment offset; protocol.
_USUAL: Final = struct.Struct("!HBx4xHxB")
_USUAL_TCP: Final = {
    payload: Headers(14, 34, payload, TCP, False) for payload in range(54, 34 + 61, 4)
}


def locate(frame: Buffer) -> Headers | None:
    """Find the headers of an unfragmented TCP or UDP frame; None for everything else."""
    size = len(frame)
    if size < ETHERNET_BYTES + 20:
        return None
    if size >= 54:  # what nearly all frames are, at a third of the cost of what follows
        ethertype, version, fragment, protocol = _USUAL.unpack_from(frame, 12)
        if (
            ethertype == ETHERTYPE_IPV4
            and version == 0x45
            and protocol == TCP
            and not fragment & 0x3FFF
        ):
            payload = 34 + (frame[46] >> 4) * 4
            return _USUAL_TCP.get(payload) if payload <= size else None
    network = ETHERNET_BYTES
    ethertype = frame[12] << 8 | frame[13]
    while ethertype in ETHERTYPES_VLAN and network <= ETHERNET_BYTES + VLAN_BYTES:
        ethertype = frame[network + 2] << 8 | frame[network + 3]
        network += VLAN_BYTES
    if ethertype == ETHERTYPE_IPV4:
        if network + 20 > size or frame[network] >> 4 != 4:
            return None
        if (frame[network + 6] << 8 | frame[network + 7]) & 0x3FFF:  # more fragments, or an offset
            return None
        transport = network + (frame[network] & 0x0F) * 4
        protocol = frame[network + 9]
        ipv6 = False
    elif ethertype == ETHERTYPE_IPV6:
        if network + 40 > size or frame[network] >> 4 != 6:
            return None
        transport = network + 40
        protocol = frame[network + 6]
        ipv6 = True
    else:
        return None
    if transport < network + 20:
        return None
    if protocol == TCP and transport + 20 <= size:
        payload = transport + (frame[transport + 12] >> 4) * 4
        if transport + 20 <= payload <= size:
            return Headers(network, transport, payload, protocol, ipv6)
    elif protocol == UDP and transport + 8 <= size:
        return Headers(network, transport, transport + 8, protocol, ipv6)
    return None


# What decides where headers lie: EtherType, version and length; IPv4's fragments and protocol, or
# IPv6's; and how long TCP's header is.
_LOOKS: Final = {
    (14, 34, False): (itemgetter(12, 13, 14, 20, 21, 23, 46), itemgetter(12, 13, 14, 20, 21, 23)),
    (14, 54, True): (itemgetter(12, 13, 14, 20, 66), itemgetter(12, 13, 14, 20)),
}


def alike(frames: Sequence[Buffer], headers: Headers) -> bool:
    """Tell quickly whether headers lie in all frames where they do in the first; False: perhaps."""
    looks = _LOOKS.get((headers.network, headers.transport, headers.ipv6))
    if looks is None or len(frames[-1]) < headers.payload:
        return False
    look = looks[headers.protocol != TCP]
    return [*map(look, frames)].count(look(frames[0])) == len(frames)


def ones_complement(total: int) -> int:
    """Return a sum or difference of 16-bit words in 16 bits (RFC 1071), zero written as 0xFFFF.

    2**16 is 1 modulo 2**16 - 1, so it is the number itself modulo 65 535.
    """
    return total % 0xFFFF or 0xFFFF


def sum_words(data: Buffer) -> int:
    """Sum `data` as big-endian 16-bit words, folded; an odd last byte counts as the upper half."""
    if len(data) % 2:
        data = bytes(data) + b"\0"
    number = int.from_bytes(data, "big")
    return ones_complement(number) if number else 0


def complete_checksum(frame: bytearray, start: int, offset: int) -> None:
    """Finish a partial checksum: sum everything from `start` and store it `offset` bytes on."""
    checksum = ~sum_words(memoryview(frame)[start:]) & 0xFFFF
    frame[start + offset : start + offset + 2] = (checksum or 0xFFFF).to_bytes(2, "big")
