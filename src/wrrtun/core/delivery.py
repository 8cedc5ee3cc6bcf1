"""Whether what is put on a link arrives, by the word of the other end's reports.

A report says for each link how long nothing has come over it, and how much bulk has. Two things
make a link *failed*:

- nothing at all came for longer than a mobile line pauses, though enough was sent that should have
  arrived meanwhile: the line is dead;
- small datagrams pass, but the count of bulk stands still: full ones do not get through.

*Travel* is what lies between a datagram's departure and the arrival of a report that could know of
it: the link's way out, and the way back of the link that brought the report. Both clocks' unknown
difference drops out of it: least and most are true bounds, in seconds.
"""

import math
from typing import Final, NamedTuple

from .delays import OneWayDelay, RoundTrip

# A mobile line pauses for some 50 to 100 ms at every hand-over.
QUIET_SECONDS: Final = 0.120
# Fewer may simply be lost.
ENOUGH_DATAGRAMS: Final = 4
# How improbable it must be that loss alone swallowed so many in a row.
FALSE_ALARM: Final = 1e-4
# For bulk that stands still while other datagrams pass. Reports must say so twice: the first may
# have been under way already.
ENOUGH_MISSES: Final = 2
STANDSTILL_SECONDS: Final = 0.2

# Reports count in ms, and clocks are read once for a wake-up.
SLACK_SECONDS: Final = 0.005
SLOT_SECONDS: Final = 0.005
MAX_SLOTS: Final = 1000


class Travel(NamedTuple):
    """Bounds of the time from a datagram's departure to a report of its arrival."""

    least: float
    most: float

    @staticmethod
    def over(
        out: RoundTrip, way_out: OneWayDelay, back: RoundTrip, back_way_out: OneWayDelay
    ) -> "Travel":
        """Estimate it for a link's datagrams, and reports that come over another (or the same).

        The other's round trip, its own way out replaced by the link's.
        """
        if (
            out.minimum is None
            or back.minimum is None
            or way_out.base is None
            or back_way_out.base is None
        ):
            return Travel(0.0, out.timeout + back.timeout)
        least = max(0.0, back.minimum + way_out.base - back_way_out.base)
        queues = out.timeout - out.minimum + back.timeout - back.minimum
        return Travel(max(0.0, least - SLACK_SECONDS), least + queues + SLACK_SECONDS)


class Delivery:
    """What was put on one link and when, held against the other end's reports."""

    def __init__(self) -> None:
        self._slots: list[tuple[float, int]] = []  # since when, and datagrams sent before it
        self._sent = 0
        self._bulk_reported = -1
        self._bulk_waiting = 0
        self._bulk_waiting_since = 0.0
        self._misses = 0

    def sent(self, count: int, now: float, *, bulk: bool) -> None:
        """Count datagrams that have just left."""
        slots = self._slots
        if not slots or now - slots[-1][0] >= SLOT_SECONDS:
            slots.append((now, self._sent))
            if len(slots) > MAX_SLOTS:
                del slots[: MAX_SLOTS // 2]
        self._sent += count
        if bulk:
            if not self._bulk_waiting:
                self._bulk_waiting_since = now
            self._bulk_waiting += count

    def failed(
        self, quiet_seconds: float, bulk_datagrams: int, travel: Travel, loss: float, now: float
    ) -> bool:
        """Take a report; tell whether what is sent on this link does not arrive.

        `bulk_datagrams` is the other end's total; `loss` the share that the line loses anyway.
        """
        stands = self._stands_still(bulk_datagrams, travel.most, now)
        if quiet_seconds < QUIET_SECONDS:
            return stands
        enough = ENOUGH_DATAGRAMS
        if 0.0 < loss < 1.0:
            enough = max(enough, math.ceil(math.log(FALSE_ALARM) / math.log(loss)))
        missing = self._between(now - quiet_seconds - travel.least, now - travel.most)
        return stands or missing >= enough

    def reset(self) -> None:
        """Start anew: what was sent until now is settled."""
        self._slots.clear()
        self._bulk_waiting = self._misses = 0

    def _stands_still(self, bulk_datagrams: int, travel_most: float, now: float) -> bool:
        if bulk_datagrams != self._bulk_reported:
            self._bulk_reported = bulk_datagrams
            self._bulk_waiting = self._misses = 0
            return False
        waited = now - self._bulk_waiting_since >= max(travel_most, STANDSTILL_SECONDS)
        if waited and self._bulk_waiting >= ENOUGH_DATAGRAMS:
            self._misses += 1
        return self._misses >= ENOUGH_MISSES

    def _between(self, first: float, last: float) -> int:
        """Count what certainly left after `first` and before `last`."""
        count, after = 0, self._sent
        for since, before in reversed(self._slots):
            if since <= first:
                break
            if since + SLOT_SECONDS <= last:
                count += after - before
            after = before
        return count
