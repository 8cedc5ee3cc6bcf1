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

FLAGS_AT: Final = 13  # in TCP's header
_MODULUS: Final = 0xFFFF  # of one's complement sums

Frames = list[bytearray | memoryview]


def cut_whole(trains: Sequence[Train], slab: Slab, at: int) -> Frames:
    """Lay all frames of trains into a slab, behind `at` others of that size.

    TCP, with headers of one shape and segments of one size, the last ones too.
    """
    headers, step = trains[0].headers, trains[0].segment_bytes
    assert headers is not None
    payload = headers.payload
    layout = Layout.of(slab, headers, step)
    counts = [train.count for train in trains]
    end = at + sum(counts)
    heads = b"".join([train.frame[:payload] for train in trains])
    _lay_headers(layout, headers, step, heads, trains, slice(at, end))
    first = at
    for train, count in zip(trains, counts, strict=True):
        payloads = np.ndarray((count,), layout.segment, train.frame, payload)
        layout.payloads[first : first + count] = payloads
        first += count
    return layout.frames[at:end]


def _lay_headers(
    layout: Layout, headers: Headers, step: int, heads: bytes, trains: Sequence[Train], where: slice
) -> None:
    """Fill the columns that differ between frames."""
    network, transport, payload, _, ipv6 = headers
    number = len(trains)

    def column(dtype: npt.DTypeLike, offset: int) -> npt.NDArray[Any]:
        return np.ndarray((number,), dtype, heads, offset, (payload,)).astype(np.int64)

    counts = np.array([train.count for train in trains])
    ends = counts.cumsum()
    firsts = ends - counts
    owner = np.arange(number).repeat(counts)
    index = np.arange(len(owner)) - firsts[owner]  # of each frame in its train
    layout.headers[where] = np.frombuffer(heads, layout.header)[owner]
    # Full frames are shorter than the super-frame by this.
    longer = (counts - 1) * step
    partial = column(">u2", transport + headers.checksum_offset)
    layout.partials[where] = _fold(partial - longer)[owner]
    layout.seqs[where] = column(">u4", transport + 4)[owner] + index * step & 0xFFFF_FFFF
    length = payload - transport + step
    if ipv6:
        layout.lengths[where] = length
    else:
        length += transport - network
        layout.lengths[where] = length
        ids = column(">u2", network + 4)
        numbered = column("u1", network + 6) & DONT_FRAGMENT == 0
        words = np.ndarray(
            (number, (transport - network) // 2), ">u2", heads, network, (payload, 2)
        )
        others = words.sum(axis=1, dtype=np.int64) - ids + length
        others -= column(">u2", network + 2) + column(">u2", network + 10)
        each = ids[owner] + index * numbered[owner] & 0xFFFF
        layout.ids[where] = each
        layout.checksums[where] = 0xFFFF - _fold(others[owner] + each)
    flags = column("u1", transport + FLAGS_AT)
    marks = (flags & ~(FIN_PSH | CWR))[owner]
    marks[firsts] |= flags & CWR
    marks[ends - 1] |= flags & FIN_PSH
    layout.flags[where] = marks


def _fold(sums: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Do as `headers.ones_complement`, for many."""
    return (sums - 1) % _MODULUS + 1
