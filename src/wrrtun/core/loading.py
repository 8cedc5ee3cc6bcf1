"""What a run takes off the bulk queue: frames of one size, whatever flows they are of.

Everything from here to the other end's reorder buffer is paid by the run. So the short
super-frames of many flows share one, and so do the single frames between them, if they fit whole
and all frames are equal in length but the last. Where in it another super-frame begins is said by
the datagrams' types. On a fast link long super-frames share a run too, which then leaves as several
batches.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from .cut_whole import cut_whole
from .cutter import Cutter
from .headers import TCP, Buffer, Headers
from .queue import BulkQueue
from .slab import Slab, SlabPool
from .stretch import Stretch
from .train import Train
from .wire import CONTINUES, OVERHEAD_BYTES, batch_datagrams

Item = Train | Stretch


class Load(NamedTuple):
    """Frames for one run, as `Sealer.seal` wants them."""

    frames: Sequence[Buffer]
    flags: int  # wire flags of the first frame
    follow: int  # of the others, but where `starts` says that a super-frame begins
    starts: Sequence[int]
    slab: Slab | None
    ends: Sequence[int]  # of its batches, in frames


class Loader:
    """Takes runs off the queue."""

    def __init__(self, queue: BulkQueue[Item], slabs: SlabPool) -> None:
        self._queue = queue
        self._slabs = slabs
        self._cutter = Cutter()

    def take(self, most: int) -> Load:
        """Take at most so many frames; at least one. The queue is not empty."""
        queue, head = self._queue, self._queue.head
        batch = batch_datagrams(head.frame_bytes + OVERHEAD_BYTES)
        if isinstance(head, Stretch):
            alike = head.take(min(most, batch, head.left))
            count = len(alike)
            queue.consumed(count * head.frame_bytes)
            slab = self._slabs.take() if count > 1 else None
            return Load(alike, head.flags, head.follow, (), slab, (count,))
        taken, ends = self._gather(head, most, batch)
        if len(taken) > 1:
            return self._mix(taken, ends)
        count = taken[0][1]
        slab = self._slabs.take() if count > 1 else None
        if head.count > 1:
            frames, flags = self._cutter.take(head, count, slab)
            return Load(frames, flags, CONTINUES, (), slab, ends)
        flags = head.pass_on(1)
        return Load([head.frame], flags, flags, (), slab, ends)

    def _gather(
        self, head: Train, most: int, batch: int
    ) -> tuple[list[tuple[Train, int]], list[int]]:
        """Take trains out of the queue for one run: each with how many of its frames go.

        And where batches end: of at most `batch` frames, and of whole trains.
        """
        queue, size, flags = self._queue, head.frame_bytes, head.flags
        count = min(most, batch, head.left)
        taken, ends = [(head, count)], [count]
        if count < head.left:
            queue.consumed(count * size)
            return taken, ends
        queue.pop()
        shorter = head.shortfall_bytes
        begin, end = 0, count  # of the batch that is being filled
        while queue and not shorter:
            item = queue.head
            # What does not fit whole stays whole. A shorter frame ends the run.
            if not isinstance(item, Train) or item.flags != flags:
                break
            if item.frame_bytes != size and (item.count > 1 or item.frame_bytes > size):
                break
            count = item.left
            if count > batch or end + count > most:
                break
            if end + count - begin > batch:
                begin = end
                ends.append(end)
            end += count
            ends[-1] = end
            taken.append((item, count))
            queue.pop()
            shorter = item.shortfall_bytes or size - item.frame_bytes
        return taken, ends

    def _mix(self, taken: list[tuple[Train, int]], ends: list[int]) -> Load:
        """Lay what several trains give into one slab."""
        slab = self._slabs.take(len(ends))
        frames: list[Buffer] = []
        begins: list[int] = []  # wire flags
        starts: list[int] = []
        for shape, group in groupby(taken, _shape):
            trains = [train for train, _ in group]
            at = len(frames)
            if shape is not None and len(trains) > 1:
                frames += cut_whole(trains, slab, at)
                for train in trains:
                    starts.append(at)
                    at += train.count
                    begins.append(train.pass_on(train.count))
                continue
            for train in trains:
                starts.append(len(frames))
                if train.count == 1:
                    begins.append(train.pass_on(1))
                    frames.append(train.frame)
                    continue
                count = taken[len(begins)][1]
                some, flags = self._cutter.take(train, count, slab, len(frames))
                begins.append(flags)
                frames += some
        if len(frames) == len(taken) and begins[0] != CONTINUES:  # none goes on
            return Load(frames, begins[0], begins[0], (), slab, ends)
        return Load(frames, begins[0], CONTINUES, starts[1:], slab, ends)


def _shape(taken: tuple[Train, int]) -> tuple[Headers, int] | None:
    """Tell what trains must have in common to be cut together; None: one is cut by itself."""
    train, count = taken
    headers = train.headers
    if (
        headers is None
        or headers.protocol != TCP
        or count == 1
        or count < train.count
        or train.shortfall_bytes
    ):
        return None
    return headers, train.segment_bytes
