"""A peer that has the keys and sends nonsense, and a TAP that delivers it.

Invariant: nothing escapes, nothing grows without bound, what cannot be used is counted, and
frames go on afterwards.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.core.test_segment import super_frame
from tests.fuzz.hostile import ENDS, other, path_to, tunnel_at_work
from tests.sim.lines import both
from tests.sim.world import World
from wrrtun.core.errors import Drop
from wrrtun.core.messages import (
    ControlMessage,
    Marker,
    Nack,
    Probe,
    ProbeReply,
    encode_control,
)
from wrrtun.core.offers import LinkOffer
from wrrtun.core.reports import LinkReport, Report
from wrrtun.core.vnet import VNET
from wrrtun.core.wire import CONTINUES, PARTIAL, SEQ_MASK, Kind

U16, U32 = st.integers(0, (1 << 16) - 1), st.integers(0, (1 << 32) - 1)
U64 = st.integers(0, (1 << 64) - 1)
SEQ = st.integers(0, SEQ_MASK)
TOKEN = st.binary(min_size=8, max_size=8)
LINK = st.integers(0, 14)
SAMPLES = st.lists(st.tuples(SEQ, U64), max_size=1).map(tuple)

MESSAGES: st.SearchStrategy[ControlMessage] = st.one_of(
    st.builds(Probe, U32, U64, U64, SEQ, TOKEN),
    st.builds(ProbeReply, st.integers(0, 300) | U32, U64, U64, U64, TOKEN),
    st.builds(Marker, SEQ),
    st.builds(
        Report,
        st.lists(st.builds(LinkReport, LINK, U64, U64, SEQ, U16, SAMPLES), max_size=15).map(tuple),
    ),
    st.builds(Nack, st.lists(st.tuples(SEQ, st.integers(1, 65_535)), max_size=64).map(tuple)),
)

CONTENTS = MESSAGES.map(encode_control) | st.binary(max_size=120)


def deliver(world: World, end: str, kind: Kind, flags: int, content: bytes, link: int = 0) -> None:
    """Seal as the peer of `end` would, and hand it over."""
    peer = world.tunnel(other(end))
    session = peer.sessions.current
    assert session is not None
    seq = peer.outbound.next_bulk_seq if kind == Kind.BULK else session.take_seq(kind)
    if kind == Kind.BULK:
        peer.outbound.next_bulk_seq = seq + 1 & SEQ_MASK
    datagram = session.sealer.seal(kind, flags, 0, link, seq, [content])
    world.inject(end, bytes(datagram), path_to(world, end, link))


def assert_it_still_works(world: World, first: int) -> None:
    world.run(2.0)
    for end in ENDS:
        world.stream(end, range(first, first + 50), 0.002)
    world.run(2.0)
    for end in ENDS:
        assert set(world.numbers(end)) >= set(range(first, first + 50))


@settings(max_examples=40, deadline=None)
@given(
    end=st.sampled_from(ENDS),
    contents=st.lists(st.tuples(CONTENTS, st.integers(0, 1), st.floats(0, 0.2)), max_size=40),
)
def test_whatever_control_messages_say_nothing_escapes_and_frames_still_come(
    end: str, contents: list[tuple[bytes, int, float]]
) -> None:
    world = tunnel_at_work(2)
    for content, link, pause in contents:
        deliver(world, end, Kind.CONTROL, 0, content, link)
        world.run(pause)
    # A marker of 2**39 is believed: the order starts over from there. Real seqs are late, not lost.
    assert_it_still_works(world, 7_000)
    assert world.tunnel(end).inbound.reorder.held_datagrams < 1_000


def test_control_messages_that_mean_nothing_are_counted() -> None:
    world = tunnel_at_work(1)
    for content in (b"", b"\xff", b"\x00" * 50, encode_control(Marker(5)) + b"more"):
        deliver(world, "server", Kind.CONTROL, 0, content)
    assert world.drops("server")[Drop.BAD_MESSAGE] == 4
    assert_it_still_works(world, 7_000)


FRAMES = st.one_of(
    st.binary(max_size=100),
    st.binary(max_size=60).map(lambda tail: super_frame(b"x" * 50, 1_348)[VNET.size :][:70] + tail),
    st.integers(1, 400).map(lambda size: super_frame(bytes(size), 1_348)[VNET.size :]),
    st.integers(1, 400).map(lambda size: super_frame(bytes(size), 1_348, ipv6=True)[VNET.size :]),
)


@settings(max_examples=60, deadline=None)
@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([Kind.BULK, Kind.EXPRESS]),
            st.sampled_from([0, PARTIAL, CONTINUES]),
            FRAMES,
        ),
        max_size=30,
    )
)
def test_whatever_frames_a_peer_seals_with_whatever_flags_nothing_escapes(
    frames: list[tuple[Kind, int, bytes]],
) -> None:
    world = tunnel_at_work(1)
    for kind, flags, content in frames:
        deliver(world, "server", kind, flags, content)
    assert_it_still_works(world, 7_000)


@settings(max_examples=60, deadline=None)
@given(
    contents=st.lists(FRAMES, min_size=2, max_size=64),
    flags=st.sampled_from([PARTIAL, CONTINUES]),
)
def test_whatever_runs_a_peer_calls_one_super_frame_nothing_escapes(
    contents: list[bytes], flags: int
) -> None:
    world = tunnel_at_work(1)
    size = max(map(len, contents))
    frames = [content.ljust(size, b"\0") for content in contents]
    peer = world.client.tunnel
    session = peer.sessions.current
    assert session is not None
    seq = peer.outbound.next_bulk_seq
    peer.outbound.next_bulk_seq = seq + len(frames) & SEQ_MASK
    batch = session.sealer.seal(Kind.BULK, flags, CONTINUES, 0, seq, frames)
    world.inject("server", bytes(batch), world.ports[0], size + 24)
    assert_it_still_works(world, 7_000)


READS = st.one_of(
    st.binary(max_size=80),
    st.tuples(st.binary(min_size=10, max_size=10), FRAMES).map(b"".join),
    st.tuples(
        st.sampled_from([super_frame(bytes(4_000), 1_348), super_frame(bytes(4_000), 900)]),
        st.integers(0, 100),
        st.integers(0, 255),
    ).map(lambda drawn: drawn[0][: drawn[1]] + bytes([drawn[2]]) + drawn[0][drawn[1] + 1 :]),
)


@settings(max_examples=60, deadline=None)
@given(reads=st.lists(READS, max_size=30))
def test_whatever_a_tap_delivers_it_is_carried_or_counted(reads: list[bytes]) -> None:
    world = tunnel_at_work(1)
    for read in reads:
        world.submit("client", read)
    assert_it_still_works(world, 7_000)


@pytest.mark.parametrize("size", range(24))
def test_a_runt_is_counted_as_malformed(size: int) -> None:
    world = tunnel_at_work(1)
    world.submit("client", bytes(size))
    assert world.drops("client")[Drop.MALFORMED_FRAME] == 1


def test_a_frame_longer_than_agreed_is_counted_and_not_sent() -> None:
    world = tunnel_at_work(1)
    assert world.sent is not None
    before = len(world.sent)
    world.send("client", 1, 1_434 + 14 + 1)
    assert world.drops("client")[Drop.FRAME_TOO_BIG] == 1
    assert len(world.sent) == before
    world.send("client", 2, 1_434 + 14)
    world.run(0.1)
    assert world.numbers("server")[-1] == 2


@pytest.mark.parametrize("rate", [1, 100, 64_000, (1 << 63) - 1])
@pytest.mark.parametrize("weight", [0.001, 1.0, 4_000_000.0])
def test_links_of_any_weight_and_rate_are_offered_and_used(rate: int, weight: float) -> None:
    world = World([both(), both()])
    world.offers = (LinkOffer(0, weight, weight, rate, rate), LinkOffer(1, 1.0, 1.0, 0, 0))
    world.client = world.make_client()
    world.run(1.0)
    for end in ENDS:
        world.stream(end, range(200), 0.005)
    world.run(3.0)
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        assert len(numbers) >= 190
