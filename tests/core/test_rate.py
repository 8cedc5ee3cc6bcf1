"""One link's finder against a line that is a few lines of arithmetic."""

import pytest

from wrrtun.core.flight import Flight
from wrrtun.core.rate import RateFinder
from wrrtun.core.rate_state import RateState

STEP = 0.001
BASE = 0.020


class Line:
    """A line of `capacity` bytes a second with a long queue, and a sender with enough to send."""

    def __init__(self, finder: RateFinder, capacity: float) -> None:
        self.finder, self.capacity = finder, capacity
        self.flight = Flight()
        self.now = 100.0
        self.busy_for: float | None = None  # only so much of each 10 ms is there anything to send
        self.highest = 0.0
        self._seq = self._sent = self._received = 0
        self._owed = 0.0
        self._free_at = 0.0
        self._report_at = self.now
        self._arrivals: list[tuple[float, int]] = []
        finder.wake(2 * BASE, self.now)

    def run(self, seconds: float) -> None:
        """Send, and report every 25 ms, the way back taking as long as the way there."""
        for _ in range(round(seconds / STEP)):
            self.now += STEP
            finder = self.finder
            finder.tick(backlog=True, may_ask=True, now=self.now)
            burst = max(3000.0, 2 * finder.pace * STEP)
            self._owed = min(self._owed + finder.pace * STEP, burst)
            limited = self.busy_for is not None and self.now % 0.01 > self.busy_for
            while self._owed >= 1500 and self.flight.bytes <= finder.limit_bytes and not limited:
                last = self.busy_for is not None
                self.flight.add(self._seq, 1, 1500, self._seq * 1500, last, finder.pulse, self.now)
                self._owed -= 1500
                self._free_at = max(self.now, self._free_at) + 1500 / self.capacity
                self._arrivals.append((self._free_at + BASE, self._seq))
                self._seq += 1
            self.highest = max(self.highest, self._free_at - self.now)
            if self.now >= self._report_at:
                self._report_at += 0.025
                arrived = [each for each in self._arrivals if each[0] <= self.now - BASE]
                self._arrivals = self._arrivals[len(arrived) :]
                self._received += len(arrived)
                chosen = arrived[:: max(1, len(arrived) // 8)][-7:] + arrived[-1:]
                samples = tuple((seq, int(at * 1e6)) for at, seq in dict.fromkeys(chosen))
                totals = self._received * 1500, self._received
                finder.on_report(self.flight.settle(samples), totals, self.now)


@pytest.mark.parametrize("capacity", [30e3, 125e3, 1.25e6, 12.5e6])
def test_a_line_is_found_within_three_seconds_and_its_queue_stays_short(capacity: float) -> None:
    line = Line(RateFinder(None, 100.0), capacity)
    line.run(3.0)
    assert line.finder.rate == pytest.approx(capacity, rel=0.1)
    line.highest = 0.0
    line.run(3.0)
    assert line.finder.rate == pytest.approx(capacity, rel=0.06)
    assert line.highest < max(0.03, 6 * 1500 / capacity)


def test_a_line_that_falls_and_rises_is_followed() -> None:
    line = Line(RateFinder(None, 100.0), 1e6)
    line.run(3.0)
    line.capacity = 0.3e6
    line.run(1.0)
    assert line.finder.rate == pytest.approx(0.3e6, rel=0.1)
    line.capacity = 2e6
    line.run(3.0)
    assert line.finder.rate == pytest.approx(2e6, rel=0.1)


def test_a_cap_is_kept_while_the_line_carries_it_and_never_exceeded() -> None:
    line = Line(RateFinder(0.5e6, 100.0), 1e6)
    line.run(5.0)
    assert line.finder.rate == 0.5e6
    line.capacity = 0.2e6
    line.run(2.0)
    assert line.finder.rate == pytest.approx(0.2e6, rel=0.1)
    line.capacity = 1e6
    line.run(4.0)
    assert line.finder.rate == 0.5e6


@pytest.mark.parametrize("share", [0.5, 0.8, 0.9, 0.95])
def test_a_line_that_just_carries_its_cap_has_it_again_after_a_fall(share: float) -> None:
    line = Line(RateFinder(0.5e6, 100.0), 0.5e6)
    line.run(3.0)
    line.capacity = share * 0.5e6
    line.run(3.0)
    line.capacity = 0.5e6
    line.run(6.0)
    assert line.finder.rate == 0.5e6


def test_a_sender_with_little_to_send_learns_no_low_rate() -> None:
    line = Line(RateFinder(None, 100.0), 1e6)
    line.busy_for = 0.002
    line.run(5.0)
    assert line.finder.state is RateState.START
    line.busy_for = None
    line.run(2.0)
    before = line.finder.rate
    assert before == pytest.approx(1e6, rel=0.1)
    line.busy_for = 0.002
    line.run(5.0)
    assert line.finder.rate > 0.9 * before


def test_what_was_sent_before_a_stall_tells_nothing() -> None:
    line = Line(RateFinder(None, 100.0), 1e6)
    line.run(3.0)
    before = line.finder.rate
    line._free_at = line.now + 0.06  # nobody ran for 60 ms
    line.finder.on_stall(line.now)
    line.run(0.06)
    assert line.finder.rate == before


def test_without_reports_for_half_a_second_what_is_under_way_is_given_up_once() -> None:
    finder = RateFinder(1e6, 100.0)
    finder.wake(0.04, 100.0)
    assert not finder.tick(backlog=True, may_ask=True, now=100.4)
    assert finder.tick(backlog=True, may_ask=True, now=100.6)
    assert not finder.tick(backlog=True, may_ask=True, now=100.7)
