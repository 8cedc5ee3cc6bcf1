import struct
from collections.abc import Callable
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.classify import Flow, Frame, classify, network_offset

MACS = bytes(12)


def is_express(frame: Frame, offset: int = 0) -> bool:
    return classify(frame, offset)[0]


def flow_of(frame: Frame, offset: int = 0) -> Flow | None:
    return classify(frame, offset)[1]


HOST4 = ip_address("192.0.2.1").packed
HOST6 = ip_address("2001:db8::1").packed


def ethernet(ethertype: int, payload: bytes, tags: bytes = b"") -> bytes:
    frame = MACS + tags + struct.pack("!H", ethertype) + payload
    return frame.ljust(60, b"\0")  # what the wire pads short frames to


def ipv4(
    protocol: int, payload: bytes, *, tos: int = 0, fragment: int = 0x4000, options: bytes = b""
) -> bytes:
    first = 0x45 + len(options) // 4
    length = 20 + len(options) + len(payload)
    header = struct.pack("!BBHHHBBH", first, tos, length, 7, fragment, 64, protocol, 0)
    return ethernet(0x0800, header + HOST4 + HOST4 + options + payload)


def ipv6(protocol: int, payload: bytes, *, traffic_class: int = 0) -> bytes:
    header = struct.pack("!IHBB", 6 << 28 | traffic_class << 20, len(payload), protocol, 64)
    return ethernet(0x86DD, header + HOST6 + HOST6 + payload)


def tcp(payload: bytes = b"", *, flags: int = 0x10, options: bytes = b"") -> bytes:
    header_words = 5 + len(options) // 4
    header = struct.pack("!HHIIBBHHH", 40000, 443, 1, 1, header_words << 4, flags, 65535, 0, 0)
    return header + options + payload


def udp(payload: bytes, *, source: int = 40000, target: int = 40001) -> bytes:
    return struct.pack("!HHHH", source, target, 8 + len(payload), 0) + payload


IP = pytest.mark.parametrize("ip", [ipv4, ipv6])
Ip = Callable[..., bytes]


@IP
@pytest.mark.parametrize("flags", [0x10, 0x02, 0x12])  # ACK SYN SYN-ACK
@pytest.mark.parametrize("options", [b"", b"\1" * 12, b"\1" * 40])
def test_tcp_without_payload_is_express(ip: Ip, flags: int, options: bytes) -> None:
    assert is_express(ip(6, tcp(flags=flags, options=options)))


@IP
@pytest.mark.parametrize("options", [b"", b"\1" * 12])
@pytest.mark.parametrize("payload", [b"x", b"x" * 1400])
def test_tcp_with_payload_is_bulk(ip: Ip, options: bytes, payload: bytes) -> None:
    assert not is_express(ip(6, tcp(payload, options=options)))


@IP
@pytest.mark.parametrize("flags", [0x11, 0x04, 0x14])  # FIN RST RST-ACK
def test_what_ends_a_tcp_connection_does_not_overtake_its_data(ip: Ip, flags: int) -> None:
    assert not is_express(ip(6, tcp(flags=flags)))


@IP
def test_the_flow_of_udp_is_its_addresses_and_ports_whatever_its_size(ip: Ip) -> None:
    host = HOST4 if ip is ipv4 else HOST6
    flow = host + host + struct.pack("!HH", 40000, 40001)
    assert flow_of(ip(17, udp(b"x"))) == flow_of(ip(17, udp(b"x" * 1200))) == flow
    assert flow_of(ip(17, udp(b"x", target=40002))) != flow
    tagged = ip(17, udp(b"x"))
    tagged = tagged[:12] + bytes.fromhex("81000005") + tagged[12:]
    assert flow_of(bytearray(bytes(12) + tagged), 12) == flow


def test_options_and_extension_headers_change_no_flow() -> None:
    options = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    assert flow_of(ipv6(60, options + udp(b"x"))) == flow_of(ipv6(17, udp(b"x")))
    assert flow_of(ipv4(17, udp(b"x"), options=b"\x94\4\0\0")) == flow_of(ipv4(17, udp(b"x")))


def test_the_first_fragment_tells_the_flow_of_a_datagram() -> None:
    datagram = udp(b"x" * 1400)
    assert classify(ipv4(17, datagram, fragment=0x2000)) == (False, flow_of(ipv4(17, udp(b"x"))))
    assert classify(ipv4(17, datagram, fragment=0x2001)) == (False, None)
    first, second = bytes([17, 0, 0, 1, 0, 0, 0, 9]), bytes([17, 0, 0, 8, 0, 0, 0, 9])
    assert classify(ipv6(44, first + datagram)) == (False, flow_of(ipv6(17, udp(b"x"))))
    assert classify(ipv6(44, second + datagram)) == (False, None)


@IP
def test_the_order_of_what_is_not_marked_nor_udp_is_nobody_s_concern(ip: Ip) -> None:
    assert (
        flow_of(ip(6, tcp())) is flow_of(ip(6, tcp(b"x" * 1400))) is flow_of(ip(132, b"x")) is None
    )


@IP
def test_what_is_marked_for_expedited_forwarding_is_a_flow_of_its_own(ip: Ip) -> None:
    marked = {"tos" if ip is ipv4 else "traffic_class": 46 << 2}
    flows = {flow_of(ip(17, udp(b"x"))), flow_of(ip(17, udp(b"x"), **marked)), None}
    assert len(flows) == 3
    assert flow_of(ip(6, tcp(b"x"), **marked)) is not None


@IP
def test_udp_is_express_up_to_300_bytes(ip: Ip) -> None:
    assert is_express(ip(17, udp(b"")))
    assert is_express(ip(17, udp(b"x" * 300)))
    assert not is_express(ip(17, udp(b"x" * 301)))


@IP
def test_dns_is_express_at_any_size_over_udp_only(ip: Ip) -> None:
    assert is_express(ip(17, udp(b"x" * 1200, target=53)))
    assert is_express(ip(17, udp(b"x" * 1200, source=53)))
    assert not is_express(ip(17, udp(b"x" * 1200, source=54, target=5300)))
    assert not is_express(ip(6, struct.pack("!HH", 53, 53) + tcp(b"x" * 400)[4:]))


def test_arp_and_icmp_are_express() -> None:
    assert is_express(ethernet(0x0806, bytes(28)))
    assert is_express(ipv4(1, b"\x08\0\0\0" + bytes(1400)))
    assert is_express(ipv6(58, b"\x80\0\0\0" + bytes(1400)))


def test_neighbour_discovery_and_listener_reports_are_express() -> None:
    router_alert = bytes([58, 0, 5, 2, 0, 0, 1, 0])
    assert is_express(ipv6(58, b"\x87\0\0\0" + bytes(20)))
    assert is_express(ipv6(0, router_alert + b"\x8f\0\0\0" + bytes(24)))


@IP
def test_expedited_forwarding_is_express_whatever_it_carries(ip: Ip) -> None:
    mark = "tos" if ip is ipv4 else "traffic_class"
    assert is_express(ip(17, udp(b"x" * 1200), **{mark: 46 << 2}))
    assert is_express(ip(132, b"x" * 1200, **{mark: 46 << 2 | 2}))
    assert not is_express(ip(17, udp(b"x" * 1200), **{mark: 45 << 2}))


@pytest.mark.parametrize("fragment", [0x2000, 0x0001, 0x2001, 0x1000, 0x00FF])
@pytest.mark.parametrize("tos", [0, 46 << 2])
def test_ipv4_fragments_are_bulk(fragment: int, tos: int) -> None:
    assert not is_express(ipv4(17, udp(b"x"), fragment=fragment, tos=tos))
    assert not is_express(ipv4(1, bytes(8), fragment=fragment, tos=tos))


@pytest.mark.parametrize("traffic_class", [0, 46 << 2])
def test_ipv6_fragments_are_bulk(traffic_class: int) -> None:
    fragment = bytes([17, 0, 0, 0, 0, 0, 0, 9])
    options_then_fragment = bytes([44, 0, 1, 4, 0, 0, 0, 0]) + fragment
    payload = udp(b"x" * 20)
    assert not is_express(ipv6(44, fragment + payload, traffic_class=traffic_class))
    assert not is_express(ipv6(60, options_then_fragment + payload, traffic_class=traffic_class))


def test_ipv6_extension_headers_are_passed_over_up_to_six() -> None:
    option = bytes([60, 0, 1, 4, 0, 0, 0, 0])
    last = bytes([17, 0, 1, 4, 0, 0, 0, 0])
    long_routing = bytes([17, 2]) + bytes(22)
    authentication = bytes([17, 4]) + bytes(22)  # length in 4 bytes, minus 2
    assert is_express(ipv6(43, long_routing + udp(b"x" * 300)))
    assert is_express(ipv6(51, authentication + udp(b"x" * 300)))
    assert not is_express(ipv6(51, authentication + udp(b"x" * 301)))
    assert is_express(ipv6(60, option * 5 + last + udp(b"x")))
    assert not is_express(ipv6(60, option * 6 + last + udp(b"x")))


def test_ipv4_options_are_passed_over() -> None:
    assert is_express(ipv4(6, tcp(), options=b"\x94\4\0\0"))
    assert not is_express(ipv4(6, tcp(b"x"), options=b"\x94\4\0\0"))


@IP
@pytest.mark.parametrize("tags", ["81000005", "88a8000581000006", "8100000581000006"])
def test_one_or_two_vlan_tags_are_passed_over(ip: Ip, tags: str) -> None:
    ack, data = ip(6, tcp()), ip(6, tcp(b"x"))
    assert is_express(ack[:12] + bytes.fromhex(tags) + ack[12:])
    assert not is_express(data[:12] + bytes.fromhex(tags) + data[12:])
    assert network_offset(ack[:12] + bytes.fromhex(tags) + ack[12:]) == 14 + len(tags) // 2


def test_three_vlan_tags_are_bulk() -> None:
    ack = ipv4(6, tcp())
    assert not is_express(ack[:12] + bytes.fromhex("810000018100000281000003") + ack[12:])


@pytest.mark.parametrize("ethertype", [0x88CC, 0x8847, 0x0026, 0x05DC])
def test_other_ethernet_is_bulk(ethertype: int) -> None:
    assert not is_express(ethernet(ethertype, bytes(46)))


@IP
def test_the_frame_may_start_anywhere_in_any_buffer(ip: Ip) -> None:
    ack, data = ip(6, tcp()), ip(6, tcp(b"x"))
    for make in (bytes, bytearray, memoryview):
        assert is_express(make(bytes(12) + ack), 12)
        assert not is_express(make(bytes(12) + data), 12)


@IP
def test_headers_that_contradict_each_other_are_bulk(ip: Ip) -> None:
    start = 34 if ip is ipv4 else 54
    ack = bytearray(ip(6, tcp()))
    ack[start + 12] = 4 << 4  # a TCP header of 16 bytes
    assert not is_express(ack)
    ack[start + 12] = 6 << 4  # longer than the packet
    assert not is_express(ack)

    voice = bytearray(ip(17, udp(b"x" * 100)))
    voice[start + 5] = 7  # shorter than its header
    assert not is_express(voice)
    voice[start + 5] = 109  # longer than the packet
    assert not is_express(voice)


def test_ip_headers_that_cannot_be_are_bulk() -> None:
    ack = ipv4(6, tcp())
    for position, value in [(14, 0x55), (14, 0x44), (14, 0x4F), (16, 1), (17, 19), (17, 0)]:
        bad = bytearray(ack)
        bad[position] = value
        assert not is_express(bad), (position, value)
    ack = ipv6(6, tcp())
    for position, value in [(14, 0x40), (18, 1), (19, 0), (19, 19)]:
        bad = bytearray(ack)
        bad[position] = value
        assert not is_express(bad), (position, value)


EXAMPLES = [
    ipv4(6, tcp()),
    ipv4(17, udp(b"x" * 20), tos=46 << 2),
    ipv6(58, bytes(24)),
    ipv6(60, bytes([17, 0, 1, 4, 0, 0, 0, 0]) + udp(b"x")),
    ethernet(0x0806, bytes(28)),
]


@pytest.mark.parametrize("frame", EXAMPLES)
def test_a_frame_cut_short_of_its_own_length_is_bulk(frame: bytes) -> None:
    needed = max(length for length in range(len(frame) + 1) if not is_express(frame[:length])) + 1
    assert all(not is_express(frame[:length]) for length in range(needed))
    assert all(is_express(frame[:length]) for length in range(needed, len(frame) + 1))


# Invariant: whatever the bytes, the answer is yes or no; nothing is raised.
@given(
    start=st.sampled_from(EXAMPLES),
    changes=st.lists(st.tuples(st.integers(12, 63), st.integers(0, 255)), max_size=8),
    length=st.integers(0, 80),
    offset=st.integers(0, 90),
)
def test_any_bytes_are_classified(
    start: bytes, changes: list[tuple[int, int]], length: int, offset: int
) -> None:
    frame = bytearray(start)
    for position, value in changes:
        if position < len(frame):
            frame[position] = value
    assert is_express(frame[:length]) in (True, False)
    express, flow = classify(memoryview(frame), offset)
    assert express in (True, False)
    assert flow is None or isinstance(flow, bytes)
