"""Keep one link just below its rate, so that its queue stays here and not in the modem.

A *virtual clock* says when the line will have sent all that it was given, in wire bytes. It may
run ahead of `now` by a short burst; then the link waits until the clock has come down to `now`,
so that one wake-up sends a burst of two datagrams and not one: system calls are dear.

Timers tick in milliseconds and come late. By what a wait lasted too long is owed to the link: the
clock may lag behind `now` by a few ms, and the long-run rate is exact. A link that was free to
send and had nothing is owed nothing.
"""

from typing import Final

BURST_SECONDS: Final = 0.002
DATAGRAM_BYTES: Final = 1542  # a full one on the wire: 1500 + Ethernet's header, tag, CRC, gaps
BURST_DATAGRAMS: Final = 2

# The most lateness that is owed. libuv's timers tick in ms and wait for the loop's turn to end.
CATCH_UP_SECONDS: Final = 0.004
# A wait that ended this long ago was followed by silence, not by a late timer.
IDLE_SECONDS: Final = 0.020

UNLIMITED_BYTES: Final = 1 << 40
DEFAULT_FRACTION: Final = 0.99


class Pacer:
    """The virtual clock of one link and direction."""

    def __init__(
        self, rate_bits_per_second: float | None, fraction: float = DEFAULT_FRACTION
    ) -> None:
        """Pace at `fraction` of the link's rate, counted in wire bytes; None: do not pace."""
        self._fraction = fraction
        self._bytes_per_second: float | None = None
        self._burst_seconds = 0.0
        self._clock = -1e9  # long ago: idle
        self._waiting = False  # the burst is used up, until the clock has come down to `now`
        self._woke = self._clock  # when the last wait ended in a charge
        self.set_rate(rate_bits_per_second, now=self._clock)

    def set_rate(self, rate_bits_per_second: float | None, now: float) -> None:
        """Change the rate; bytes that the line has not yet sent are still to be sent."""
        if rate_bits_per_second is None:
            self._bytes_per_second = None
            self._waiting = False
            return
        if not rate_bits_per_second > 0:
            raise ValueError(f"a rate is positive, not {rate_bits_per_second}")
        before, after = self._bytes_per_second, rate_bits_per_second / 8 * self._fraction
        ahead = self._clock - now
        if before is None:
            self._clock = now
        elif ahead > 0:
            self._clock = now + ahead * before / after
        self._bytes_per_second = after
        self._burst_seconds = max(BURST_SECONDS, BURST_DATAGRAMS * DATAGRAM_BYTES / after)

    def allowance(self, now: float) -> int:
        """Say how many wire bytes may be sent now; 0 while waiting."""
        rate = self._bytes_per_second
        if rate is None:
            return UNLIMITED_BYTES
        if self._waiting and self._clock > now:
            return 0
        # The half byte is for rounding: two full datagrams fit two datagrams.
        return max(0, int((self._burst_seconds - self._ahead(now)) * rate + 0.5))

    def ready(self, now: float) -> bool:
        """Tell whether a run may be sent; then its first datagram may, whatever its size."""
        return not self._waiting or self._clock <= now

    def charge(self, size_bytes: int, now: float) -> None:
        """Count wire bytes that were sent. Express does not ask first: it may run up a debt."""
        rate = self._bytes_per_second
        if rate is None:
            return
        still_waiting = self._waiting and self._clock > now
        self._clock = now + self._ahead(now) + size_bytes / rate
        if self._waiting and not still_waiting:
            self._woke = now
        # Less than a full datagram is left: wait, rather than overdraw or send a small piece.
        left_bytes = (self._burst_seconds - (self._clock - now)) * rate
        self._waiting = still_waiting or left_bytes + 0.5 < DATAGRAM_BYTES

    def next_time(self, now: float) -> float:
        """Say when it will be ready: `now` if it is."""
        return now if self.ready(now) else self._clock

    def queue_delay(self, now: float) -> float:
        """Say how many seconds the line will need for what it was given; 0.0 without a rate."""
        return 0.0 if self._bytes_per_second is None else max(0.0, self._clock - now)

    def _ahead(self, now: float) -> float:
        """Return by how much the clock is ahead of `now`; negative: what is owed."""
        ahead = self._clock - now
        if ahead >= 0:
            return ahead
        late = -ahead < IDLE_SECONDS if self._waiting else now - self._woke <= CATCH_UP_SECONDS
        return max(ahead, -CATCH_UP_SECONDS) if late else 0.0
