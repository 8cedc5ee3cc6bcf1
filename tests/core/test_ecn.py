import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.ecn import mark_congestion_experienced


def internet_checksum(header: bytes) -> int:
    """RFC 1071, the slow way."""
    total: int = sum(struct.unpack(f"!{len(header) // 2}H", header))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(tos: int, identification: int = 7, source: str = "192.0.2.1") -> bytearray:
    addresses = ip_address(source).packed + ip_address("198.51.100.2").packed
    header = struct.pack("!BBHHHBBH", 0x45, tos, 40, identification, 0x4000, 64, 6, 0) + addresses
    header = header[:10] + struct.pack("!H", internet_checksum(header)) + header[12:]
    return bytearray(bytes(12) + b"\x08\x00" + header + bytes(20))


def ipv6(traffic_class: int) -> bytearray:
    header = struct.pack("!IHBB", 6 << 28 | traffic_class << 20 | 0xABCDE, 20, 6, 64)
    return bytearray(bytes(12) + b"\x86\xdd" + header + bytes(32) + bytes(20))


@given(
    tos=st.integers(0, 255),
    identification=st.integers(0, 0xFFFF),
    source=st.ip_addresses(v=4).map(str),
)
def test_an_ipv4_mark_leaves_the_checksum_that_a_full_sum_would_give(
    tos: int, identification: int, source: str
) -> None:
    frame = ipv4(tos, identification, source)
    capable = tos & 3 != 0
    expected = ipv4(tos | 3, identification, source) if capable else bytearray(frame)

    assert mark_congestion_experienced(frame) is capable
    assert frame == expected


def test_the_checksum_is_right_where_it_wraps() -> None:
    for identification in range(0, 0x10000):
        frame = ipv4(1, identification)
        if struct.unpack("!H", frame[24:26])[0] in (0, 1, 2, 3, 0xFFFE):
            assert mark_congestion_experienced(frame)
            assert frame == ipv4(3, identification)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (2, 3), (3, 3), (0x4D, 0x4F)])
def test_an_ipv6_mark_changes_two_bits_only(before: int, after: int) -> None:
    frame = ipv6(before)
    assert mark_congestion_experienced(frame)
    assert frame == ipv6(after)


def test_a_sender_that_does_not_know_ecn_is_not_marked() -> None:
    for frame in (ipv4(0), ipv4(0xB8), ipv6(0), ipv6(0xB8)):
        before = bytes(frame)
        assert not mark_congestion_experienced(frame)
        assert frame == before


def test_the_mark_finds_its_place_behind_an_offset_and_vlan_tags() -> None:
    plain = ipv4(2)
    frame = bytearray(bytes(10)) + plain[:12] + bytes.fromhex("88a8000581000006") + plain[12:]
    assert mark_congestion_experienced(memoryview(frame), 10)
    assert frame[30:] == ipv4(3)[12:]


@pytest.mark.parametrize("frame", [ipv4(2), ipv6(2)])
def test_what_is_not_a_whole_ip_header_is_left_alone(frame: bytearray) -> None:
    header_end = 34 if frame[12] == 8 else 54
    for length in range(header_end):
        cut = frame[:length]
        assert not mark_congestion_experienced(cut)
        assert cut == frame[:length]
    wrong_version = bytearray(frame)
    wrong_version[14] ^= 0xF0
    assert not mark_congestion_experienced(wrong_version)
    assert not mark_congestion_experienced(bytearray(bytes(12) + b"\x08\x06" + bytes(40)))
