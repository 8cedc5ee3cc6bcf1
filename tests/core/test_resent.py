import struct
from collections.abc import Sequence

import pytest

from wrrtun.core.resent import MOST_FLOWS, Resent

IPV4 = bytes.fromhex("45000000000040004006 0000 0a000001 0a000002".replace(" ", ""))
IPV6 = bytes.fromhex("60000000000006 40".replace(" ", "")) + bytes(15) + b"\1" + bytes(15) + b"\2"


def segment(seq: int, payload: int = 1000, port: int = 5001, ip: bytes = IPV4) -> Sequence[bytes]:
    """A frame with a segment of a flow."""
    ethertype = b"\x08\x00" if ip is IPV4 else b"\x86\xdd"
    tcp = struct.pack("!HHIIBBHHH", 40000, port, seq, 0, 0x50, 0x10, 0, 0, 0)
    return (bytes(12) + ethertype + ip + tcp + bytes(payload),)


def standing() -> Resent:
    resent = Resent()
    resent.look(0.050, now=10.0)
    return resent


@pytest.mark.parametrize("ip", [IPV4, IPV6])
def test_a_segment_below_what_its_flow_has_sent_is_sent_again(ip: bytes) -> None:
    resent = standing()
    assert not resent.again(segment(1000, ip=ip), 10.0)
    assert not resent.again(segment(2000, ip=ip), 10.0)
    assert resent.again(segment(1000, ip=ip), 10.2)
    assert resent.again(segment(2000, ip=ip), 10.2)
    assert not resent.again(segment(3000, ip=ip), 10.2)
    assert not resent.again(segment(1000, ip=ip, port=5002), 10.2)


def test_a_super_frame_counts_to_its_end() -> None:
    resent = standing()
    assert not resent.again(segment(0, 20_000), 10.0)
    assert resent.again(segment(19_000), 10.1)
    assert not resent.again(segment(20_000), 10.1)


def test_frames_that_are_alike_are_all_looked_at() -> None:
    resent = standing()
    assert not resent.again([*segment(0), *segment(1000), *segment(2000)], 10.0)
    assert resent.again([*segment(3000), *segment(1000), *segment(4000)], 10.1)
    assert not resent.again([*segment(5000), *segment(6000)], 10.1)


def test_frames_that_are_alike_may_be_of_many_flows() -> None:
    resent = standing()
    both = [*segment(1000, port=5001), *segment(9000, port=5002)]
    assert not resent.again(both, 10.0)
    assert not resent.again([*segment(2000, port=5001), *segment(10_000, port=5002)], 10.1)
    assert resent.again([*segment(3000, port=5001), *segment(9000, port=5002)], 10.2)


def test_seqs_wrap() -> None:
    resent = standing()
    first = 2**32 - 1500
    assert not resent.again(segment(first), 10.0)
    assert not resent.again(segment(first + 1000), 10.0)
    assert not resent.again(segment(500), 10.0)
    assert resent.again(segment(first), 10.1)
    assert not resent.again(segment(1500), 10.1)


def test_while_the_queue_does_not_stand_nobody_looks() -> None:
    resent = standing()
    resent.again(segment(1000), 10.0)
    resent.look(0.001, now=10.1)
    assert not resent.again(segment(1000), 10.1)


def test_a_flow_is_remembered_for_one_to_two_seconds_of_silence() -> None:
    resent = standing()
    resent.again(segment(1000), 10.0)
    resent.look(0.050, now=11.5)
    assert resent.again(segment(1000), 11.5)
    resent = standing()
    resent.again(segment(1000), 10.0)
    resent.look(0.050, now=11.5)
    resent.look(0.050, now=12.6)
    assert not resent.again(segment(1000), 12.6)


def test_what_is_not_tcp_is_never_sent_again() -> None:
    udp = bytes(12) + b"\x08\x00" + IPV4[:9] + b"\x11" + bytes(600)
    arp = bytes(12) + b"\x08\x06" + bytes(60)
    resent = standing()
    for frame in (udp, arp):
        assert not resent.again((frame,), 10.0)
        assert not resent.again((frame,), 10.0)


def test_flows_without_end_take_bounded_room() -> None:
    resent = standing()
    for port in range(3 * MOST_FLOWS):
        resent.again(segment(1000, port=port), 10.0)
    known = sum(resent.again(segment(1000, port=port), 10.0) for port in range(3 * MOST_FLOWS))
    assert known <= 2 * MOST_FLOWS
