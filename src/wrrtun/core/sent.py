"""What bulk was sent of late, run by run and as it was sealed: to send it again.

A run stays for 1.5 s at most, and no longer than there is room for it. A run keeps its
slab if it fills half of it, else it is copied: a few frames would keep 64 KB.

Seqs are unwrapped here: 40-bit numbers become integers that only grow.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from .headers import Buffer
from .slab import Slab, SlabPool
from .wire import SEQ_MASK, seq_distance

# Longer than a datagram is on its way to one that is missed, and its nack back: the longest round
# trip that a link may have to be of use, and the hold.
HORIZON_SECONDS: Final = 1.5
# Kept in any case. More, used in turn, does not stay in a core's own cache (2 MB here): 8 MB made
# the fastest links some 5 % dearer, 1 MB nothing that could be measured.
CHEAP_BYTES: Final = 1 << 20
LIMIT_BYTES: Final = 8 << 20


class KeptRun(NamedTuple):
    """Datagrams with seqs `first` to `end - 1` (unwrapped) that left together on one link."""

    first: int
    datagrams: int
    link: int
    sent_at: float
    datagram_bytes: int  # of each but the last, which may be shorter
    batch: Buffer  # as sealed: the datagrams end to end, of one batch or several
    slab: Slab | None = None  # that `batch` lies in

    @property
    def end(self) -> int:
        """One past its last seq."""
        return self.first + self.datagrams

    def part(self, first: int, end: int) -> Buffer:
        """Return the datagrams with seqs `first` to `end - 1`, all of this run."""
        start = (first - self.first) * self.datagram_bytes
        return self.batch[start : (end - self.first) * self.datagram_bytes]


class SentLog:
    """The runs of late, oldest first. Slabs of those that leave it go back to their pool."""

    def __init__(self, next_seq: int, slabs: SlabPool) -> None:
        self.keep_seconds = HORIZON_SECONDS  # beyond CHEAP_BYTES; may be changed at any time
        self.held_bytes = 0
        self.end = next_seq  # one past the last
        self._runs: deque[KeptRun] = deque()
        self._slabs = slabs

    def __len__(self) -> int:
        return len(self._runs)

    def unwrap(self, seq: int) -> int:
        """Return the integer that a 40-bit seq stands for, near those sent last."""
        return self.end + seq_distance(seq, self.end & SEQ_MASK)

    def add(self, run: KeptRun) -> None:
        """Keep a run that has just been sealed; its seqs follow those before it.

        Its slab is the log's from now on.
        """
        slab = run.slab
        if slab is not None and 2 * len(run.batch) < slab.size_bytes:
            run = run._replace(batch=bytes(run.batch), slab=None)
            self._slabs.lend(slab)
            slab = None
        self.end = run.first + run.datagrams
        self._runs.append(run)
        self.held_bytes += len(run.batch) if slab is None else slab.size_bytes
        if self.held_bytes > CHEAP_BYTES:
            limit = run.sent_at - self.keep_seconds
            while self.held_bytes > LIMIT_BYTES or (
                self.held_bytes > CHEAP_BYTES and self._runs[0].sent_at < limit
            ):
                self._forget()
        if self._runs[0].sent_at < run.sent_at - HORIZON_SECONDS:
            self.prune(run.sent_at)

    def find(self, seq: int) -> KeptRun | None:
        """Return the run that a 40-bit seq is in; None when it is forgotten, or was never sent."""
        wanted = self.unwrap(seq)
        return next((run for run, _, _ in self.parts(wanted, wanted + 1)), None)

    def parts(self, first: int, end: int) -> Iterator[tuple[KeptRun, int, int]]:
        """Yield what is kept of an unwrapped stretch: a run, and which of its seqs, as an end."""
        start = max(0, bisect_right(self._runs, first, key=_first) - 1)
        for run in islice(self._runs, start, None):
            if run.first >= end:
                return
            if run.end > first:
                yield run, max(first, run.first), min(end, run.end)

    def of_link(self, link: int, after_seq: int) -> Iterator[tuple[int, int]]:
        """Yield what one link was given past `after_seq` (40 bits): first and end, oldest first."""
        after = self.unwrap(after_seq)
        for run, first, end in self.parts(after + 1, self.end):
            if run.link == link:
                yield first, end

    def prune(self, now: float) -> None:
        """Forget what is too old to be asked for."""
        while self._runs and self._runs[0].sent_at < now - HORIZON_SECONDS:
            self._forget()

    def clear(self) -> None:
        """Forget all: whom it was sent to has started anew."""
        while self._runs:
            self._forget()

    def _forget(self) -> None:
        run = self._runs.popleft()
        if run.slab is None:
            self.held_bytes -= len(run.batch)
        else:
            self.held_bytes -= run.slab.size_bytes
            self._slabs.lend(run.slab)  # a send of it may be under way


def _first(run: KeptRun) -> int:
    return run.first
