"""Tell express frames from bulk by their headers: one look at fixed offsets per header.

Express is what someone waits for and what is small: ARP, neighbour discovery and the rest of
ICMP, DNS, TCP without payload (the ACKs that clock the other direction, SYN), small UDP, whatever
is marked DSCP EF (RFC 3246). Everything else is bulk, and so is what cannot be read to its end:
fragments, unknown extension headers, headers that contradict each other.

Express overtakes bulk. Where that would put a flow's frames out of order (a small datagram of
QUIC's behind large ones), the verdict names the flow, so that flows.py can keep it together. FIN
and RST end what went before them: they are bulk, as the data is.

A super-frame is bulk by what it is; ask about it for its flow.
"""

import struct
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
FRAGMENTED: Final = 0x3FFF  # more fragments, or not the first
FRAGMENT_OFFSET: Final = 0x1FFF  # 0: the first, which has the ports
IPV4_ADDRESSES: Final = 12  # where they start
IPV6_BYTES: Final = 40
IPV6_ADDRESSES: Final = 8
IPV6_FRAGMENT_BYTES: Final = 8
IPV6_FRAGMENT_OFFSET: Final = 0xFFF8
UDP_BYTES: Final = 8
PORTS_BYTES: Final = 4
ICMP_BYTES: Final = 4

ICMP: Final = 1
TCP: Final = 6
UDP: Final = 17
FRAGMENT: Final = 44
AUTHENTICATION: Final = 51
ICMPV6: Final = 58
# Hop-by-hop options, routing, destination options: length in 8 bytes, without the first 8.
OPTIONS: Final = (0, 43, 60)
EXTENSION_HEADERS: Final = (*OPTIONS, FRAGMENT, AUTHENTICATION)
MAX_EXTENSION_HEADERS: Final = 6

# From the EtherType on: EtherType; version and header length, type of service, length, fragment,
# protocol. One look takes half the time of ten at single bytes.
_ETHERTYPE_AND_IPV4: Final = struct.Struct("!HBBH2xHxB")
_IPV6: Final = struct.Struct("!HxxHB")  # version and traffic class; length, next header
_UDP: Final = struct.Struct("!HHH")  # source, target, length
_U16: Final = struct.Struct("!H")

FIN_OR_RST: Final = 0x05

Frame = bytes | bytearray | memoryview
# Addresses and ports (or what stands in their place); EF is a flow of its own, because frames of
# one flow that are marked differently may overtake each other (RFC 7657, 4).
Flow = bytes
Verdict = tuple[bool, Flow | None]  # express?; the flow that its place matters to
EXPRESS: Final[Verdict] = (True, None)
BULK: Final[Verdict] = (False, None)
EF: Final = b"EF"


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


def classify(frame: Frame, offset: int = 0) -> Verdict:
    """Judge the frame whose Ethernet header starts at `offset`; never raises."""
    try:
        start = offset + ETHERNET_BYTES
        fields = _ETHERTYPE_AND_IPV4.unpack_from(frame, start - 2)
        if fields[0] in VLAN_TAGS:
            start = network_offset(frame, offset)
            fields = _ETHERTYPE_AND_IPV4.unpack_from(frame, start - 2)
        ethertype, first, tos, length, fragment, protocol = fields
        if ethertype == IPV6:
            return _classify_ipv6(frame, start)
        if ethertype != IPV4:
            return EXPRESS if ethertype == ARP and start + ARP_BYTES <= len(frame) else BULK
        # The end by the header, not by the frame: Ethernet pads an ACK of 54 bytes to 60.
        end = start + length
        payload = start + (first & 15) * 4
        if first >> 4 != 4 or first & 15 < 5 or not payload <= end <= len(frame):
            return BULK
        if fragment & FRAGMENTED:
            if fragment & FRAGMENT_OFFSET or protocol != UDP:
                return BULK
            return False, _flow(frame, start + IPV4_ADDRESSES, start + IPV4_BYTES, payload)
        if tos >> 2 == DSCP_EF:
            return True, _flow(frame, start + IPV4_ADDRESSES, start + IPV4_BYTES, payload) + EF
        if protocol != UDP:
            return _classify_others(frame, protocol, payload, end)
        flow = _flow(frame, start + IPV4_ADDRESSES, start + IPV4_BYTES, payload)
        return _is_express_udp(frame, payload, end), flow
    except (IndexError, struct.error):
        return BULK


def _classify_ipv6(frame: Frame, start: int) -> Verdict:
    # A length of 0 is a jumbogram (RFC 2675) or a kernel's super-frame: its end is not in here,
    # so no transport header fits and it is bulk.
    first, length, protocol = _IPV6.unpack_from(frame, start)
    after = payload = start + IPV6_BYTES
    end: int = payload + length
    if first >> 12 != 6 or end > len(frame):
        return BULK
    if protocol in EXTENSION_HEADERS:
        for _ in range(MAX_EXTENSION_HEADERS):
            if protocol in OPTIONS:
                protocol, payload = frame[payload], payload + (frame[payload + 1] + 1) * 8
            elif protocol == AUTHENTICATION:
                protocol, payload = frame[payload], payload + (frame[payload + 1] + 2) * 4
        if protocol == FRAGMENT and frame[payload] == UDP:
            if _U16.unpack_from(frame, payload + 2)[0] & IPV6_FRAGMENT_OFFSET:
                return BULK
            return False, _flow(frame, start + IPV6_ADDRESSES, after, payload + IPV6_FRAGMENT_BYTES)
        if payload > end or protocol in EXTENSION_HEADERS:
            return BULK
    if first >> 6 & 63 == DSCP_EF:
        if end == after:
            return BULK
        return True, _flow(frame, start + IPV6_ADDRESSES, after, payload) + EF
    if protocol != UDP:
        return _classify_others(frame, protocol, payload, end)
    flow = _flow(frame, start + IPV6_ADDRESSES, after, payload)
    return _is_express_udp(frame, payload, end), flow


def _is_express_udp(frame: Frame, start: int, end: int) -> bool:
    source, target, length = _UDP.unpack_from(frame, start)
    if length < UDP_BYTES or start + length > end:
        return False
    return length <= UDP_BYTES + SMALL_UDP_BYTES or DNS_PORT in (source, target)


def _classify_others(frame: Frame, protocol: int, start: int, end: int) -> Verdict:
    if protocol == TCP:
        header_bytes = (frame[start + 12] >> 4) * 4
        if header_bytes < 20 or start + header_bytes != end or frame[start + 13] & FIN_OR_RST:
            return BULK
        return EXPRESS
    return EXPRESS if protocol in (ICMP, ICMPV6) and start + ICMP_BYTES <= end else BULK


def _flow(frame: Frame, addresses: int, end: int, ports: int) -> Flow:
    if ports == end:
        return bytes(frame[addresses : end + PORTS_BYTES])
    return bytes(frame[addresses:end]) + bytes(frame[ports : ports + PORTS_BYTES])
