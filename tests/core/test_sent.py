import pytest

from wrrtun.core.sent import (
    CHEAP_BYTES,
    HORIZON_SECONDS,
    LIMIT_BYTES,
    KeptRun,
    SentLog,
)
from wrrtun.core.slab import SLAB_BYTES, Slab, SlabPool
from wrrtun.core.wire import SEQ_MASK

SIZE = 1000


def run(
    first: int, count: int, link: int = 0, at: float = 1.0, slab: Slab | None = None
) -> KeptRun:
    """Datagrams that begin with the low byte of their seq; the last one is shorter."""
    batch = b"".join(bytes([seq & 0xFF]) * SIZE for seq in range(first, first + count))[:-300]
    if slab is None:
        return KeptRun(first, count, link, at, SIZE, batch)
    slab.view[: len(batch)] = batch
    return KeptRun(first, count, link, at, SIZE, slab.view[: len(batch)], slab)


def log_of(*runs: KeptRun, next_seq: int = 0) -> SentLog:
    log = SentLog(next_seq, SlabPool())
    for one in runs:
        log.add(one)
    return log


def find(log: SentLog, seq: int) -> KeptRun | None:
    first = log.unwrap(seq)
    return next((run for run, _, _ in log.parts(first, first + 1)), None)


def test_a_seq_leads_to_the_run_it_was_sent_in() -> None:
    log = log_of(run(0, 2), run(2, 40), run(42, 1))
    firsts = [found.first if (found := find(log, seq)) else None for seq in (0, 1, 2, 41, 42, 43)]
    assert firsts == [0, 0, 2, 2, 42, None]
    assert find(log, SEQ_MASK) is None


def test_the_datagrams_of_a_part_are_the_bytes_that_were_sent() -> None:
    found = find(log_of(run(0, 2), run(2, 5)), 4)
    assert found is not None
    assert bytes(found.part(3, 5)) == b"\3" * SIZE + b"\4" * SIZE
    assert bytes(found.part(6, 7)) == b"\6" * (SIZE - 300)


def test_seqs_are_found_on_both_sides_of_where_the_forty_bits_wrap() -> None:
    begin = SEQ_MASK - 2
    log = log_of(run(begin, 2), run(begin + 2, 3), next_seq=begin)
    assert log.unwrap(1) == SEQ_MASK + 2
    for seq, first in ((SEQ_MASK - 2, begin), (SEQ_MASK, begin + 2), (1, begin + 2)):
        found = find(log, seq)
        assert found is not None
        assert found.first == first
    assert find(log, 2) is None


def test_a_seq_that_was_skipped_is_in_no_run() -> None:
    log = log_of(run(0, 2), run(10, 2))
    assert find(log, 5) is None
    assert find(log, 10) is not None


def test_what_one_link_was_given_past_a_seq_comes_oldest_first() -> None:
    log = log_of(run(0, 2, 0), run(2, 3, 1), run(5, 2, 0), run(7, 1, 1), run(8, 2, 0))
    assert list(log.of_link(0, 0)) == [(1, 2), (5, 7), (8, 10)]
    assert list(log.of_link(0, 1)) == [(5, 7), (8, 10)]
    assert list(log.of_link(1, 3)) == [(4, 5), (7, 8)]
    assert list(log.of_link(1, 7)) == []
    assert list(log.of_link(0, SEQ_MASK)) == [(0, 2), (5, 7), (8, 10)]


def test_what_is_too_old_is_forgotten() -> None:
    log = log_of(run(0, 2, at=1.0), run(2, 2, at=1.2), run(4, 2, at=1.1 + HORIZON_SECONDS))
    assert find(log, 1) is None
    assert find(log, 2) is not None
    log.prune(10.0)
    assert len(log) == log.held_bytes == 0


@pytest.mark.parametrize(
    ("keep_seconds", "kept_bytes"),
    [(1.0, LIMIT_BYTES), (0.040, 40 * SLAB_BYTES), (0.002, CHEAP_BYTES)],
)
def test_the_log_is_bounded_in_bytes_and_by_time_where_bytes_are_many(
    keep_seconds: float, kept_bytes: int
) -> None:
    pool = SlabPool()
    log = SentLog(0, pool)
    log.keep_seconds = keep_seconds
    for number in range(400):  # one a millisecond
        pool.settle()
        log.add(run(number * 40, 40, at=1 + number / 1000, slab=pool.take()))
        assert log.held_bytes <= LIMIT_BYTES
    assert abs(log.held_bytes - kept_bytes) <= SLAB_BYTES
    assert find(log, 3) is None


def test_a_large_run_keeps_its_slab_unchanged_until_it_is_forgotten() -> None:
    pool = SlabPool()
    log = SentLog(0, pool)
    lent = pool.take()
    log.add(run(0, 40, slab=lent))
    for _ in range(40):  # whoever seals takes and gives back
        pool.settle()
        slab = pool.take()
        assert slab is not lent
        slab.view[:] = bytes(SLAB_BYTES)
        pool.lend(slab)
    found = find(log, 7)
    assert found is not None
    assert bytes(found.part(7, 8)) == b"\7" * SIZE
    log.clear()
    pool.settle()
    assert any(pool.take() is lent for _ in range(32))


@pytest.mark.parametrize("count", [2, SLAB_BYTES // 2 // SIZE])
def test_a_small_run_is_copied_and_its_slab_is_free_at_once(count: int) -> None:
    pool = SlabPool()
    log = SentLog(0, pool)
    slab = pool.take()
    log.add(run(0, count, slab=slab))
    pool.settle()
    assert pool.take() is slab
    slab.view[:] = bytes(SLAB_BYTES)
    found = find(log, 1)
    assert found is not None
    assert bytes(found.part(0, 1)) == b"\0" * SIZE
    assert log.held_bytes == count * SIZE - 300
