"""A pulse: for a moment a link sends faster than its rate, and its queue says if that is too much.

What the line cannot carry queues up: while a pulse is sent, each datagram then waits longer than
the one before it. The slope of delay over sending time is the excess over the line's rate.
"""

from enum import Enum, auto
from math import exp, inf, sqrt
from typing import Final

from .flight import Sample
from .rate_window import WIRE_BYTES, Flow, History

GAIN: Final = 1.25  # 1.1 finds changes too slowly, 1.5 puts 20 ms into the queue
MOST_GAIN: Final = 2.0
LENGTH_SECONDS: Final = (0.04, 0.4)
LEAST_SAMPLES: Final = 4
LEAST_EXTRA: Final = 0.05  # of the rate; with less to send there was no pulse

INTERVAL_SECONDS: Final = (0.25, 1.2)  # after a pulse that failed: at first, and in the end
VOLATILITY_SECONDS: Final = 5.0


class Verdict(Enum):
    """What came of a pulse."""

    CARRIED = auto()  # the line carries at least as much
    REFUSED = auto()
    VOID = auto()  # there was too little to send


class Pulse:
    """The pulses of one link, one at a time."""

    def __init__(self) -> None:
        self.gain = GAIN
        self.number = 0
        self._longer = 1.0
        self._samples: list[Sample] = []
        self._began = 0.0
        self.due_at = inf
        self._interval = INTERVAL_SECONDS[1]
        self._volatility = 0.0
        self._volatile_at = 0.0

    def begin(self, rate: float, jitter: float, now: float) -> float:
        """Begin a pulse; return how many seconds it lasts."""
        self.number += 1
        self._samples.clear()
        self._began = now
        least, most = LENGTH_SECONDS
        wanted = max(least, 8 * WIRE_BYTES / (self.gain * rate), 12 * jitter * self._longer)
        return min(wanted, most)

    def add(self, samples: list[Sample]) -> None:
        """Take a report's samples."""
        self._samples += [sample for sample in samples if sample.pulse == self.number]

    def reported(self, newest: Sample) -> bool:
        """Tell whether what was sent after the pulse has arrived."""
        return newest.pulse == 0 and newest.sent_at > self._began

    def judge(self, rate: float, history: History, usual_loss: float) -> tuple[Verdict, float]:
        """Say what came of the pulse, and what the rate is then."""
        samples = self._samples
        if len(samples) < LEAST_SAMPLES:
            return Verdict.VOID, rate
        if samples[-1].sent_at <= samples[0].sent_at:
            return Verdict.VOID, rate
        # Datagrams leave in pairs: last less first over the time between them would be too much.
        sent, _ = _slope([(sample.sent_at, sample.wire_bytes) for sample in samples])
        extra = sent / rate - 1
        if extra < LEAST_EXTRA:
            return Verdict.VOID, rate
        slope, error = self._growth(history, usual_loss)
        if error > 0.07:
            self._longer = min(1.3 * self._longer, 8.0)
        elif error < 0.035:
            self._longer = max(0.9 * self._longer, 0.5)
        capacity = sent / (1 + max(slope + 0.5 * error - 0.01, 0.0))
        if slope + error < 0.5 * extra:
            self.gain = min(1.5 * self.gain, MOST_GAIN)
            return Verdict.CARRIED, min(sent, capacity)
        self.gain = GAIN
        if capacity > 1.05 * rate:
            # Half of the way, and only so far as the pulse went: a rate must not creep upwards.
            rate += 0.5 * (min(capacity, rate * (1 + 0.4 * extra)) - rate)
        return Verdict.REFUSED, rate

    # When the next one is due

    def hurry(self, now: float, *, faster: bool = False) -> None:
        """Ask at once; `faster`: further beyond the rate than usual."""
        self.due_at = now
        if faster:
            self.gain = 1.5

    def put_off(self, seconds: float, now: float) -> None:
        """Ask, or ask again, a little later."""
        self.due_at = now + seconds

    def succeed(self, now: float) -> None:
        """The line carries more: ask again at once."""
        self.unsettle(0.5, now)
        self.due_at = now

    def fail(self, now: float) -> None:
        """The line does not carry more: ask ever more rarely, but often while it keeps changing."""
        least, most = INTERVAL_SECONDS
        self._interval = min(2 * self._interval, most)
        # Not quite regular, so that links fall out of step.
        spread = 0.85 + 0.3 * (self.number * 0.618 % 1)
        pause = max(least, self._interval / (1 + self._volatility_now(now)))
        self.due_at = now + pause * spread

    def unsettle(self, by: float, now: float) -> None:
        """Count a change of the line; how often it changes is forgotten in seconds."""
        self._interval = INTERVAL_SECONDS[0]
        self._volatility = self._volatility_now(now) + by
        self._volatile_at = now

    def _volatility_now(self, now: float) -> float:
        return self._volatility * exp((self._volatile_at - now) / VOLATILITY_SECONDS)

    def _growth(self, history: History, usual_loss: float) -> tuple[float, float]:
        """Return how fast delay grew over sending time, and the error of that."""
        samples = self._samples
        began = samples[0].sent_at
        flow: Flow | None = history.over(max(samples[-1].arrived - samples[0].arrived, 0.02))
        excess = flow.loss - usual_loss if flow is not None else 0.0
        # What was lost would have queued.
        drift = 1 / (1 - min(excess, 0.9)) - 1 if excess > 0.03 else 0.0
        return _slope([(s.sent_at, s.delay + drift * (s.sent_at - began)) for s in samples])


def _slope(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Return the slope of the straight line through points of different x, and its error."""
    count = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / count, sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    rest = sum((y - mean_y - slope * (x - mean_x)) ** 2 for x, y in points)
    return slope, sqrt(rest / max(count - 2, 1) / spread)
