"""The clock that the core is told, and how the kernel's timestamps stand to it."""

import math
import time
from typing import Final

WALL_CLOCK_SECONDS: Final = 1.0
CLOCK_READ_SECONDS: Final = 0.0005
CLOCK_ATTEMPTS: Final = 3


def clock() -> float:
    """Return seconds that go on through suspend, as keys must age (CLOCK_BOOTTIME)."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class WallClock:
    """What the kernel's receive timestamps, in CLOCK_REALTIME, mean on our clock.

    The wall clock may be set, so the difference is looked up each second.
    """

    def __init__(self) -> None:
        self._ahead = 0.0
        self._checked_at = -math.inf

    def since(self, wall: float, now: float) -> float:
        """Return for how many seconds something has waited; 0.0 when `wall` cannot be true.

        Negative: it has come since this wake-up read the clock.
        """
        if now - self._checked_at > WALL_CLOCK_SECONDS:
            self._look()
            self._checked_at = now
        waited = now + self._ahead - wall
        return waited if abs(waited) < WALL_CLOCK_SECONDS else 0.0

    def _look(self) -> None:
        """Compare the clocks, again if another process had the CPU between the two."""
        for _ in range(CLOCK_ATTEMPTS):
            before = clock()
            wall = time.time()
            after = clock()
            self._ahead = wall - (before + after) / 2
            if after - before < CLOCK_READ_SECONDS:
                return
