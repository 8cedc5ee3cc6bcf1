"""Refuse a datagram that was already accepted: an exact window over the last seqs of one type.

The window is a ring with one slot per seq. A slot remembers the *round* in which it was last
used: seq 131 075 is slot 3 of round 2 in a ring of 65 536. So a whole run of consecutive seqs is
one slice, to look at (is this round in it?) and to fill, and no number object is kept per seq.

Order of use: look (`check` or `refusal`), open the datagram, then `commit`. Nothing is remembered
before authentication, so two looks at the same seq with no commit between them both pass: look at
a run only when the run before it has been committed.
"""

from typing import Final

from .errors import Drop
from .wire import SEQ_HALF, SEQ_MASK

DEFAULT_WIDTH: Final = 1 << 16


class ReplayWindow:
    """The seqs accepted under one key and type; their numbers wrap at 2**40 (RFC 1982)."""

    def __init__(self, width: int = DEFAULT_WIDTH) -> None:
        """Remember the last `width` seqs, a power of two. The first seq may be any."""
        if width < 1 or width & (width - 1):
            raise ValueError(f"a window is a power of two wide, not {width}")
        self._width = width
        self._slot_mask = width - 1
        self._slot_bits = width.bit_length() - 1
        self._rounds: list[int | None] = [None] * width
        # Unwrapped: it counts on where the 40 bits wrap, so rounds never repeat. None until the
        # first commit, before which everything is fresh.
        self._highest: int | None = None

    def check(self, first: int, count: int) -> bool:
        """Tell whether all of `count` consecutive seqs are fresh; if not, ask `refusal` for each.

        `count` is at least 1. One comparison when the run is ahead of everything seen.
        """
        highest = self._highest
        if highest is None:
            return True
        # seq_distance of wire.py without its call, here and below: it would be a third of the cost.
        ahead = (first - highest + SEQ_HALF & SEQ_MASK) - SEQ_HALF
        if ahead > 0:
            return True
        if ahead <= -self._width:
            return False
        first = highest + ahead
        last = min(first + count - 1, highest)  # seqs past the highest are fresh
        slot, end = first & self._slot_mask, last & self._slot_mask
        number = first >> self._slot_bits
        if slot <= end:
            return number not in self._rounds[slot : end + 1]
        return number not in self._rounds[slot:] and number + 1 not in self._rounds[: end + 1]

    def refusal(self, seq: int) -> Drop | None:
        """Say why one seq must be dropped: REPLAYED, TOO_OLD, or None when it is fresh."""
        highest = self._highest
        if highest is None:
            return None
        ahead = (seq - highest + SEQ_HALF & SEQ_MASK) - SEQ_HALF
        if ahead > 0:
            return None
        if ahead <= -self._width:
            return Drop.TOO_OLD
        seq = highest + ahead
        if self._rounds[seq & self._slot_mask] == seq >> self._slot_bits:
            return Drop.REPLAYED
        return None

    def commit(self, first: int, count: int) -> None:
        """Remember `count` consecutive seqs, all of them authenticated.

        Seqs behind the window are left out: another commit may have moved it since the look.
        """
        highest = self._highest
        if highest is not None:
            first = highest + (first - highest + SEQ_HALF & SEQ_MASK) - SEQ_HALF
        last = first + count - 1
        if highest is None or last > highest:
            self._highest = highest = last
        if first <= highest - self._width:
            first = highest - self._width + 1
            if first > last:
                return
        slot, end = first & self._slot_mask, last & self._slot_mask
        number = first >> self._slot_bits
        if count == 1:
            self._rounds[slot] = number
        elif slot <= end:
            self._rounds[slot : end + 1] = [number] * (end + 1 - slot)
        else:
            self._rounds[slot:] = [number] * (self._width - slot)
            self._rounds[: end + 1] = [number + 1] * (end + 1)
