"""What a run takes off the bulk queue: frames of one size, whatever flows they are of.

Everything from here to the other end's reorder buffer is paid by the run. So the short
super-frames of many flows share one, and so do the single frames between them, as long as all
frames are equal in length but the last. Where in it another super-frame begins is said by the
datagrams' types.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .cutter import Cutter
from .headers import Buffer
from .queue import BulkQueue
from .slab import Slab, SlabPool
from .stretch import Stretch
from .train import Train
from .wire import CONTINUES

Item = Train | Stretch


class Load(NamedTuple):
    """Frames for one run, as `Sealer.seal` wants them."""

    frames: Sequence[Buffer]
    flags: int  # wire flags of the first frame
    follow: int  # of the others, but where `starts` says that a super-frame begins
    starts: Sequence[int]
    slab: Slab | None


class Loader:
    """Takes runs off the queue."""

    def __init__(self, queue: BulkQueue[Item], slabs: SlabPool) -> None:
        self._queue = queue
        self._slabs = slabs
        self._cutter = Cutter()

    def take(self, most: int) -> Load:
        """Take at most so many frames; at least one. The queue is not empty."""
        queue, head = self._queue, self._queue.head
        if isinstance(head, Stretch):
            alike = head.take(min(most, head.left))
            queue.consumed(len(alike) * head.frame_bytes)
            slab = self._slabs.take() if len(alike) > 1 else None
            return Load(alike, head.flags, head.follow, (), slab)
        slab = self._slabs.take() if most > 1 and (head.left > 1 or len(queue) > 1) else None
        size, flags, cut = head.frame_bytes, 0, False
        frames: list[Buffer] = []
        starts: list[int] = []
        item: Item = head
        while isinstance(item, Train) and _fits(item, size, head.flags):
            at = len(frames)
            if item.count > 1:
                count = min(most - at, item.left)
                some, begins = self._cutter.take(item, count, slab, at)
                frames += some
                cut = True
                if item.left:
                    queue.consumed(count * item.frame_bytes)
                else:
                    queue.pop()
            else:
                frames.append(item.frame)
                begins = item.pass_on(1)
                queue.pop()
            if at:
                starts.append(at)
            else:
                flags = begins
            if len(frames) >= most or len(frames[-1]) < size or not queue:
                break
            item = queue.head
        if slab is not None and len(frames) == 1:
            self._slabs.lend(slab)
            slab = None
        if not cut:
            return Load(frames, flags, flags, (), slab)
        return Load(frames, flags, CONTINUES, starts, slab)


def _fits(train: Train, size: int, flags: int) -> bool:
    """Tell whether a train may share a run with frames of this size; shorter, it ends the run."""
    if train.flags != flags:
        return False
    return train.frame_bytes == size or (train.count == 1 and train.frame_bytes < size)
