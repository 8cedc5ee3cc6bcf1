"""Memory for runs, used again and again, with the views that cut it into datagrams kept.

A view costs as much to make and drop as a fifth of sealing a datagram; so each slab remembers the
few layouts that traffic has: its datagrams' sizes hardly change.
"""

from collections import defaultdict
from collections.abc import Hashable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .wire import HEADER, MAX_BATCH_DATAGRAMS

SLAB_BYTES: Final = 1 << 16  # for each batch
MAX_LAYOUTS: Final = 8
# As many as the log of what was sent keeps at most: it grows and shrinks with the round trip, many
# times a second, and what is made anew costs as much as sealing a batch.
MAX_FREE_BYTES: Final = 128 * SLAB_BYTES  # of each size
# A server has many peers that were busy once: some megabytes each.
SLAB_SECONDS: Final = 5.0

Views = list[memoryview]
Headers = npt.NDArray[np.uint64]


class Slab:
    """64 KB a batch. `lent` to whoever holds a view of it: it is used again when given back."""

    def __init__(self, batches: int = 1) -> None:
        """Make room for a run of so many batches."""
        self.size_bytes = batches * SLAB_BYTES
        self.datagrams = batches * MAX_BATCH_DATAGRAMS
        self._bytes = bytearray(self.size_bytes)
        self.view = memoryview(self._bytes)
        self._batches: dict[int, tuple[Headers, Views, Views]] = {}
        self._joins: dict[tuple[int, int, int], Views] = {}
        self.layouts: dict[Hashable, Any] = {}  # of whoever writes into it

    def batch(self, step: int) -> tuple[Headers, Views, Views]:
        """Cut into datagrams of `step` bytes: headers as numbers, headers as bytes, the rest."""
        layout = self._batches.get(step)
        if layout is None:
            if len(self._batches) >= MAX_LAYOUTS:
                self._batches.clear()
            count = min(self.datagrams, self.size_bytes // step)
            starts = range(0, count * step, step)
            layout = self._batches[step] = (
                np.ndarray((count,), ">u8", self._bytes, strides=(step,)),
                [self.view[start : start + HEADER.size] for start in starts],
                [self.view[start + HEADER.size : start + step] for start in starts],
            )
        return layout

    def keep(self, key: Hashable, layout: Any) -> None:
        """Keep a layout, and no more than a few."""
        if len(self.layouts) >= MAX_LAYOUTS:
            self.layouts.clear()
        self.layouts[key] = layout

    def join(self, stride: int, size: int, first: int = 0) -> Views:
        """Cut into pieces of `size` bytes, one every `stride` bytes; they may overlap."""
        views = self._joins.get((stride, size, first))
        if views is None:
            if len(self._joins) >= MAX_LAYOUTS:
                self._joins.clear()
            count = min(self.datagrams, (self.size_bytes - first - size) // stride + 1)
            starts = range(first, first + count * stride, stride)
            views = [self.view[start : start + size] for start in starts]
            self._joins[stride, size, first] = views
        return views


class SlabPool:
    """Slabs that are free; more are made when they run out."""

    def __init__(self) -> None:
        self._free: defaultdict[int, list[Slab]] = defaultdict(list)  # by their size
        self._lent: list[Slab] = []

    def take(self, batches: int = 1) -> Slab:
        """Hand out a slab for a run of so many batches."""
        free = self._free[batches * SLAB_BYTES]
        return free.pop() if free else Slab(batches)

    def shrink(self) -> None:
        """Keep no free slabs: they are not needed soon."""
        self._free.clear()

    def lend(self, slab: Slab) -> None:
        """Note that a slab's content has gone to the shell; until `settle` it is in use."""
        self._lent.append(slab)

    def settle(self) -> None:
        """Take back what was lent: the shell has sent or written it."""
        if not self._lent:
            return
        for slab in self._lent:
            size, free = slab.size_bytes, self._free[slab.size_bytes]
            if len(free) * size < MAX_FREE_BYTES:
                free.append(slab)
        self._lent.clear()
