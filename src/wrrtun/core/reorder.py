"""Put bulk datagrams that travelled over different links back into the order they were sent in.

A *gap* is a stretch of seqs that has not arrived while later ones have. It ends in one of three
ways, whichever is first:

- what is missing arrives;
- *inference*: a link delivers in its own order, so once the floor of every live link has passed a
  missing seq, it is lost, not late. No timer is involved;
- *hold*: a deadline set once, when the gap was noticed. Later arrivals never move it.

What arrives after its gap was given up is passed on at once: TCP prefers late to lost.

Seqs are unwrapped here: 40-bit numbers become integers that only grow.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from .join import Opened
from .wire import SEQ_MASK, seq_distance

# What a sender can have in flight: 24 MB are 190 ms at 1 Gbit/s. The time is bounded by the hold.
MAX_HELD_BYTES: Final = 24 << 20
MAX_HELD_DATAGRAMS: Final = 32_768
# A seq further ahead than the replay window is no gap, but a new beginning.
MAX_AHEAD: Final = 65_536
# Widened by late arrivals, within this bound (RFC 8985, 6.2 step 4 bounds its window likewise).
MAX_TOLERANCE_SECONDS: Final = 0.050
# How fast the tolerance falls back while nothing proves it right: halved in this time.
TOLERANCE_HALF_LIFE_SECONDS: Final = 10.0


@dataclass(slots=True)
class Gap:
    """Missing seqs `first` to `end - 1`."""

    first: int
    end: int
    noticed: float
    passed: float | None = None  # when every live link's floor had passed `first`


@dataclass(slots=True)
class ReorderCounts:
    """Datagrams since the start."""

    released: int = 0
    lost_by_inference: int = 0
    lost_by_deadline: int = 0
    late: int = 0
    flushed: int = 0


class ReorderBuffer:
    """Holds what came too early. `hold_seconds` may be changed at any time."""

    def __init__(self, next_seq: int, hold_seconds: float) -> None:
        self.hold_seconds = hold_seconds
        self.counts = ReorderCounts()
        self.held_bytes = 0
        self.held_datagrams = 0
        self.tolerance_seconds = 0.0
        self.longest_wait_seconds = 0.0  # that ended with the arrival; the owner resets it
        self._next = next_seq
        self._highest = next_seq  # one past the highest seq that has arrived
        self._held: dict[int, Opened] = {}
        self._gaps: list[Gap] = []
        self._firsts: list[int] = []  # `first` of each gap, to search in
        self._floors: dict[int, int] = {}
        self._given_up: tuple[int, float] = (next_seq, 0.0)  # the last inferred loss: end, when

    def restart(self, next_seq: int) -> list[Opened]:
        """Begin anew at `next_seq`, for a peer that has restarted; return what was still held."""
        released = self._flush()
        self._next = self._highest = next_seq
        self._floors.clear()
        return released

    @property
    def next_seq(self) -> int:
        """The seq (40 bits) that is expected next."""
        return self._next & SEQ_MASK

    @property
    def waiting(self) -> bool:
        """Whether a gap is open."""
        return bool(self._gaps)

    def insert(self, opened: Opened, now: float) -> list[Opened]:
        """Take datagrams that were never seen before; return what may be passed on, in order."""
        first = self._next + seq_distance(opened.seq, self._next & SEQ_MASK)
        count = opened.count
        if first == self._next and not self._held:
            self._next = self._highest = first + count
            self.counts.released += count
            return [opened]
        if first < self._next:
            return self._late(opened, first, now)
        released = []
        if first - self._next > MAX_AHEAD:
            released = self._flush()
            self.counts.flushed += 1
            self._next = self._highest = first
        self._note(first, first + count, now)
        self._held[first] = opened
        self.held_bytes += len(opened.data)
        self.held_datagrams += count
        released += self._release()
        while self.held_bytes > MAX_HELD_BYTES or self.held_datagrams > MAX_HELD_DATAGRAMS:
            self.counts.flushed += 1
            released += self._skip_to(self._gaps[0].end)
        return released

    def raise_floor(self, link: int, seq: int) -> None:
        """Note that `link` has delivered everything it will ever deliver below `seq`."""
        floor = self._next + seq_distance(seq, self._next & SEQ_MASK)
        if floor > self._floors.get(link, floor - 1):
            self._floors[link] = floor

    def floor(self, link: int) -> int:
        """Return the floor of a link (40 bits), or the next expected seq before it has one."""
        return self._floors.get(link, self._next) & SEQ_MASK

    def infer(self, live: Iterable[int], now: float) -> list[Opened]:
        """Give up what every live link has passed by; return what may be passed on.

        A live link without a floor has not spoken yet: it may still bring everything.
        """
        if not self._gaps:
            return []
        floors = [self._floors.get(link, self._next) for link in live]
        limit = min(floors, default=self._next)
        released: list[Opened] = []
        while self._gaps and self._gaps[0].first < limit:
            gap = self._gaps[0]
            if gap.passed is None:
                gap.passed = now
            if now < gap.passed + self.tolerance_seconds:
                break
            end = min(gap.end, limit)
            self.counts.lost_by_inference += end - self._next
            self._given_up = (end, now)
            released += self._skip_to(end)
        return released

    def expire(self, now: float) -> list[Opened]:
        """Give up gaps whose hold has ended; return what may be passed on."""
        released: list[Opened] = []
        while self._gaps and now >= self._gaps[0].noticed + self.hold_seconds:
            gap = self._gaps[0]
            self.counts.lost_by_deadline += gap.end - self._next
            released += self._skip_to(gap.end)
        return released

    @property
    def deadline(self) -> float | None:
        """When `infer` and `expire` should be called next, if nothing arrives before."""
        if not self._gaps:
            return None
        gap = self._gaps[0]
        held_until = gap.noticed + self.hold_seconds
        if gap.passed is None:
            return held_until
        return min(held_until, gap.passed + self.tolerance_seconds)

    def decay_tolerance(self, elapsed_seconds: float) -> None:
        """Let the tolerance fall back, as nothing has proved it necessary for a while."""
        self.tolerance_seconds *= 0.5 ** (elapsed_seconds / TOLERANCE_HALF_LIFE_SECONDS)
        if self.tolerance_seconds < 0.0005:
            self.tolerance_seconds = 0.0

    def _late(self, opened: Opened, first: int, now: float) -> list[Opened]:
        """Pass on what was given up; if inference erred, be more patient with the links."""
        self.counts.late += opened.count
        end, when = self._given_up
        lateness = now - when
        if first < end and lateness < MAX_TOLERANCE_SECONDS:
            wanted = 1.25 * (self.tolerance_seconds + lateness)
            self.tolerance_seconds = min(max(self.tolerance_seconds, wanted), MAX_TOLERANCE_SECONDS)
        return [opened]

    def _note(self, first: int, end: int, now: float) -> None:
        """Keep the list of gaps true after the arrival of first..end."""
        if first >= self._highest:
            if first > self._highest:
                self._gaps.append(Gap(self._highest, first, now))
                self._firsts.append(self._highest)
            self._highest = end
            return
        index = bisect_right(self._firsts, first) - 1
        if index < 0 or first >= self._gaps[index].end:
            return
        gap = self._gaps[index]
        self.longest_wait_seconds = max(self.longest_wait_seconds, now - gap.noticed)
        rest = Gap(end, gap.end, gap.noticed, gap.passed) if end < gap.end else None
        if first > gap.first:
            gap.end = first
            index += 1
        else:
            del self._gaps[index], self._firsts[index]
        if rest:
            self._gaps.insert(index, rest)
            self._firsts.insert(index, rest.first)

    def _release(self) -> list[Opened]:
        """Take out what has become consecutive."""
        released = []
        while opened := self._held.pop(self._next, None):
            released.append(opened)
            self._next += opened.count
            self.held_bytes -= len(opened.data)
            self.held_datagrams -= opened.count
            self.counts.released += opened.count
        return released

    def _skip_to(self, end: int) -> list[Opened]:
        """Give up the head gap as far as `end`."""
        gap = self._gaps[0]
        self._next = end
        if end < gap.end:
            gap.first = self._firsts[0] = end
            gap.passed = None
            return []
        del self._gaps[0], self._firsts[0]
        return self._release()

    def _flush(self) -> list[Opened]:
        """Let everything go, in order."""
        released: list[Opened] = []
        while self._gaps:
            released += self._skip_to(self._gaps[0].end)
        return released
