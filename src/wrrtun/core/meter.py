"""How fast bytes have been going by: a rate over the last few tens of milliseconds."""

from typing import Final

WINDOW_SECONDS: Final = 0.02


class RateMeter:
    """Counts bytes in windows of time; the rate is that of the last full window."""

    def __init__(self) -> None:
        self._since = 0.0
        self._bytes = 0
        self._bits_per_second = 0.0

    def add(self, size_bytes: int, now: float) -> None:
        """Count bytes."""
        self._roll(now)
        self._bytes += size_bytes

    def bits_per_second(self, now: float) -> float:
        """Return the rate; 0 after a silence."""
        self._roll(now)
        return self._bits_per_second

    def _roll(self, now: float) -> None:
        elapsed = now - self._since
        if elapsed >= WINDOW_SECONDS:
            self._bits_per_second = self._bytes * 8 / elapsed
            self._since, self._bytes = now, 0
