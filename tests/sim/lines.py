"""Emulated ISP lines: what a line does to datagrams, in plain figures."""

import random
from dataclasses import dataclass, field

HEADER_BYTES = 28  # IPv4 and UDP


@dataclass
class Line:
    """One direction of one line, and what it did. `rate` in bits/s of IP packets; None: unshaped.

    Fields may be changed while datagrams are under way: those that come later feel it.
    """

    delay: float = 0.010
    rate: float | None = None
    buffer_seconds: float = 0.2
    jitter: float = 0.0  # seconds; keeps order
    reorder: float = 0.0  # a fraction that comes up to 5 ms later than those behind it
    loss: float = 0.0
    duplicate: float = 0.0
    cut: bool = False
    mtu: int | None = None  # bytes of an IP packet; longer ones vanish
    sent: int = field(default=0, init=False)
    dropped: int = field(default=0, init=False)
    bulk_bytes: int = field(default=0, init=False)  # that arrived
    _free_at: float = field(default=0.0, init=False)
    _last_arrival: float = field(default=0.0, init=False)

    def carry(self, datagram: bytes, now: float, rng: random.Random) -> list[float]:
        """Take a datagram; return when copies of it arrive: none, one or two."""
        self.sent += 1
        too_long = self.mtu is not None and len(datagram) + HEADER_BYTES > self.mtu
        if self.cut or too_long or rng.random() < self.loss:
            self.dropped += 1
            return []
        leaves = now
        if self.rate is not None:
            leaves = max(now, self._free_at)
            if leaves - now > self.buffer_seconds:
                self.dropped += 1
                return []
            leaves += (len(datagram) + HEADER_BYTES) * 8 / self.rate
            self._free_at = leaves
        if datagram[0] >> 4 & 3 == 1:
            self.bulk_bytes += len(datagram) + HEADER_BYTES
        arrives = leaves + self.delay + rng.uniform(-self.jitter, self.jitter)
        if self.reorder and rng.random() < self.reorder:
            arrives += rng.uniform(0, 0.005)
        else:
            arrives = self._last_arrival = max(arrives, self._last_arrival)
        return [arrives, arrives + 0.0001] if rng.random() < self.duplicate else [arrives]

    def pause(self, now: float, seconds: float) -> None:
        """Let nothing leave for a while, and then what has gathered: as at a radio's handover."""
        self._free_at = max(self._free_at, now) + seconds


def both(**kind: float | None) -> tuple[Line, Line]:
    """Make a line that is the same in both directions: up, down."""
    return Line(**kind), Line(**kind)  # type: ignore[arg-type]
