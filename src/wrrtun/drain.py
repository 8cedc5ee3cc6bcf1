"""How often to read a descriptor in one wake-up: as often as it paid the last time, or twice that.

An empty read costs nearly as much as a wake-up, so one is tried the more rarely the more often it
was in vain; but to read singly what comes in floods costs a wake-up each.
"""

from collections.abc import Callable
from typing import Final

# So many wake-ups in a row that found as much as they looked for make the next one look for more:
# at first, and at most, when that was in vain again and again.
FULL_WAKE_UPS: Final = (4, 64)


class Drain:
    """How often to read one descriptor in the next wake-up."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._reads = 1
        self._full = 0  # wake-ups in a row that found as much as they looked for
        self._patience = FULL_WAKE_UPS[0]  # how many of them make the next one look for more

    @property
    def reads(self) -> int:
        """How often to read this time."""
        return self._reads

    def found(self, count: int) -> None:
        """Hear how many of the reads brought something."""
        if count < self._reads:
            self._reads, self._full = max(1, count), 0
            self._patience = min(2 * self._patience, FULL_WAKE_UPS[1])
            return
        self._full += 1
        if count > 1:
            self._patience = FULL_WAKE_UPS[0]
        if self._full >= self._patience:
            self._reads, self._full = min(self._reads * 2, self._most), 0

    def run(self, read: Callable[[float], bool], now: float) -> int:
        """Call `read` until it has nothing more, or its turn is over; return how often it had."""
        done = 0
        while done < self._reads and read(now):
            done += 1
        self.found(done)
        return done
