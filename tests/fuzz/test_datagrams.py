"""Datagrams that were changed, cut, copied, delayed, made up or sent from elsewhere.

Invariant: they are dropped and counted, nobody is answered, and nothing is learned from them.
"""

import gc
import random
import tracemalloc

import pytest

from tests.fuzz.hostile import (
    ENDS,
    STRANGER,
    answers,
    captured,
    flip,
    learned,
    other,
    path_to,
    refused,
    tunnel_at_work,
    withheld,
)
from tests.sim.world import World, frame
from wrrtun.core.session import WINDOW_SEQS
from wrrtun.core.wire import HEADER, SEQ_BITS, SEQ_HALF, SEQ_MASK, Kind, pack_header

SEALED = (Kind.BULK, Kind.EXPRESS, Kind.CONTROL)


def assert_refused(world: World, end: str, datagram: bytes, path: int | None = None) -> None:
    before, known, reads = refused(world, end), learned(world, end), len(world.reads[end])
    given = path_to(world, end) if path is None else path
    assert not answers(world, end, datagram, given)
    assert refused(world, end) == before + 1
    assert learned(world, end) == known
    assert len(world.reads[end]) == reads


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SEALED)
def test_any_flipped_bit_is_refused_and_what_it_was_flipped_in_is_still_taken(
    end: str, kind: Kind
) -> None:
    world = tunnel_at_work(1)
    good = withheld(world, other(end), kind).datagram
    for bit in range(len(good) * 8):
        assert_refused(world, end, flip(good, bit))
    before = refused(world, end)
    world.inject(end, good, path_to(world, end))
    assert refused(world, end) == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SEALED)
def test_any_shorter_or_longer_copy_is_refused(end: str, kind: Kind) -> None:
    world = tunnel_at_work(1)
    good = withheld(world, other(end), kind).datagram
    for size in range(len(good)):
        assert_refused(world, end, good[:size])
    for more in (1, 2, 15, 16, 24, 1_000, 65_507 - len(good)):
        assert_refused(world, end, good + bytes(more))
    before = refused(world, end)
    world.inject(end, good, path_to(world, end))
    assert refused(world, end) == before


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("size", range(25))
def test_the_shortest_datagrams_of_every_type_are_refused(end: str, size: int) -> None:
    world = tunnel_at_work(1)
    for kind in range(16):
        assert_refused(world, end, (bytes([kind << 4]) + bytes(range(1, 25)))[:size])


@pytest.mark.parametrize("end", ENDS)
def test_a_type_that_does_not_exist_is_counted_as_such_and_not_as_truncated(end: str) -> None:
    world = tunnel_at_work(1)
    for kind in (0, 4, 12):
        assert_refused(world, end, bytes([kind << 4]) + bytes(40))
    assert world.drops(end)["unknown_type"] == 3


def test_300_000_random_datagrams_of_every_type_leave_silence_and_flat_memory() -> None:
    world = tunnel_at_work(2)
    rng = random.Random(4)
    tables = [
        world.server._sessions,
        world.server._offers,
        world.server._numbers,
        world.server._responder._accepted,
        world.server._responder._answers,
        world.server._responder._senders._levels,
    ]
    sizes = [len(table) for table in tables]  # type: ignore[arg-type]
    ids = {end: min(world.tunnel(end).sessions.local_ids) for end in ENDS}

    def throw(count: int) -> None:
        for end in ENDS:
            for _ in range(count // 128):  # 64 to each end
                size = rng.choice((1, 8, 23, 24, 60, 200, 800))
                noise = bytearray(rng.randbytes(64 * size))
                if size >= 8:  # half of them name a live session and link, so the tag is looked at
                    for start in range(0, len(noise), 2 * size):
                        header = pack_header(
                            rng.randrange(16), rng.randrange(2), ids[end], rng.getrandbits(SEQ_BITS)
                        )
                        HEADER.pack_into(noise, start, header)
                path = rng.choice((path_to(world, end), path_to(world, end, 1)))
                assert not answers(world, end, bytes(noise), path, size)

    known = {end: learned(world, end) for end in ENDS}
    before = {end: refused(world, end) for end in ENDS}
    tracemalloc.start()
    throw(5_000)
    gc.collect()  # cycles wait for the collector: they are no growth
    held = tracemalloc.get_traced_memory()[0]
    throw(25_000)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - held
    tracemalloc.stop()
    throw(270_000)
    assert grown < 100_000  # 4 bytes a datagram
    assert [len(table) for table in tables] == sizes  # type: ignore[arg-type]
    for end in ENDS:
        assert learned(world, end) == known[end]
        assert refused(world, end) - before[end] >= 149_000
    world.stream("client", range(2_000, 2_100), 0.002)
    world.run(1.0)
    assert world.numbers("server")[-100:] == list(range(2_000, 2_100))


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SEALED)
def test_an_exact_copy_is_taken_once_on_whatever_link_it_comes(end: str, kind: Kind) -> None:
    world = tunnel_at_work(2)
    good = withheld(world, other(end), kind).datagram
    reads = len(world.reads[end])
    world.inject(end, good, path_to(world, end))
    assert len(world.reads[end]) == reads + (kind != Kind.CONTROL)
    for path in (path_to(world, end), path_to(world, end, 1), path_to(world, end)):
        assert_refused(world, end, good, path)
    assert world.drops(end)["replayed"] >= 3


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize(("newer", "taken"), [(65_535, True), (65_536, False)])
def test_a_datagram_delayed_by_the_width_of_the_window_is_taken_and_by_one_more_is_not(
    end: str, newer: int, taken: bool
) -> None:
    world = tunnel_at_work(2)
    good = withheld(world, other(end), Kind.BULK).datagram
    session = world.tunnel(other(end)).sessions.current
    assert session is not None
    first = HEADER.unpack_from(good)[0] & SEQ_MASK
    assert WINDOW_SEQS[Kind.BULK] == 65_536
    for start in range(1, newer + 1, 64):
        frames = [frame(0, 22)] * min(64, newer + 1 - start)
        seq = first + start & SEQ_MASK
        batch = session.sealer.seal(Kind.BULK, 0, 0, 0, seq, frames)
        path = path_to(world, end)
        receiver = world.client if end == "client" else world.server
        receiver.receive(path, memoryview(batch), 22 + 24, world.now)
    world.run(0.3)  # the gap is given up
    reads = len(world.reads[end])
    world.inject(end, good, path_to(world, end))
    assert len(world.reads[end]) == reads + taken
    assert world.drops(end).get("too_old", 0) == (not taken)
    world.inject(end, good, path_to(world, end))
    assert len(world.reads[end]) == reads + taken


@pytest.mark.parametrize("end", ENDS)
def test_a_replay_after_a_rekey_is_refused(end: str) -> None:
    world = tunnel_at_work(1)
    old = captured(world, other(end), Kind.BULK).datagram
    world.run(121.0)
    assert world.client.tunnel.rekeys == 1
    assert_refused(world, end, old)
    assert world.drops(end)["replayed"] >= 1
    world.run(70.0)
    assert_refused(world, end, old)
    assert world.drops(end)["unknown_session"] == 1


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SEALED)
def test_what_an_end_sent_is_refused_when_it_is_thrown_back(end: str, kind: Kind) -> None:
    world = tunnel_at_work(1)
    own = captured(world, end, kind).datagram
    assert_refused(world, end, own)
    # Also with a session number that means something to it.
    header = HEADER.unpack_from(own)[0] & ~(0xFFFF << SEQ_BITS)
    header |= min(world.tunnel(end).sessions.local_ids) << SEQ_BITS
    assert_refused(world, end, HEADER.pack(header + 1_000_000) + own[8:])


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("kind", SEALED)
def test_another_link_number_in_the_header_is_refused_and_counts_for_no_link(
    end: str, kind: Kind
) -> None:
    world = tunnel_at_work(2)
    good = bytearray(withheld(world, other(end), kind).datagram)
    true_link = good[0] & 15
    for link in range(16):
        good[0] = good[0] & 0xF0 | link
        if link != true_link:
            assert_refused(world, end, bytes(good))
            assert_refused(world, end, bytes(good), path_to(world, end, 1))
    # Frames may name link 15, which means any (copies): they are refused for their tags.
    named = 2 if kind == Kind.CONTROL else 4
    assert world.drops(end)["bad_tag"] == named
    assert world.drops(end)["unknown_link"] == 30 - named


@pytest.mark.parametrize("end", ENDS)
def test_a_true_seq_far_ahead_costs_no_memory_and_frames_still_come(end: str) -> None:
    world = tunnel_at_work(2)
    sender = world.tunnel(other(end))
    session = sender.sessions.current
    assert session is not None
    tracemalloc.start()
    for _ in range(4):
        sender.outbound.next_bulk_seq = sender.outbound.next_bulk_seq + SEQ_HALF - 70_000 & SEQ_MASK
        world.stream(other(end), range(2_000, 2_010), 0.001, 100)
        world.run(0.3)
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert held < 1_500_000
    assert world.numbers(end)[-40:] == list(range(2_000, 2_010)) * 4
    assert world.tunnel(end).inbound.reorder.counts.flushed == 4


def test_a_captured_bulk_datagram_from_elsewhere_is_delivered_once_and_moves_no_address() -> None:
    world = tunnel_at_work(1)
    good = withheld(world, "client", Kind.BULK).datagram
    reads = len(world.reads["server"])
    (challenge,) = answers(world, "server", good, STRANGER)
    assert challenge.path == STRANGER
    assert len(challenge.datagram) < len(good)
    assert len(world.reads["server"]) == reads + 1
    assert_refused(world, "server", good, STRANGER)
    world.inject("server", good, world.ports[0])  # the true one, overtaken
    assert len(world.reads["server"]) == reads + 1
    world.stream("server", range(3_000, 3_100), 0.002)
    world.run(1.0)
    assert world.strays == [challenge]
    assert world.numbers("client")[-100:] == list(range(3_000, 3_100))


def test_a_captured_probe_from_elsewhere_is_challenged_in_few_bytes_and_moves_no_address() -> None:
    world = tunnel_at_work(1)
    world.run(1.0)  # idle: all that is sent are probes
    probe = withheld(world, "client", Kind.CONTROL).datagram
    out = answers(world, "server", probe, STRANGER)
    assert [sent.path for sent in out] == [STRANGER]
    assert len(out[0].datagram) <= 3 * len(probe)
    assert_refused(world, "server", probe, STRANGER)
    # The stranger can hand the challenge to the client, who answers from its own address only.
    world.inject("client", out[0].datagram, 0)
    world.stream("server", range(3_000, 3_100), 0.002)
    world.run(1.5)
    assert [sent.path for sent in world.strays] == [STRANGER]
    member = world.server.tunnels["home"].bond.get(0)
    assert member is not None
    assert member.path == world.ports[0]
    assert world.numbers("client")[-100:] == list(range(3_000, 3_100))
