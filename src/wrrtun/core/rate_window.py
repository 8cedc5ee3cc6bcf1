"""What a link's reports say: how much it delivered over a while, and how long its queue is.

Rates are bytes a second with IP and UDP headers, delays seconds.
"""

from collections import deque
from collections.abc import Collection, Sequence
from math import inf, sqrt
from typing import Final, NamedTuple

from .delays import WindowedMinimum
from .flight import Sample

WIRE_BYTES: Final = 1514  # of a full datagram: a link's unit of work
MAX_POINTS: Final = 200
# Silence on the sender's side that no window reaches across.
GAP_SECONDS: Final = 0.25

# Of loss above the usual, at least: radio loss comes in bursts.
LOSS_MARGIN: Final = 0.08
LOSS_GAIN: Final = 0.01
ENOUGH_DATAGRAMS: Final = 20

LEARN_GAIN: Final = 0.05
LEAST_THRESHOLD_SECONDS: Final = 0.008
MOST_THRESHOLD_SECONDS: Final = 0.040


class Point(NamedTuple):
    """The newest sample of a report, and the other end's totals when it arrived."""

    sample: Sample
    received_bytes: int
    received: int  # bulk datagrams


class Flow(NamedTuple):
    """What happened over a while."""

    delivered: float
    sent: float
    datagrams: int
    lost: int
    limited: bool  # there was not always something to send

    @property
    def loss(self) -> float:
        """Share lost of what was sent."""
        return self.lost / self.datagrams if self.datagrams else 0.0


class History:
    """The reports of the last seconds."""

    def __init__(self) -> None:
        self._points: deque[Point] = deque(maxlen=MAX_POINTS)

    def add(self, point: Point) -> None:
        """Take a report's newest sample."""
        if self._points:
            before = self._points[-1]
            if point.sample.bulk <= before.sample.bulk:
                return
            # The other end has begun anew, or this one had nothing to send.
            gap = point.sample.sent_at - before.sample.sent_at
            if point.received < before.received or gap > GAP_SECONDS:
                self._points.clear()
        self._points.append(point)

    def clear(self) -> None:
        """Forget."""
        self._points.clear()

    def over(self, seconds: float, since: float = -inf) -> Flow | None:
        """Say what happened in the shortest while of at least `seconds`; None: no such while.

        What was sent before `since` does not count.
        """
        if not self._points:
            return None
        last = self._points[-1]
        limited = last.sample.limited
        for first in list(self._points)[-2::-1]:
            if first.sample.sent_at < since:
                break
            elapsed = last.sample.arrived - first.sample.arrived
            sending = last.sample.sent_at - first.sample.sent_at
            if elapsed >= seconds and sending > 0:
                datagrams = last.sample.bulk - first.sample.bulk
                return Flow(
                    (last.received_bytes - first.received_bytes) / elapsed,
                    (last.sample.wire_bytes - first.sample.wire_bytes) / sending,
                    datagrams,
                    max(0, datagrams - (last.received - first.received)),
                    limited,
                )
            limited = limited or first.sample.limited
        return None

    def delivered(self, rate: float, jitter: float) -> float | None:
        """Return what the line delivers, to judge a `rate` that may be too high.

        A short while counts when it shows more than a long one: the receiver may have been held up.
        """
        datagram = WIRE_BYTES / rate
        flow = self.over(max(0.04, 6 * datagram, 12 * jitter))
        if flow is not None and flow.delivered > 0.8 * rate:
            flow = self.over(0.2) or flow
        short = self.over(max(0.02, 3 * datagram))
        if flow is None or short is None:
            return None
        return max(flow.delivered, short.delivered)


class LossGauge:
    """Whether loss comes of sending too fast: then it goes when the rate does, unlike a radio's."""

    def __init__(self) -> None:
        self.usual = 0.0
        self._tried: tuple[float, float] | None = None  # the rate and loss that were given up

    def excess(self, flow: Flow) -> bool:
        """Tell whether more is lost than usual."""
        noise = 1.5 * sqrt(flow.loss / flow.datagrams)
        return flow.loss > self.usual + LOSS_MARGIN + noise

    def judge(self, flow: Flow, rate: float) -> float:
        """Return the rate that a while of loss calls for."""
        if not self.excess(flow) or flow.delivered > 0.96 * rate:
            self.usual += LOSS_GAIN * (flow.loss - self.usual)
            if flow.datagrams >= ENOUGH_DATAGRAMS and flow.loss < 0.5 * LOSS_MARGIN:
                self._tried = None
            return rate
        if self._tried is not None and flow.loss > 0.6 * self._tried[1]:
            # Slower did not help: that is how the line is.
            before, self._tried = self._tried[0], None
            self.usual = flow.loss
            return max(before, rate)
        self._tried = rate, flow.loss
        return max(flow.delivered, 0.5 * rate)


class QueueGauge:
    """How long datagrams wait in a line's queue: one-way delay above its base, and its noise."""

    def __init__(self) -> None:
        self.queue = 0.0
        self.noise = 0.0  # what `queue` reads while there is none, on average
        self.noise_deviation = 0.0
        self.jitter = 0.0  # mean deviation of single delays
        self._base = WindowedMinimum()
        self._recent: deque[float] = deque(maxlen=6)

    def measure(self, samples: Sequence[Sample], now: float) -> None:
        """Take a report's samples."""
        delays = [sample.delay for sample in samples]
        self._recent.extend(delays)
        mean = _mean(delays if len(delays) >= 4 else self._recent)
        self._base.add(mean, now)
        base = self._base.value
        assert base is not None
        self.queue = min(mean, *delays[-3:]) - base

    def learn(self, samples: Sequence[Sample]) -> None:
        """Take the last measurement for what an empty queue looks like."""
        delays = [sample.delay for sample in samples]
        mean = _mean(delays)
        deviation = _mean([abs(delay - mean) for delay in delays])
        self.noise += LEARN_GAIN * (self.queue - self.noise)
        self.noise_deviation += LEARN_GAIN * (abs(self.queue - self.noise) - self.noise_deviation)
        self.jitter += LEARN_GAIN * (deviation - self.jitter)

    def threshold(self, rate: float) -> float:
        """Say above which reading a queue is there."""
        datagram = WIRE_BYTES / rate
        noise = self.noise + 4 * self.noise_deviation
        least = max(LEAST_THRESHOLD_SECONDS, 1.2 * datagram, noise)
        return min(least, max(MOST_THRESHOLD_SECONDS, 2 * datagram))


def _mean(values: Collection[float]) -> float:
    return sum(values) / len(values)
