"""Where receive calls lay what they bring: end to end, as long as it may be one run.

On a fast link one call brings one super-frame. What is split, opened and put in order together
costs less than each of them singly.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from .core.slab import SLAB_BYTES, Slab
from .core.wire import MAX_RUN_BATCHES
from .drain import LONG_BYTES

Source = TypeVar("Source")  # the link, or the path
Take = Callable[[Source, memoryview, int, float, Slab, float], None]


class Inbox(Generic[Source]):
    """Memory for what one wake-up receives, used again and again."""

    def __init__(self, take: Take[Source]) -> None:
        """Hand on to `take` as `Client.receive` and `Server.receive` want it."""
        self._take = take
        self._slab = Slab(MAX_RUN_BATCHES)
        self.room = self._slab.view  # for the next receive call: 64 KB at least
        self._end = 0
        self._source: Source | None = None  # of what is there; it may be an empty datagram
        self._datagram_bytes = 0
        self._waited_seconds = 0.0

    def add(
        self, source: Source, size: int, datagram_bytes: int, now: float, waited_seconds: float
    ) -> None:
        """Take what a receive call has laid into `room`."""
        before = self._end
        if before and (source != self._source or datagram_bytes != self._datagram_bytes):
            room = self.room
            self.flush(now)
            before = 0
            self.room[:size] = room[:size]
        self._source, self._datagram_bytes = source, datagram_bytes
        self._waited_seconds = waited_seconds
        self._end = end = before + size
        # Behind a datagram that is shorter than its fellows, places are no multiples any more.
        # What is short is handed on at once: nothing would be saved.
        if size < LONG_BYTES or size % datagram_bytes or end > self._slab.size_bytes - SLAB_BYTES:
            self.flush(now)
        else:
            self.room = self._slab.view[end:]

    def flush(self, now: float) -> None:
        """Hand on what is there."""
        source, self._source = self._source, None
        if source is None:
            return
        data = self._slab.view[: self._end]
        self._end, self.room = 0, self._slab.view
        self._take(source, data, self._datagram_bytes, now, self._slab, self._waited_seconds)
