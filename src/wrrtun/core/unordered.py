"""For measurements only: hand bulk over as it comes, and know what is missing all the same.

Gaps, floors, reports and repair are those of a reorder buffer; only nothing ever waits. So a
measurement with and without order differs in nothing but the order (bench/README.md).
"""

from dataclasses import replace

from .join import Opened
from .reorder import ReorderBuffer


class UnorderedBuffer(ReorderBuffer):
    """A reorder buffer that holds shadows of what has long been passed on."""

    def insert(self, opened: Opened, now: float, *, original: bool = True) -> list[Opened]:
        """Note datagrams that were never seen before; return them."""
        super().insert(replace(opened, data=b"", slab=None, parts=()), now, original=original)
        return [opened]

    def _release(self) -> list[Opened]:
        super()._release()
        return []
