import math
from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.queue import BulkQueue


@dataclass(eq=False)
class Train:
    """A super-frame's place in the queue; `size_bytes` falls while it is taken."""

    size_bytes: int
    number: int = 0


def test_items_leave_in_the_order_they_came() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=1000)
    first, second = Train(100), Train(200)
    assert queue.push(first, now=1.0)
    assert queue.push(second, now=1.1)
    assert (len(queue), queue.size_bytes, queue.head) == (2, 300, first)
    assert queue.sojourn_seconds(1.5) == pytest.approx(0.5)
    assert queue.pop() is first
    assert queue.sojourn_seconds(1.5) == pytest.approx(0.4)
    assert queue.pop() is second
    assert (len(queue), queue.size_bytes, queue.sojourn_seconds(1.5)) == (0, 0, 0.0)
    with pytest.raises(IndexError):
        queue.pop()
    with pytest.raises(IndexError):
        queue.consumed(1)


def test_a_super_frame_leaves_in_several_runs() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=100_000)
    first, second = Train(60_000), Train(1500)
    queue.push(first, now=1.0)
    queue.push(second, now=1.0)
    for left in (40_000, 20_000):
        first.size_bytes -= 20_000
        queue.consumed(20_000)
        assert (queue.head, queue.size_bytes) == (first, left + 1500)
    queue.consumed(20_000)
    assert (queue.head, queue.size_bytes) == (second, 1500)


def test_the_size_that_counts_is_the_one_at_the_push() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=100_000)
    first = Train(60_000)
    queue.push(first, now=1.0)
    first.size_bytes = 7
    assert queue.size_bytes == 60_000
    queue.consumed(70_000)
    assert (queue.size_bytes, len(queue)) == (0, 0)


def test_what_finds_no_room_is_refused_at_the_tail() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=3000)
    assert queue.push(Train(1500), now=1.0)
    assert queue.push(Train(1500), now=1.0)
    assert not queue.push(Train(60), now=1.0)
    assert (queue.refused, queue.size_bytes) == (1, 3000)
    queue.limit_bytes = 4000
    assert queue.push(Train(60), now=1.0)


def test_an_empty_queue_takes_an_item_larger_than_its_limit() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=3000)
    assert queue.push(Train(64_000), now=1.0)
    assert not queue.push(Train(60), now=1.0)


def standing_queue(count: int = 1000) -> BulkQueue[Train]:
    """Full frames that all came at 1.0."""
    queue: BulkQueue[Train] = BulkQueue(10**9, target_seconds=0.005, interval_seconds=0.100)
    for number in range(count):
        queue.push(Train(1514, number), now=1.0)
    return queue


def signals(queue: BulkQueue[Train], first: float, last: float) -> list[float]:
    """Take a frame each ms; return the times at which CoDel wanted one dropped."""
    times = []
    for tick in range(round((last - first) * 1000) + 1):
        now = first + tick / 1000
        while queue.drop_decision(now):
            times.append(round(now, 3))
            queue.pop()
        queue.pop()
    return times


def test_without_a_target_nothing_is_dropped_for_its_age() -> None:
    queue: BulkQueue[Train] = BulkQueue(10**9)
    for number in range(10):
        queue.push(Train(1514, number), now=1.0)
    assert not queue.drop_decision(100.0)


def test_a_queue_younger_than_the_target_is_left_alone() -> None:
    assert signals(standing_queue(), 1.000, 1.004) == []


def test_a_standing_queue_is_signalled_after_an_interval_and_then_ever_faster() -> None:
    # Above target from 1.005; an interval later the first; then 100 ms / sqrt(1, 2, 3, 4) apart.
    expected = [1.105, 1.205, 1.276, 1.333, 1.383]
    times = signals(standing_queue(), 1.005, 1.400)
    assert times == [pytest.approx(at, abs=0.003) for at in expected]


def test_one_young_item_within_the_interval_ends_the_alarm() -> None:
    queue = standing_queue(100)
    for number in range(200):
        queue.push(Train(1514, number), now=1.104)
    assert signals(queue, 1.005, 1.150) == []


def test_the_last_items_are_never_dropped() -> None:
    queue = standing_queue(2)
    assert [queue.drop_decision(at) for at in (1.01, 1.2, 2.0)] == [False, False, False]
    queue = standing_queue(3)
    assert [queue.drop_decision(at) for at in (1.01, 1.2)] == [False, True]


def test_a_mark_leaves_the_head_where_it_is_and_keeps_the_pace() -> None:
    queue = standing_queue()
    times = [tick / 1000 for tick in range(1005, 1300) if queue.drop_decision(tick / 1000)]
    assert times == [pytest.approx(at, abs=0.003) for at in (1.105, 1.205, 1.276)]
    assert queue.head.number == 0


@pytest.mark.parametrize(("pause", "step"), [(0.050, 0.100 / math.sqrt(11)), (9.000, 0.100)])
def test_soon_after_a_spell_the_next_one_goes_on_at_its_pace(pause: float, step: float) -> None:
    queue = standing_queue(2000)
    assert len(signals(queue, 1.005, 1.650)) == 12
    while len(queue):
        queue.pop()
    start = 1.650 + pause
    for number in range(2000):
        queue.push(Train(1514, number), now=start)
    assert signals(queue, start, start + 0.004) == []  # young: the first spell is over
    times = signals(queue, start + 0.005, start + 0.250)
    assert times[1] - times[0] == pytest.approx(step, abs=0.002)


def test_a_new_target_keeps_the_spell() -> None:
    queue = standing_queue()
    assert len(signals(queue, 1.005, 1.150)) == 1
    queue.set_target(0.010, 0.100)
    assert len(signals(queue, 1.151, 1.250)) == 1
    queue.set_target(None)
    assert signals(queue, 1.251, 1.600) == []


@dataclass
class ByTheBook:
    """RFC 8289, section 5: one object does all, in its order, seconds instead of ticks."""

    items: deque[tuple[float, int]] = field(default_factory=deque)
    first_above: float = 0.0
    next_drop: float = 0.0
    count: int = 0
    last_count: int = 0
    dropping: bool = False
    dropped: list[int] = field(default_factory=list)

    def look(self, now: float) -> tuple[tuple[float, int] | None, bool]:
        if not self.items:
            self.first_above = 0.0
            return None, False
        item = self.items.popleft()
        if now - item[0] < 0.005 or 1514 * len(self.items) <= 1514:
            self.first_above = 0.0
        elif self.first_above == 0.0:
            self.first_above = now + 0.100
        elif now >= self.first_above:
            return item, True
        return item, False

    def dequeue(self, now: float) -> int | None:
        item, too_old = self.look(now)
        if self.dropping:
            if not too_old:
                self.dropping = False
            while now >= self.next_drop and self.dropping:
                assert item is not None
                self.dropped.append(item[1])
                item, too_old = self.look(now)
                if not too_old:
                    self.dropping = False
                else:
                    self.count += 1
                    self.next_drop += 0.100 / math.sqrt(self.count)
        elif too_old:
            assert item is not None
            self.dropped.append(item[1])
            item, too_old = self.look(now)
            self.dropping = True
            delta = self.count - self.last_count
            resume = delta > 1 and now - self.next_drop < 16 * 0.100
            self.count = delta if resume else 1
            self.next_drop = now + 0.100 / math.sqrt(self.count)
            self.last_count = self.count
        return None if item is None else item[1]


@given(
    spells=st.lists(
        st.tuples(st.integers(1, 40), st.integers(0, 60), st.integers(1, 25)),
        min_size=1,
        max_size=60,
    )
)
def test_it_drops_what_the_rfcs_own_program_drops(spells: list[tuple[int, int, int]]) -> None:
    book = ByTheBook()
    queue: BulkQueue[Train] = BulkQueue(10**9, target_seconds=0.005, interval_seconds=0.100)
    now, number, dropped = 1.0, 0, []
    for arriving, leaving, gap_ms in spells:
        for _ in range(arriving):
            book.items.append((now, number))
            queue.push(Train(1514, number), now)
            number += 1
        for _ in range(leaving):
            now += gap_ms / 1000 / 4
            while queue.drop_decision(now):
                dropped.append(queue.pop().number)
            taken = queue.pop().number if len(queue) else None
            assert taken == book.dequeue(now)
            assert dropped == book.dropped
        now += gap_ms / 1000


@given(
    steps=st.lists(st.tuples(st.sampled_from(["put", "take", "pop"]), st.integers(0, 5000))),
    limit_bytes=st.integers(1, 20_000),
)
def test_the_bytes_are_those_of_what_is_left_and_stay_within_the_limit(
    steps: list[tuple[str, int]], limit_bytes: int
) -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes)
    left: list[int] = []
    for action, size_bytes in steps:
        if action == "put":
            if queue.push(Train(size_bytes), now=1.0):
                left.append(size_bytes)
        elif left and action == "take":
            queue.consumed(size_bytes)
            left[0] -= size_bytes
            if left[0] <= 0:
                left.pop(0)
        elif left:
            queue.pop()
            left.pop(0)
        assert queue.size_bytes == sum(left)
        assert len(queue) == len(left)
        assert queue.size_bytes <= limit_bytes or len(left) == 1 or not any(left[1:])


def test_what_must_not_be_lost_has_twice_the_room() -> None:
    queue: BulkQueue[Train] = BulkQueue(limit_bytes=1000)
    assert queue.push(Train(900), now=1.0)
    assert not queue.push(Train(200), now=1.0)
    assert queue.push(Train(200), now=1.0, keep=True)
    assert queue.push(Train(900), now=1.0, keep=True)
    assert not queue.push(Train(1), now=1.0, keep=True)
    assert queue.refused == 2


def test_codel_drops_what_is_behind_an_item_that_must_not_be_lost() -> None:
    queue: BulkQueue[Train] = BulkQueue(1_000_000, target_seconds=0.005)
    for number in range(40):
        queue.push(Train(1500, number), now=1.0, keep=number in (0, 2, 3))
    dropped = []
    for tick in range(40):
        now = 1.0 + 0.020 * tick
        while queue and queue.drop_decision(now):
            dropped.append(queue.pop().number)
        if tick in (0, 6, 7, 8, 9, 10):
            queue.pop()
    assert dropped[:1] == [1]
    assert not {0, 2, 3} & set(dropped)
    assert len(dropped) > 3
