"""The gaps in what has arrived: what is missing, since when, and what is still waited for.

A gap that is known to be lost is *asked for*: at once, and again whenever an answer is overdue.

Seqs are unwrapped here: integers that only grow.
"""

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import dataclass, replace
from math import inf
from typing import Final

# An answer is under way for a round trip, and waits its turn at the other end.
ANSWER_MARGIN_SECONDS: Final = 0.015
# A fast link that loses a few percent loses repairs too: asked three times, 92 % of two lines' sum
# get through where asked once it is 84 %.
MAX_ASKS: Final = 3
# What is asked for at the same time goes into one message: on a slow way back they cost.
ASK_PAUSE_SECONDS: Final = 0.004


@dataclass(slots=True)
class Gap:
    """Missing seqs `first` to `end - 1`."""

    first: int
    end: int
    noticed: float
    passed: float | None = None  # when every live link's floor had passed `first`
    lost: float | None = None  # when it was known to be lost, and first asked for
    give_up: float = inf  # the deadline that it has since then
    inferred: bool = False  # whether floors said that it is lost, not its hold


class Gaps:
    """All gaps, in the order of their seqs. Those that are lost come first."""

    def __init__(self) -> None:
        self.open: list[Gap] = []
        self._firsts: list[int] = []  # `first` of each gap, to search in
        self._asks: deque[tuple[float, int, int, int]] = deque()  # when, first, end, how often yet
        self._asked_at = -inf

    @property
    def head(self) -> Gap:
        """The first of them."""
        return self.open[0]

    def notice(self, first: int, end: int, now: float) -> None:
        """Add a gap behind all others."""
        self.open.append(Gap(first, end, now))
        self._firsts.append(first)

    def fill(self, first: int, end: int) -> list[tuple[Gap, int]]:
        """Take an arrival out; return the gaps that it was missing in, and how many datagrams."""
        index = max(0, bisect_right(self._firsts, first) - 1)
        filled = []
        while index < len(self.open) and self.open[index].first < end:
            gap = self.open[index]
            start, stop = max(first, gap.first), min(end, gap.end)
            if start >= stop:
                index += 1
                continue
            rest = [replace(gap, end=start)] if gap.first < start else []
            rest += [replace(gap, first=stop)] if stop < gap.end else []
            filled.append((gap, stop - start))
            self.open[index : index + 1] = rest
            self._firsts[index : index + 1] = [one.first for one in rest]
            index += len(rest)
        return filled

    def cut_head(self, end: int) -> None:
        """Let the first gap begin at `end`, or drop it."""
        gap = self.open[0]
        if end < gap.end:
            gap.first = self._firsts[0] = end
            gap.passed = None
        else:
            del self.open[0], self._firsts[0]

    def at(self, seq: int) -> Gap | None:
        """Return the gap that a seq is missing in."""
        index = bisect_right(self._firsts, seq) - 1
        gap = self.open[index] if index >= 0 else None
        return gap if gap is not None and seq < gap.end else None

    def split(self, index: int, end: int) -> None:
        """Make two of a gap that goes beyond `end`."""
        gap = self.open[index]
        if end < gap.end:
            self.open.insert(index + 1, replace(gap, first=end, passed=None))
            self._firsts.insert(index + 1, end)
            gap.end = end

    def undecided(self) -> int:
        """Return the index of the first gap that may still be late only."""
        gaps = self.open
        if not gaps or gaps[0].lost is None:
            return 0
        return bisect_left(gaps, 1, key=lambda gap: 0 if gap.lost is not None else 1)

    def get(self, index: int) -> Gap | None:
        """Return a gap by its index; None past the last."""
        return self.open[index] if index < len(self.open) else None

    # What is asked for

    def ask(self, gap: Gap, now: float) -> None:
        """Have a gap's datagrams asked for."""
        self._asks.append((now, gap.first, gap.end, 0))

    @property
    def ask_due(self) -> float:
        """When `asks` has something to say; infinity: never."""
        return max(self._asks[0][0], self._asked_at + ASK_PAUSE_SECONDS) if self._asks else inf

    def asks(self, round_trip_seconds: float, most: int, now: float) -> list[tuple[int, int]]:
        """Return what is to be asked for now, as first and end; `most` of them."""
        ranges: list[tuple[int, int]] = []
        if now < self.ask_due:
            return ranges
        self._asked_at = now
        while self._asks and self._asks[0][0] <= now and len(ranges) < most:
            _, first, end, asked = self._asks.popleft()
            missing = self.missing(first, end)
            if not missing:
                continue
            ranges += missing
            if asked + 1 < MAX_ASKS:
                again = now + round_trip_seconds + ANSWER_MARGIN_SECONDS
                self._asks.append((again, missing[0][0], missing[-1][1], asked + 1))
        return ranges

    def missing(self, first: int, end: int) -> list[tuple[int, int]]:
        """Return what is missing of a stretch."""
        index = max(0, bisect_right(self._firsts, first) - 1)
        found = []
        for gap in self.open[index:]:
            if gap.first >= end:
                break
            if gap.end > first:
                found.append((max(first, gap.first), min(end, gap.end)))
        return found

    def forget_asks(self) -> None:
        """Ask for nothing any more."""
        self._asks.clear()
