"""The bulk queue: first in, first out, bounded, with CoDel saying when to signal congestion.

An item (a frame or a super-frame) may leave in several runs; its age counts from when it came.
CoDel (RFC 8289) looks at the age of the head whenever a run is about to be taken: when no item
for a whole `interval` was younger than `target`, the queue is standing, not working, and one item
is dropped or marked; then another after interval / sqrt(2), interval / sqrt(3) and so on, until
an item leaves younger than `target`.

CoDel needs the queue to be here, so it goes with paced links only.
"""

from collections import deque
from collections.abc import Callable
from math import sqrt
from typing import Final, Generic, Protocol, TypeVar


class Sized(Protocol):
    """What can queue."""

    @property
    def size_bytes(self) -> int:
        """How many bytes will be taken of it."""


Item = TypeVar("Item", bound=Sized)

DEFAULT_INTERVAL_SECONDS: Final = 0.100
# With no more than this behind the head, dropping it would idle the links (RFC 8289, 4.2).
MIN_BACKLOG_BYTES: Final = 1514
# What must not be lost may fill so many times the limit.
KEEP_LIMITS: Final = 2
# A new spell of dropping within this many intervals of the last drop goes on at its pace.
RESUME_INTERVALS: Final = 16


class CoDel:
    """The control law, told the age of each head and whether the queue is worth controlling."""

    def __init__(self, target_seconds: float, interval_seconds: float) -> None:
        self.target_seconds = target_seconds
        self.interval_seconds = interval_seconds
        self._above_until: float | None = None  # too old at this time still: standing queue
        self._dropping = False
        self._scheduled = True  # whether the next drop of this spell has its time
        self._next_drop = 0.0
        self._count = 0  # drops in this spell, which set its pace
        self._count_before = 0  # what the pace of this spell started from

    def should_drop(self, sojourn_seconds: float, idle: bool, now: float) -> bool:
        """Decide on the present head; `idle`: nothing much is behind it."""
        standing = self._is_standing(sojourn_seconds, idle, now)
        if not standing:
            self._dropping = False
            return False
        if not self._dropping:
            self._start(now)
            return True
        if not self._scheduled:
            self._count += 1
            self._next_drop += self.interval_seconds / sqrt(self._count)
            self._scheduled = True
        if now < self._next_drop:
            return False
        # The next drop is scheduled when the item behind this one is still too old, as in the
        # RFC: else the spell ends with the count as it is.
        self._scheduled = False
        return True

    def _is_standing(self, sojourn_seconds: float, idle: bool, now: float) -> bool:
        if sojourn_seconds < self.target_seconds or idle:
            self._above_until = None
        elif self._above_until is None:
            self._above_until = now + self.interval_seconds
        else:
            return now >= self._above_until
        return False

    def _start(self, now: float) -> None:
        recent = now - self._next_drop < RESUME_INTERVALS * self.interval_seconds
        gained = self._count - self._count_before
        self._count = gained if gained > 1 and recent else 1
        self._count_before = self._count
        self._next_drop = now + self.interval_seconds / sqrt(self._count)
        self._dropping = self._scheduled = True


class BulkQueue(Generic[Item]):
    """Items with their sizes and the times they came at."""

    def __init__(
        self,
        limit_bytes: int,
        target_seconds: float | None = None,
        interval_seconds: float = DEFAULT_INTERVAL_SECONDS,
    ) -> None:
        """Hold at most `limit_bytes`, or one item that is larger; no target: no CoDel."""
        self.limit_bytes = limit_bytes
        self.size_bytes = 0
        self.refused = 0  # items that found no room
        self._items: deque[tuple[Item, int, float, bool]] = deque()
        self._head_bytes = 0  # what is left of the first item
        self._codel: CoDel | None = None
        self.set_target(target_seconds, interval_seconds)

    def __len__(self) -> int:
        return len(self._items)

    def set_target(
        self, target_seconds: float | None, interval_seconds: float = DEFAULT_INTERVAL_SECONDS
    ) -> None:
        """Change CoDel's parameters and keep its state, or turn it off with None."""
        if target_seconds is None:
            self._codel = None
        elif self._codel is None:
            self._codel = CoDel(target_seconds, interval_seconds)
        else:
            self._codel.target_seconds = target_seconds
            self._codel.interval_seconds = interval_seconds

    def push(self, item: Item, now: float, *, keep: bool = False) -> bool:
        """Add an item with the size it has now; False when there is no room for it.

        `keep`: its loss would cost more than the signal is worth; there is more room for it, and
        CoDel drops one behind it instead.
        """
        size_bytes = item.size_bytes
        if self._items and size_bytes > self._free_bytes(keep):
            self.refused += 1
            return False
        if not self._items:
            self._head_bytes = size_bytes
        self._items.append((item, size_bytes, now, keep))
        self.size_bytes += size_bytes
        return True

    def room(self, size_bytes: int, count: int, *, keep: bool = False) -> int:
        """Say how many of so many frames, of one size, would find room as one item."""
        free = self._free_bytes(keep) // size_bytes
        return min(count, max(free, 0 if self._items else 1))

    def _free_bytes(self, keep: bool) -> int:
        return (KEEP_LIMITS if keep else 1) * self.limit_bytes - self.size_bytes

    @property
    def head(self) -> Item:
        """The item whose turn it is. IndexError when the queue is empty."""
        return self._items[0][0]

    def consumed(self, size_bytes: int) -> None:
        """Count bytes taken of the head, or dropped; the head leaves with the last of them.

        IndexError when the queue is empty.
        """
        if size_bytes < self._head_bytes:
            self._head_bytes -= size_bytes
            self.size_bytes -= size_bytes
        else:
            self.pop()

    def pop(self) -> Item:
        """Take the head, whatever is left of it. IndexError when the queue is empty."""
        item = self._items.popleft()[0]
        self.size_bytes -= self._head_bytes
        self._head_bytes = self._items[0][1] if self._items else 0
        return item

    def refit(self, fits: Callable[[Item], bool]) -> list[Item]:
        """Ask of each item whether it may stay, and what size it has now; return what may not."""
        items, self._items = self._items, deque()
        gone = []
        for item, _, came_at, keep in items:
            if fits(item):
                self._items.append((item, item.size_bytes, came_at, keep))
            else:
                gone.append(item)
        self.size_bytes = sum(size for _, size, _, _ in self._items)
        self._head_bytes = self._items[0][1] if self._items else 0
        return gone

    def sojourn_seconds(self, now: float) -> float:
        """Say for how long the head has been here; 0.0 when the queue is empty."""
        return now - self._items[0][2] if self._items else 0.0

    def drop_decision(self, now: float) -> bool:
        """Ask CoDel about the head, once before each run.

        True: mark the head and take it, or let it go (or its first frame) and ask again.
        """
        if self._codel is None or not self._items or self._items[0][3]:
            return False
        idle = self.size_bytes - self._head_bytes <= MIN_BACKLOG_BYTES
        return self._codel.should_drop(self.sojourn_seconds(now), idle, now)
