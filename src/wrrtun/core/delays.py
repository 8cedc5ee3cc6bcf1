"""How long things take on one link, and how much gets lost: estimators fed with plain numbers.

One-way delays are differences of two clocks that do not agree: only their changes, and the
difference between two links of the same pair of ends, mean anything.
"""

from collections import deque
from typing import Final

# RFC 6298, 2.3.
RTT_GAIN: Final = 1 / 8
RTT_VARIATION_GAIN: Final = 1 / 4
# Before the first sample (RFC 6298, 2.1).
INITIAL_TIMEOUT_SECONDS: Final = 1.0

DELAY_GAIN: Final = 1 / 8
RECENT_SAMPLES: Final = 3
BASE_BUCKET_SECONDS: Final = 10.0
LATE_BUCKET_SECONDS: Final = 1.0

LOSS_HALF_LIFE_SECONDS: Final = 2.0
STEADY_LOSS_HALF_LIFE_SECONDS: Final = 4.0
# Fewer than this and one loss would look like a bad line: an idle link sends a probe a second.
LOSS_MIN_DATAGRAMS: Final = 50


class WindowedMinimum:
    """The least of the last 10 to 20 seconds (once or twice `bucket_seconds`), in two buckets."""

    def __init__(self, bucket_seconds: float = BASE_BUCKET_SECONDS) -> None:
        self._bucket_seconds = bucket_seconds
        self._bucket = 0
        self._present: float | None = None
        self._before: float | None = None

    def add(self, sample: float, now: float) -> None:
        """Take a sample."""
        bucket = int(now // self._bucket_seconds)
        if self._present is None or bucket != self._bucket:
            self._before = self._present if bucket == self._bucket + 1 else None
            self._present, self._bucket = sample, bucket
        else:
            self._present = min(self._present, sample)

    @property
    def value(self) -> float | None:
        """The minimum; None before the first sample. It stays while no samples come."""
        if self._before is None or self._present is None:
            return self._present
        return min(self._present, self._before)


class RoundTrip:
    """Smoothed round-trip time and its variation (RFC 6298), in seconds."""

    def __init__(self) -> None:
        self.srtt: float | None = None
        self.rttvar: float | None = None
        self._minimum = WindowedMinimum()

    def add(self, rtt: float, now: float) -> None:
        """Take the round-trip time of one answered probe."""
        self._minimum.add(rtt, now)
        if self.srtt is None or self.rttvar is None:
            self.srtt, self.rttvar = rtt, rtt / 2
            return
        self.rttvar += RTT_VARIATION_GAIN * (abs(self.srtt - rtt) - self.rttvar)
        self.srtt += RTT_GAIN * (rtt - self.srtt)

    @property
    def minimum(self) -> float | None:
        """The least of the last 10 to 20 seconds: the line without its queue."""
        return self._minimum.value

    @property
    def timeout(self) -> float:
        """How long an answer may take: the RTO of RFC 6298 without its lower bound."""
        if self.srtt is None or self.rttvar is None:
            return INITIAL_TIMEOUT_SECONDS
        return self.srtt + 4 * self.rttvar


class OneWayDelay:
    """One direction's delay in seconds, off by the unknown difference of the two clocks."""

    def __init__(self) -> None:
        self.mean: float | None = None
        self.jitter = 0.0  # mean deviation from the mean
        self._base = WindowedMinimum()
        self._late_base = WindowedMinimum(LATE_BUCKET_SECONDS)
        # The least of the last few samples: with the queue, without a process that came late.
        self.recent: float | None = None
        self._last: deque[float] = deque(maxlen=RECENT_SAMPLES)

    def add(self, delay: float, now: float) -> None:
        """Take one datagram's arrival time minus its sending time."""
        self._base.add(delay, now)
        self._late_base.add(delay, now)
        self._last.append(delay)
        self.recent = min(self._last)
        if self.mean is None:
            self.mean = delay
            return
        self.jitter += DELAY_GAIN * (abs(delay - self.mean) - self.jitter)
        self.mean += DELAY_GAIN * (delay - self.mean)

    @property
    def base(self) -> float | None:
        """The least of the last 10 to 20 seconds: the line without its queue."""
        return self._base.value

    @property
    def late_base(self) -> float | None:
        """The least of the last one to two seconds: with a queue that stands that long."""
        return self._late_base.value


class Loss:
    """The share of datagrams that one direction of a link loses, over the last few seconds."""

    def __init__(self, half_life_seconds: float = LOSS_HALF_LIFE_SECONDS) -> None:
        self._half_life_seconds = half_life_seconds
        self._before: tuple[int, int] | None = None
        self._at = 0.0
        self._sent = 0.0
        self._lost = 0.0

    def compare(self, sent: int, received: int, now: float) -> None:
        """Take both ends' totals at one datagram, itself included.

        The link keeps order, so nothing counted as sent is still under way. Totals that go back
        mean that an end started anew, or that an older datagram was overtaken: a new beginning.
        """
        before, self._before = self._before, (sent, received)
        if before is None or sent < before[0] or received < before[1]:
            return
        fade = 0.5 ** ((now - self._at) / self._half_life_seconds)
        self._at = now
        newly_sent = sent - before[0]
        # Below zero when datagrams that an earlier comparison missed came late: they correct it.
        self._lost = self._lost * fade + newly_sent - (received - before[1])
        self._sent = self._sent * fade + newly_sent

    def restart(self) -> None:
        """Forget what was: what an outage swallowed says nothing about the line after it."""
        self._before = None
        self._sent = self._lost = 0.0

    @property
    def judged(self) -> bool:
        """Whether there was enough to judge by."""
        return self._sent >= LOSS_MIN_DATAGRAMS

    @property
    def share(self) -> float:
        """Lost of sent, from 0.0 to 1.0; leans to 0 while there is little to judge by."""
        return min(1.0, max(0.0, self._lost / max(self._sent, LOSS_MIN_DATAGRAMS)))
