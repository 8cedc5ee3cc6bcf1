"""Whether to rest a moment before the next wake-up, so that it brings more.

On slow lines datagrams come one by one, each of them a wake-up: a poll of the core, half a dozen
system calls, caches that have gone cold. Where the CPU is full, so that they wait in the sockets
anyway, what several lines bring within a millisecond is better handled in one go, as network
cards do it (interrupt coalescing): what is in order then goes to the kernel as one super-frame.
"""

from typing import Final

NAP_SECONDS: Final = 0.001
# Datagrams that wait longer than this on the average lose nothing by a nap.
BEHIND_SECONDS: Final = 0.002
WEIGHT: Final = 1 / 32  # of the newest in that average
FEW_DATAGRAMS: Final = 8  # more in one wake-up are no reason to wait for others


class Nap:
    """When a process that is behind rests after wake-ups that brought little."""

    def __init__(self) -> None:
        self._waited_seconds = 0.0  # smoothed
        self._datagrams = 0  # in this wake-up

    def heard(self, datagrams: int, waited_seconds: float) -> None:
        """Hear how long datagrams had waited in a socket."""
        self._datagrams += datagrams
        self._waited_seconds += (waited_seconds - self._waited_seconds) * WEIGHT

    def seconds(self) -> float:
        """Say for how long to rest after this wake-up."""
        datagrams, self._datagrams = self._datagrams, 0
        few = 0 < datagrams <= FEW_DATAGRAMS
        return NAP_SECONDS if few and self._waited_seconds > BEHIND_SECONDS else 0.0
