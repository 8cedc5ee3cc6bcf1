"""Cut many short trains at once: as many of NumPy's calls as for one, whatever their number.

What `cutter.Template` works out for one train is here a column with a row for each, and then
repeated for its frames. For TCP: many flows at once are that.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .cutter import DONT_FRAGMENT, Layout
from .headers import Headers
from .slab import Slab
from .train import Train
from .vnet import CWR, FIN_PSH
from .wire import MAX_RUN_DATAGRAMS

FLAGS_AT: Final = 13  # in TCP's header
_MODULUS: Final = 0xFFFF  # of one's complement sums
_IN_ALL: Final = 0xFF & ~(FIN_PSH | CWR)  # flags that every frame has
_STEPS: Final = np.arange(MAX_RUN_DATAGRAMS)

Frames = list[bytearray | memoryview]


def cut_whole(trains: Sequence[Train], slab: Slab, at: int) -> Frames:
    """Lay all frames of trains into a slab, behind `at` others of that size.

    TCP, with headers of one shape and segments of one size, the last ones too.
    """
    headers, step = trains[0].headers, trains[0].segment_bytes
    assert headers is not None
    payload = headers.payload
    layout = Layout.of(slab, headers, step)
    payloads, segment = layout.payloads, layout.segment
    heads = bytearray()
    counts = []
    end = at
    for train in trains:
        frame, count = train.frame, train.count
        heads += frame[:payload]
        payloads[end : end + count] = np.ndarray((count,), segment, frame, payload)
        counts.append(count)
        end += count
    _lay_headers(layout, headers, step, heads, np.array(counts), slice(at, end))
    return layout.frames[at:end]


def _lay_headers(
    layout: Layout,
    headers: Headers,
    step: int,
    heads: bytearray,
    counts: npt.NDArray[np.int64],
    where: slice,
) -> None:
    """Make of each train's headers those of a full frame, and lay them where its frames are."""
    network, transport, payload, _, ipv6 = headers
    number = len(counts)

    def column(dtype: npt.DTypeLike, offset: int) -> npt.NDArray[Any]:
        return np.ndarray((number,), dtype, heads, offset, (payload,))

    ends = counts.cumsum()
    firsts = ends - counts
    partials = column(">u2", transport + headers.checksum_offset)
    # Full frames are shorter than the super-frame by all the other segments.
    partials[:] = _fold(partials - (counts - 1) * step)
    length = payload - transport + step
    if ipv6:
        column(">u2", network + 4)[:] = length
    else:
        column(">u2", network + 2)[:] = length + transport - network
        checksums = column(">u2", network + 10)
        checksums[:] = 0
        shape = number, (transport - network) // 2
        words = np.ndarray(shape, ">u2", heads, network, (payload, 2))
        checksums[:] = _MODULUS - _fold(words.sum(axis=1, dtype=np.int64))
    flags = column("u1", transport + FLAGS_AT)
    firsts_only, lasts_only = flags & CWR, flags & FIN_PSH
    flags &= _IN_ALL
    layout.headers[where] = np.frombuffer(heads, layout.header).repeat(counts)
    steps = _STEPS[: where.stop - where.start]
    first_seqs = column(">u4", transport + 4) - firsts * step
    layout.seqs[where] = first_seqs.repeat(counts) + steps * step & 0xFFFF_FFFF
    if lasts_only.any():
        layout.flags[where][ends - 1] |= lasts_only
    if firsts_only.any():
        layout.flags[where][firsts] |= firsts_only
    if not ipv6 and not (column("u1", network + 6) & DONT_FRAGMENT).all():
        numbered = (column("u1", network + 6) & DONT_FRAGMENT == 0).repeat(counts)
        _number(layout, where, (steps - firsts.repeat(counts)) * numbered)


def _number(layout: Layout, where: slice, steps: npt.NDArray[np.int64]) -> None:
    """Give frames that may be fragmented ids that count up, from the one that they have."""
    before = layout.ids[where].astype(np.int64)
    after = before + steps & 0xFFFF
    layout.ids[where] = after
    sums = _MODULUS - layout.checksums[where].astype(np.int64) - before + after
    layout.checksums[where] = _MODULUS - _fold(sums)


def _fold(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Do as `headers.ones_complement`, for many."""
    return (sums - 1) % _MODULUS + 1
