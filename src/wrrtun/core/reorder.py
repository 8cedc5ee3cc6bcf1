"""Put bulk datagrams that travelled over different links back into the order they were sent in.

A *gap* is a stretch of seqs that has not arrived while later ones have. It ends in one of three
ways, whichever is first:

- what is missing arrives;
- *inference*: a link delivers in its own order, so once the floor of every live link has passed a
  missing seq, it is lost, not late. No timer is involved;
- *hold*: a deadline set once, when the gap was noticed. Later arrivals never move it.

What is lost by either is asked for, and waited for once more: as long as a repair may take, and no
longer than `MAX_WAIT_SECONDS` in all. Where that cannot be enough, it is given up.

What arrives after its gap was given up is passed on at once: TCP prefers late to lost.

Seqs are unwrapped here: 40-bit numbers become integers that only grow.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Final

from .gaps import ANSWER_MARGIN_SECONDS, Gap, Gaps
from .join import Opened
from .wire import SEQ_MASK, seq_distance

# What a sender can have in flight: 24 MB are 190 ms at 1 Gbit/s. The time is bounded by the hold.
MAX_HELD_BYTES: Final = 24 << 20
MAX_HELD_DATAGRAMS: Final = 32_768
# A seq further ahead than the replay window is no gap, but a new beginning.
MAX_AHEAD: Final = 65_536
# Widened by late arrivals, within this bound (RFC 8985, 6.2 step 4 bounds its window likewise).
MAX_TOLERANCE_SECONDS: Final = 0.050
# How long a gap may keep later frames waiting in all: under TCP's minimum RTO of 200 ms.
MAX_WAIT_SECONDS: Final = 0.180
MAX_ASKED: Final = 0xFFFF  # datagrams at once
REPAIR_SECONDS: Final = 0.120
# What a dead line swallowed is sent again once its silence is noticed, and takes its time on a slow
# line. Handing on what lies behind would have TCP send the same a second time. No longer than this
# since the line was last heard without an arrival, after each arrival, and in all.
RESCUE_SECONDS: Final = (0.35, 0.1, 0.8)
# What comes sooner than this share of a round trip after it was asked for is no answer.
ANSWER_SHARE: Final = 0.75
# How fast the tolerance falls back while nothing proves it right: halved in this time.
TOLERANCE_HALF_LIFE_SECONDS: Final = 10.0


@dataclass(slots=True)
class ReorderCounts:
    """Datagrams since the start."""

    released: int = 0
    lost_by_inference: int = 0
    lost_by_deadline: int = 0
    repaired: int = 0
    late: int = 0
    flushed: int = 0


class ReorderBuffer:
    """Holds what came too early. `hold_seconds` may be changed at any time."""

    def __init__(self, next_seq: int, hold_seconds: float) -> None:
        self.hold_seconds = hold_seconds
        # From asking to the answer; None: nothing is asked for, what is lost is given up.
        self.round_trip_seconds: float | None = None
        self.counts = ReorderCounts()
        self.held_bytes = 0
        self.held_datagrams = 0
        self.tolerance_seconds = 0.0
        self.longest_wait_seconds = 0.0  # that ended with the arrival; the owner resets it
        self.fallen_at = -inf  # when a link was last heard that has since fallen silent
        self._repaired_at = -inf
        self._next = next_seq
        self._highest = next_seq  # one past the highest seq that has arrived
        self._held: dict[int, Opened] = {}
        self._gaps = Gaps()
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
        return bool(self._gaps.open)

    def insert(self, opened: Opened, now: float, *, original: bool = True) -> list[Opened]:
        """Take datagrams that were never seen before; return what may be passed on, in order.

        `original`: they came over the link that they were sealed for, and not as a repair.
        """
        first = self._next + seq_distance(opened.seq, self._next & SEQ_MASK)
        count = opened.count
        if first == self._next and not self._gaps.open:
            self._next = self._highest = first + count
            self.counts.released += count
            return [opened]
        if first < self._next:
            return self._late(opened, first, original, now)
        released = []
        if first - self._next > MAX_AHEAD:
            released = self._flush()
            self.counts.flushed += 1
            self._next = self._highest = first
        self._note(first, first + count, original, now)
        self._held[first] = opened
        self.held_bytes += opened.size_bytes
        self.held_datagrams += count
        released += self._release()
        while self.held_bytes > MAX_HELD_BYTES or self.held_datagrams > MAX_HELD_DATAGRAMS:
            self.counts.flushed += 1
            released += self._skip_to(self._gaps.head.end)
        return released

    def raise_floor(self, link: int, seq: int) -> None:
        """Note that `link` has delivered everything it will ever deliver below `seq`."""
        floor = self._next + seq_distance(seq, self._next & SEQ_MASK)
        if floor > self._floors.get(link, floor - 1):
            self._floors[link] = floor

    def floor(self, link: int) -> int:
        """Return the floor of a link (40 bits), or the next expected seq before it has one."""
        return self._floors.get(link, self._next) & SEQ_MASK

    def expect(self, seq: int, now: float) -> None:
        """Note that everything below `seq` has been sent: what is missing at the end is a gap."""
        end = self._next + seq_distance(seq, self._next & SEQ_MASK)
        if end - self._highest > 0 and end - self._next <= MAX_AHEAD:
            self._gaps.notice(self._highest, end, now)
            self._highest = end

    def infer(self, live: Iterable[int], now: float) -> list[Opened]:
        """Find what every live link has passed by; return what may be passed on.

        A live link without a floor has not spoken yet: it may still bring everything.
        """
        if not self._gaps.open:
            return []
        floors = [self._floors.get(link, self._next) for link in live]
        limit = min(floors, default=self._next)
        index = self._gaps.undecided()
        while (gap := self._gaps.get(index)) is not None and gap.first < limit:
            if gap.passed is None:
                gap.passed = now
            if now < gap.passed + self.tolerance_seconds:
                break
            self._gaps.split(index, limit)
            self._lose(gap, inferred=True, now=now)
            index += 1
        return self._give_up(now)

    def expire(self, now: float) -> list[Opened]:
        """Find gaps whose hold has ended, give up what was waited for; return what may go on."""
        index = self._gaps.undecided()
        while (gap := self._gaps.get(index)) and now >= gap.noticed + self.hold_seconds:
            self._lose(gap, inferred=False, now=now)
            index += 1
        return self._give_up(now)

    @property
    def deadline(self) -> float | None:
        """When `infer`, `expire` and `asks` are due next, if nothing arrives before."""
        if not self._gaps.open:
            return None
        due = min(self._gaps.head.give_up, self._gaps.ask_due)
        gap = self._gaps.get(self._gaps.undecided())
        if gap is None:
            return due
        due = min(due, gap.noticed + self.hold_seconds)
        return due if gap.passed is None else min(due, gap.passed + self.tolerance_seconds)

    def asks(self, most: int, now: float) -> list[tuple[int, int]]:
        """Return what the other end shall send again: first seq (40 bits) and count."""
        if self.round_trip_seconds is None:
            return []
        ranges = self._gaps.asks(self.round_trip_seconds, most, now)
        return [(first & SEQ_MASK, min(end - first, MAX_ASKED)) for first, end in ranges]

    def is_answer(self, seq: int, now: float) -> bool:
        """Tell whether a datagram comes as a repair, by the time since it was asked for."""
        gap = self._gaps.at(self._next + seq_distance(seq, self._next & SEQ_MASK))
        return gap is not None and self._answers(gap, now)

    def decay_tolerance(self, elapsed_seconds: float) -> None:
        """Let the tolerance fall back, as nothing has proved it necessary for a while."""
        self.tolerance_seconds *= 0.5 ** (elapsed_seconds / TOLERANCE_HALF_LIFE_SECONDS)
        if self.tolerance_seconds < 0.0005:
            self.tolerance_seconds = 0.0

    def _answers(self, gap: Gap, now: float) -> bool:
        trip = self.round_trip_seconds or 0.0
        return gap.lost is not None and now - gap.lost >= ANSWER_SHARE * trip

    def _lose(self, gap: Gap, *, inferred: bool, now: float) -> None:
        """Ask for a gap that has just proved lost; say how long it may wait for the answer."""
        gap.lost = gap.give_up = now
        gap.inferred = inferred
        trip = self.round_trip_seconds
        if trip is None:
            return
        self._gaps.ask(gap, now)
        last = gap.noticed + MAX_WAIT_SECONDS
        if now + trip < last:
            wanted = max(REPAIR_SECONDS, trip + ANSWER_MARGIN_SECONDS)
            gap.give_up = min(now + wanted, last)

    def _give_up(self, now: float) -> list[Opened]:
        """Wait no longer for what nobody has repaired in time."""
        released: list[Opened] = []
        while self._gaps.open and now >= self._gaps.head.give_up:
            gap = self._gaps.head
            gap.give_up = self._rescued_until
            if now < gap.give_up:
                break
            if gap.inferred:
                self.counts.lost_by_inference += gap.end - self._next
                self._given_up = (gap.end, now)
            else:
                self.counts.lost_by_deadline += gap.end - self._next
            released += self._skip_to(gap.end)
        return released

    @property
    def _rescued_until(self) -> float:
        """Until when what a dead line swallowed may come over another."""
        first, next_one, whole = RESCUE_SECONDS
        due = max(self.fallen_at + first, self._repaired_at + next_one)
        return min(due, self.fallen_at + whole)

    def _late(self, opened: Opened, first: int, original: bool, now: float) -> list[Opened]:
        """Pass on what was given up; if inference erred, be more patient with the links."""
        self.counts.late += opened.count
        end, when = self._given_up
        if original and first < end:
            self._tolerate(now - when)
        if first + opened.count <= self._next:
            return [opened]
        # It reaches beyond what was given up.
        self._note(self._next, first + opened.count, original, now)
        self._next = first + opened.count
        return [opened, *self._release()]

    def _tolerate(self, lateness: float) -> None:
        if lateness < MAX_TOLERANCE_SECONDS:
            wanted = 1.25 * (self.tolerance_seconds + lateness)
            self.tolerance_seconds = min(max(self.tolerance_seconds, wanted), MAX_TOLERANCE_SECONDS)

    def _note(self, first: int, end: int, original: bool, now: float) -> None:
        """Keep the gaps true after the arrival of first..end."""
        highest = self._highest
        if first > highest:
            self._gaps.notice(highest, first, now)
        self._highest = max(highest, end)
        if first >= highest:
            return
        for gap, count in self._gaps.fill(first, end):
            if gap.lost is not None and (not original or self._answers(gap, now)):
                self.counts.repaired += count
                self._repaired_at = now
            elif original:
                self.longest_wait_seconds = max(self.longest_wait_seconds, now - gap.noticed)
                if gap.lost is not None and gap.inferred:
                    self._tolerate(now - gap.lost)

    def _release(self) -> list[Opened]:
        """Take out what has become consecutive."""
        released = []
        while opened := self._held.pop(self._next, None):
            released.append(opened)
            self._next += opened.count
            self.held_bytes -= opened.size_bytes
            self.held_datagrams -= opened.count
            self.counts.released += opened.count
        return released

    def _skip_to(self, end: int) -> list[Opened]:
        """Let the head gap end at `end`."""
        self._next = end
        self._gaps.cut_head(end)
        return self._release()

    def _flush(self) -> list[Opened]:
        """Let everything go, in order."""
        released: list[Opened] = []
        while self._gaps.open:
            released += self._skip_to(self._gaps.head.end)
        self._gaps.forget_asks()
        return released
