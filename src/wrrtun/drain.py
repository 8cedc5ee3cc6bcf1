"""How often to read a descriptor in one wake-up: once, or until it has nothing more.

An empty read costs nearly as much as a wake-up, but what is read together is handled together,
which costs much less than singly. So it is looked for more as long as that pays now and then.
"""

from collections.abc import Callable
from typing import Final

# Behind so many bytes an empty look costs nothing worth counting.
LONG_BYTES: Final = 16_384
# How many long reads one wake-up has at most: each takes as long as many small ones, and other
# descriptors wait.
MOST_LONG: Final = 8
# Looking for more pays if so many of the looks find something; the latest weigh most.
PAYING_SHARE: Final = 1 / 8
WEIGHT: Final = 1 / 8
# When it does not pay, it is tried again at each such wake-up.
PATIENCE: Final = 16


class Drain:
    """How often to read one descriptor in the next wake-up."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._share = 0.0  # of looks for more that found something, of late
        self._untried = 0  # wake-ups since the last

    @property
    def reads(self) -> int:
        """How often to read this time."""
        if self._share >= PAYING_SHARE or self._untried >= PATIENCE:
            return self._most
        return 1

    def found(self, count: int, looked: int) -> None:
        """Hear how many of so many possible reads brought something."""
        if looked == 1:
            self._untried += 1
            return
        self._untried = 0
        self._share += ((count > 1) - self._share) * WEIGHT

    def run(self, read: Callable[[float], int], now: float) -> int:
        """Call `read` until it has nothing more, or its turn is over; return how often it had.

        `read` returns how many bytes it found; 0: nothing.
        """
        wanted = most = self.reads
        done = long = 0
        while done < most and (size := read(now)):
            done += 1
            if size >= LONG_BYTES:
                long += 1
                most = self._most if long < MOST_LONG else done
        self.found(done, wanted)
        return done
