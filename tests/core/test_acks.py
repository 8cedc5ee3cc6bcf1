"""Acknowledgements that a later one makes superfluous are left out, and no others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.acks import acknowledges, superseded
from wrrtun.core.reads import Reads
from wrrtun.core.vnet import VNET, VNET_PLAIN

TIMESTAMPS = b"\x01\x01\x08\x0a" + bytes(8)
SACK = b"\x01\x01\x05\x0a" + bytes(8)


def segment(
    number: int,
    *,
    port: int = 4000,
    options: bytes = TIMESTAMPS,
    flags: int = 0x10,
    payload: bytes = b"",
    ipv6: bool = False,
) -> bytes:
    """Make one TAP read of a TCP segment that acknowledges `number`."""
    transport = port.to_bytes(2) + (80).to_bytes(2) + bytes(4) + (number % 2**32).to_bytes(4)
    transport += bytes((5 + len(options) // 4 << 4, flags)) + bytes(6) + options + payload
    if ipv6:
        network = b"\x60" + bytes(3) + len(transport).to_bytes(2) + b"\x06\x40" + bytes(32)
        return VNET_PLAIN + bytes(12) + b"\x86\xdd" + network + transport
    size = (20 + len(transport)).to_bytes(2)
    network = b"\x45\0" + size + bytes(4) + b"\x40\x06" + bytes(10)
    return VNET_PLAIN + bytes(12) + b"\x08\0" + network + transport


def left_out(*segments: bytes) -> set[int]:
    reads = Reads()
    for one in segments:
        reads.add(one)
    return superseded(reads)


@pytest.mark.parametrize("ipv6", [False, True])
@pytest.mark.parametrize("options", [b"", TIMESTAMPS])
def test_only_the_last_of_those_that_acknowledge_ever_more_is_sent(
    options: bytes, *, ipv6: bool
) -> None:
    segments = [segment(number, options=options, ipv6=ipv6) for number in (1, 2, 5, 9)]
    assert left_out(*segments) == {0, 1, 2}


def test_numbers_wrap() -> None:
    assert left_out(segment(2**32 - 5), segment(3)) == {0}
    assert left_out(segment(3), segment(2**32 - 5)) == set()


def test_duplicates_are_a_signal_and_stay() -> None:
    assert left_out(segment(7), segment(7), segment(7)) == set()
    assert left_out(segment(6), segment(7), segment(7)) == {0}


def test_each_flow_has_its_own() -> None:
    assert left_out(segment(1, port=1), segment(2, port=2), segment(3, port=1)) == {0}


@pytest.mark.parametrize(
    "special",
    [
        segment(1, options=SACK),
        segment(1, flags=0x11),  # FIN
        segment(1, flags=0x50),  # ECN's echo
        segment(1, payload=b"x"),
        segment(1, options=b"", payload=TIMESTAMPS),
        segment(1)[:31] + b"\1" + segment(1)[32:],  # a later fragment has no TCP header
        segment(1)[:30] + b"\x20" + segment(1)[31:],
        b"",
    ],
)
def test_what_says_something_else_stays(special: bytes) -> None:
    assert left_out(special, segment(2), segment(3)) == {1}


@pytest.mark.parametrize("ipv6", [False, True])
def test_an_acknowledgement_is_told_from_what_else_is_small(*, ipv6: bool) -> None:
    frame = segment(1, ipv6=ipv6)[VNET.size :]
    assert acknowledges(frame)
    assert acknowledges(segment(1, options=SACK, ipv6=ipv6)[VNET.size :])
    assert not acknowledges(segment(1, flags=0x12, ipv6=ipv6)[VNET.size :])  # SYN
    at = 20 if ipv6 else 23
    assert not acknowledges(frame[:at] + b"\x01" + frame[at + 1 :])  # ICMP
    assert not any(acknowledges(frame[:size]) for size in range(60 if ipv6 else 48))


def test_beside_a_super_frame_all_stay() -> None:
    assert left_out(segment(1), segment(2), segment(3, payload=bytes(9000))) == set()


# Invariant: what stays acknowledges, flow by flow, as much as all did, in the same order.
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 6)), max_size=20))
def test_what_is_left_acknowledges_as_much(told: list[tuple[int, int]]) -> None:
    reads = Reads()
    for port, number in told:
        reads.add(segment(number, port=port))
    spare = superseded(reads)
    kept = [one for index, one in enumerate(told) if index not in spare]
    reads.leave_out(spare)
    assert [bytes(reads.read(index)) for index in range(len(reads))] == [
        segment(number, port=port) for port, number in kept
    ]
    for flow in {port for port, _ in told}:
        numbers = [number for port, number in told if port == flow]
        assert max(number for port, number in kept if port == flow) == max(numbers)
        assert [n for p, n in kept if p == flow][-1] == numbers[-1]
