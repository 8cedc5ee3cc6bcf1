"""Tell express frames from bulk by their headers: index arithmetic only, no object is made.

Express is what someone waits for and what is small: ARP, neighbour discovery and the rest of
ICMP, DNS, TCP without payload (the ACKs that clock the other direction, SYN, FIN, RST), small
UDP, whatever is marked DSCP EF (RFC 3246). Everything else is bulk, and so is what cannot be
read to its end: fragments, unknown extension headers, headers that contradict each other.

Ask about single frames. A super-frame is bulk by what it is.
"""

from typing import Final

# Voice at 64 kbit/s in 20 ms packets is 172 bytes; games, NTP and QUIC acknowledgements are
# smaller still. A video call's pictures are larger: they are bulk.
SMALL_UDP_BYTES: Final = 300

DSCP_EF: Final = 46
DNS_PORT: Final = 53

IPV4: Final = 0x0800
IPV6: Final = 0x86DD
ARP: Final = 0x0806
VLAN_TAGS: Final = (0x8100, 0x88A8)  # 802.1Q, 802.1ad
MAX_VLAN_TAGS: Final = 2

ETHERNET_BYTES: Final = 14
VLAN_TAG_BYTES: Final = 4
ARP_BYTES: Final = 28
IPV4_BYTES: Final = 20
IPV6_BYTES: Final = 40
UDP_BYTES: Final = 8
ICMP_BYTES: Final = 4

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
FRAGMENT: Final = 44
AUTHENTICATION: Final = 51
ICMPV6: Final = 58
# Hop-by-hop options, routing, destination options: length in 8 bytes, without the first 8.
OPTIONS: Final = (0, 43, 60)
MAX_EXTENSION_HEADERS: Final = 6

Frame = bytes | bytearray | memoryview


def network_offset(frame: Frame, offset: int = 0) -> int:
    """Find where the network header starts; its EtherType is the two bytes before.

    `offset` is where the Ethernet header starts. Raises IndexError when the frame ends sooner.
    """
    offset += ETHERNET_BYTES
    for _ in range(MAX_VLAN_TAGS):
        if frame[offset - 2] << 8 | frame[offset - 1] not in VLAN_TAGS:
            break
        offset += VLAN_TAG_BYTES
    return offset


def is_express(frame: Frame, offset: int = 0) -> bool:
    """Tell whether the frame whose Ethernet header starts at `offset` is express; never raises."""
    try:
        start = network_offset(frame, offset)
        ethertype = frame[start - 2] << 8 | frame[start - 1]
        if ethertype == IPV4:
            return _is_express_ipv4(frame, start)
        if ethertype == IPV6:
            return _is_express_ipv6(frame, start)
        return ethertype == ARP and start + ARP_BYTES <= len(frame)
    except IndexError:
        return False


def _is_express_ipv4(frame: Frame, start: int) -> bool:
    first = frame[start]
    # The end by the header, not by the frame: Ethernet pads an ACK of 54 bytes to 60.
    end = start + (frame[start + 2] << 8 | frame[start + 3])
    payload = start + (first & 15) * 4
    if first >> 4 != 4 or first & 15 < 5 or not payload <= end <= len(frame):
        return False
    if frame[start + 6] & 0x3F or frame[start + 7]:  # more fragments, or not the first
        return False
    if frame[start + 1] >> 2 == DSCP_EF:
        return True
    protocol = frame[start + 9]
    if protocol == ICMP:
        return payload + ICMP_BYTES <= end
    return _is_express_transport(frame, protocol, payload, end)


def _is_express_ipv6(frame: Frame, start: int) -> bool:
    # A length of 0 is a jumbogram (RFC 2675) or a kernel's super-frame: its end is not in here,
    # so no transport header fits and it is bulk.
    payload = start + IPV6_BYTES
    end = payload + (frame[start + 4] << 8 | frame[start + 5])
    if frame[start] >> 4 != 6 or end > len(frame):
        return False
    protocol = frame[start + 6]
    for _ in range(MAX_EXTENSION_HEADERS):
        if protocol in OPTIONS:
            protocol, payload = frame[payload], payload + (frame[payload + 1] + 1) * 8
        elif protocol == AUTHENTICATION:
            protocol, payload = frame[payload], payload + (frame[payload + 1] + 2) * 4
        else:
            break
    if payload > end:
        return False
    if (frame[start] & 15) << 2 | frame[start + 1] >> 6 == DSCP_EF:
        return protocol != FRAGMENT and end > start + IPV6_BYTES
    if protocol == ICMPV6:
        return payload + ICMP_BYTES <= end
    return _is_express_transport(frame, protocol, payload, end)


def _is_express_transport(frame: Frame, protocol: int, start: int, end: int) -> bool:
    if protocol == TCP:
        header_bytes = (frame[start + 12] >> 4) * 4
        return header_bytes >= 20 and start + header_bytes == end
    if protocol == UDP:
        length = frame[start + 4] << 8 | frame[start + 5]
        if length < UDP_BYTES or start + length > end:
            return False
        if length - UDP_BYTES <= SMALL_UDP_BYTES:
            return True
        source = frame[start] << 8 | frame[start + 1]
        target = frame[start + 2] << 8 | frame[start + 3]
        return DNS_PORT in (source, target)
    return False
