"""What bulk arrived over one link since the last report, for the other end to learn its rate from.

One note a run: the run's last seq, when it arrived, and the totals of that moment. A report carries
a few of them, evenly spaced, and the totals that belong to the newest.
"""

from collections import deque
from typing import Final

from .reports import MAX_REPORT_SAMPLES, LinkReport

# More than a report's interval brings; a bound for when no report can be sent.
MAX_NOTES: Final = 4096
MAX_QUIET_MS: Final = 0xFFFF


class Arrivals:
    """The notes of one link."""

    def __init__(self) -> None:
        self.datagrams = 0  # bulk so far, over this link itself
        self._notes: deque[tuple[int, float, int, int]] = deque(maxlen=MAX_NOTES)
        self._totals = (0, 0)  # datagrams and wire bytes at the newest note

    def add(self, seq: int, count: int, wire_bytes: int, arrived: float) -> None:
        """Note a run that ends with `seq`; `wire_bytes` of all classes came until then."""
        self.datagrams += count
        self._notes.append((seq, arrived, self.datagrams, wire_bytes))

    def report(self, link: int, floor: int, quiet_seconds: float) -> LinkReport:
        """Make the link's part of a report, and begin anew."""
        notes = self._notes
        if notes:
            self._totals = notes[-1][2:]
        last = len(notes) - 1
        parts = min(last, MAX_REPORT_SAMPLES - 1)
        chosen = [notes[last * part // parts] for part in range(parts)] if parts else []
        chosen += [notes[-1]] if notes else []
        samples = tuple((seq, int(arrived * 1e6)) for seq, arrived, _, _ in chosen)
        notes.clear()
        quiet_ms = min(int(quiet_seconds * 1e3), MAX_QUIET_MS)
        return LinkReport(link, *self._totals, floor, quiet_ms, samples)
