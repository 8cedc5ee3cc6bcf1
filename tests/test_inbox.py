"""Batches that are received end to end, and handed on together."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.test_loading import read_of
from tests.core.test_segment import cut_all, super_frame
from tests.core.test_stretch import ends, send
from wrrtun.core.batch import split
from wrrtun.core.cutter import Cutter
from wrrtun.core.output import Transmit
from wrrtun.core.slab import SLAB_BYTES, Slab
from wrrtun.core.train import Train
from wrrtun.core.wire import CONTINUES, PARTIAL, Kind
from wrrtun.drain import LONG_BYTES
from wrrtun.inbox import Inbox

Handed = tuple[int, bytes, int, float]


class Taker:
    """Notes what an inbox hands on."""

    def __init__(self) -> None:
        self.handed: list[Handed] = []
        self.inbox = Inbox(self._take)

    def receive(self, source: int, batch: bytes, datagram_bytes: int, waited: float = 0.0) -> None:
        """Do as a socket does."""
        assert len(self.inbox.room) >= SLAB_BYTES
        self.inbox.room[: len(batch)] = batch
        self.inbox.add(source, len(batch), datagram_bytes, 1.0, waited)

    def _take(
        self, source: int, data: memoryview, step: int, _now: float, slab: Slab, waited: float
    ) -> None:
        assert data == slab.view[: len(data)]
        self.handed.append((source, bytes(data), step, waited))


def test_long_batches_of_one_link_are_handed_on_together() -> None:
    taker = Taker()
    batches = [bytes([number]) * 40_000 for number in range(3)]
    for number, batch in enumerate(batches):
        taker.receive(7, batch, 1000, number / 10)
    assert taker.handed == []
    taker.inbox.flush(1.0)
    assert taker.handed == [(7, b"".join(batches), 1000, 0.2)]
    taker.inbox.flush(1.0)
    assert len(taker.handed) == 1


def test_a_short_one_is_handed_on_at_once() -> None:
    taker = Taker()
    taker.receive(7, bytes(96), 96)
    assert taker.handed == [(7, bytes(96), 96, 0.0)]


def test_an_empty_one_is_handed_on_too() -> None:
    taker = Taker()
    taker.receive(7, b"", 1)
    assert taker.handed == [(7, b"", 1, 0.0)]


def test_nothing_follows_a_datagram_that_is_shorter_than_its_fellows() -> None:
    taker = Taker()
    taker.receive(7, bytes(40_000), 1000)
    taker.receive(7, bytes(40_500), 1000)
    assert [len(data) for _, data, _, _ in taker.handed] == [80_500]


received = st.tuples(
    st.integers(1, 2), st.sampled_from((900, 1000)), st.integers(1, 64), st.integers(0, 1)
)


# Invariant: whatever comes, all of it is handed on, in order, with the link that it came over.
@given(st.lists(received, max_size=30))
def test_all_that_is_received_is_handed_on(parts: list[tuple[int, int, int, int]]) -> None:
    taker, wanted = Taker(), []
    for number, (source, step, count, shorter) in enumerate(parts):
        batch = bytes([number]) * (step * count - shorter)
        taker.receive(source, batch, step)
        wanted.append((source, batch))
    taker.inbox.flush(1.0)
    for _, data, step, _ in taker.handed:
        assert len(data) < LONG_BYTES or len(data) <= 4 * SLAB_BYTES
        assert step in (900, 1000)

    def joined(pairs: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        grouped = groupby(pairs, key=lambda pair: pair[0])
        return [(source, b"".join(data for _, data in group)) for source, group in grouped]

    assert joined([(source, data) for source, data, _, _ in taker.handed]) == joined(wanted)


@pytest.mark.parametrize("lost", [None, 1])
def test_what_was_received_together_comes_out_as_it_went_in(lost: int | None) -> None:
    outbound, inbound, session, member = ends()
    member.set_cap(5e9, 1.0)
    reads = [read_of(port, 40_000) for port in range(2000, 2009)]
    batches: list[Transmit] = send(outbound, session, reads)
    runs = []
    out: list[bytes] = []

    def take(
        _link: int, data: memoryview, step: int, now: float, slab: Slab, _waited: float
    ) -> None:
        for run in split(data, step, slab):
            runs.append(run.count)
            inbound.frames(session, member, run, True, now)
        out.extend(b"".join(vector) for vector in inbound.take())

    inbox = Inbox(take)
    for number, batch in enumerate(batches):
        if number != lost:
            inbox.room[: len(batch.data)] = batch.data
            inbox.add(0, len(batch.data), batch.datagram_bytes, 1.0, 0.0)
    inbox.flush(1.0)
    if lost is None:
        assert max(runs) >= 160
        assert out == reads
        return
    inbound.mark(member, outbound.next_bulk_seq, 1.0)
    inbound.tick(2.0)
    out += [b"".join(vector) for vector in inbound.take()]
    assert out == [*reads[:lost], *reads[lost + 1 :]]


def test_a_super_frame_that_seems_to_go_on_and_on_is_parted() -> None:
    """Nobody makes such: all of it in one write would be more than IP's length field holds."""
    _, inbound, session, member = ends()
    data, seq = bytearray(), 0
    for flags in (PARTIAL, CONTINUES, PARTIAL):
        train = Train.parse(super_frame(bytes(60_000), 1000))
        assert train is not None
        some, _ = Cutter().take(train, 60)
        data += session.sealer.seal(Kind.BULK, flags, CONTINUES, 0, seq, some)
        seq += 60
    slab = Slab(4)
    slab.view[: len(data)] = data
    (run,) = split(slab.view[: len(data)], len(data) // 180, slab)
    assert (run.count, run.starts) == (180, [120])
    assert inbound.frames(session, member, run, True, 1.0) == 180
    out = [b"".join(vector) for vector in inbound.take()]
    assert max(map(len, out)) <= 65_535
    assert sum(len(cut_all(one)) for one in out) == 180
