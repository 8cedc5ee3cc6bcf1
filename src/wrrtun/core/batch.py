"""What one receive call delivered, split into runs: consecutive seqs of one session, link and kind.

The kernel's UDP_GRO hands over datagrams of one sender laid end to end, equal in length but the
last. A run is what the receiver can look at, open and join in one go.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from .slab import SLAB_BYTES, Slab
from .wire import (
    CONTINUES,
    HEADER,
    MAX_BATCH_DATAGRAMS,
    MAX_RUN_DATAGRAMS,
    PARTIAL,
    SEQ_BITS,
    SEQ_MASK,
)

# The upper two bits of the type: see wire.py. A partial frame begins something, or goes on.
_PLAIN, _BEGINS, _HANDSHAKE, _GOES_ON = range(4)
_BARE: Final = (1 << 62) - 1  # a header without these bits
_FEW: Final = 3  # below this, NumPy's calls cost more than a loop


@dataclass(slots=True)
class Run:
    """Datagrams of one session, link and class with seqs `seq` to `seq + count - 1`."""

    kind: int  # wire.Kind, flags taken off
    flags: int  # 0, PARTIAL or CONTINUES: of the first datagram
    joined: bool  # every datagram but the first continues the one before it
    link: int
    session: int
    seq: int
    count: int
    datagrams: memoryview
    datagram_bytes: int  # of each but the last
    slab: Slab | None = None  # that they lie in, as its datagrams `first` to `first + count - 1`
    first: int = 0
    # Where, behind the first, another super-frame begins; it is not `joined` then.
    starts: Sequence[int] = ()
    assumed: bool = False  # only the first and last headers were looked at whole

    @property
    def batches(self) -> int:
        """For how many batches a slab needs room to hold its frames."""
        return max(-(-self.count // MAX_BATCH_DATAGRAMS), -(-len(self.datagrams) // SLAB_BYTES))

    def flags_of(self, index: int) -> int:
        """Return the wire flags of one datagram."""
        if not index or not (self.joined or self.starts):
            return self.flags
        return PARTIAL if index in self.starts else CONTINUES


def split(data: memoryview, datagram_bytes: int, slab: Slab | None = None) -> list[Run]:
    """Split what was received; if into a slab, `data` is the slab's beginning.

    When the last header is what it would be if all seqs followed each other, and all types say that
    frames continue the one before them or begin another super-frame, the headers between are
    assumed: if they are others, a tag is wrong, and `split_strictly` finds what can be saved. The
    types are no nonce's part: no tag tells where a super-frame ends. A datagram too short for a
    header yields a run of kind 0.
    """
    size = len(data)
    if not 0 < datagram_bytes < size:
        return [_single(data)]
    count = -(-size // datagram_bytes)
    tail = (count - 1) * datagram_bytes
    if _FEW < count <= MAX_RUN_DATAGRAMS and tail + HEADER.size <= size:
        first, last = HEADER.unpack_from(data)[0], HEADER.unpack_from(data, tail)[0]
        if first >> 60 & PARTIAL and last & _BARE == (first & _BARE) + count - 1:
            types = data[::datagram_bytes].tobytes()
            goes_on, begins = first >> 56 & 0x3F | 0xC0, first >> 56 & 0x3F | 0x40
            continuing = types.count(goes_on, 1)
            if continuing + types.count(begins, 1) == count - 1:
                run = _run(data, datagram_bytes, first, 0, count, continuing == count - 1)
                run.slab, run.assumed = slab, True
                if not run.joined:
                    _find_starts(run, types, begins)
                return [run]
    return split_strictly(data, datagram_bytes, slab)


def split_strictly(data: memoryview, datagram_bytes: int, slab: Slab | None = None) -> list[Run]:
    """Split by looking at every header."""
    size = len(data)
    count = -(-size // datagram_bytes)
    if count <= _FEW or datagram_bytes < HEADER.size or count > MAX_RUN_DATAGRAMS:
        starts = range(0, size, datagram_bytes)
        return [_single(data[start : start + datagram_bytes]) for start in starts]
    runs = []
    tail = data[(count - 1) * datagram_bytes :]
    if len(tail) < HEADER.size:  # not one of ours; the others may be
        count -= 1
        runs.append(_single(tail))
    numbers = np.ndarray((count,), ">u8", data, strides=(datagram_bytes,))
    first = int(numbers[0])
    if numbers.tolist() == [*range(first, first + count)]:  # as acknowledgements are, many times
        run = _run(data, datagram_bytes, first, 0, count, False)
        run.joined = run.flags == CONTINUES
        run.slab = slab
        return [*runs, run]
    headers = numbers.astype(np.uint64)
    flags = (headers >> np.uint64(62)).astype(np.uint8).tobytes()
    bare = headers & np.uint64(_BARE)
    edges = (np.flatnonzero(bare[1:] - bare[:-1] != 1) + 1).tolist()
    for start, end in pairwise((0, *edges, count)):
        for first, last in _alike(flags, start, end):
            run = _run(data, datagram_bytes, int(headers[first]), first, last, False)
            if run.flags:
                _mark_starts(run, flags[first:last])
            if slab is not None:
                run.slab, run.first = slab, first
            runs.append(run)
    return runs


def _alike(flags: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Part consecutive datagrams where checksums begin or cease to be partial: as first and end."""
    some = flags[start:end]
    if some.count(some[0]) == len(some) or (_PLAIN not in some and _HANDSHAKE not in some):
        return [(start, end)]
    edges = [
        at
        for at in range(start + 1, end)
        if flags[at - 1] != flags[at] and not flags[at - 1] & flags[at] & 1
    ]
    return [*pairwise((start, *edges, end))]


def _mark_starts(run: Run, flags: bytes) -> None:
    """Say which frames of a run continue the ones before them."""
    if _BEGINS not in flags[1:]:
        run.joined = run.count > 1
    elif run.flags != PARTIAL or _GOES_ON in flags:
        _find_starts(run, flags, _BEGINS)


def _find_starts(run: Run, types: bytes, begins: int) -> None:
    starts, at = [], types.find(begins, 1)
    while at > 0:
        starts.append(at)
        at = types.find(begins, at + 1)
    run.starts = starts


def _run(
    data: memoryview, datagram_bytes: int, header: int, start: int, end: int, joined: bool
) -> Run:
    kind = header >> 60
    flags = 0 if kind & CONTINUES == 8 else kind & CONTINUES
    return Run(
        kind - flags,
        flags,
        joined,
        header >> 56 & 0xF,
        header >> SEQ_BITS & 0xFFFF,
        header & SEQ_MASK,
        end - start,
        data[start * datagram_bytes : end * datagram_bytes],
        datagram_bytes,
    )


def _single(datagram: memoryview) -> Run:
    if len(datagram) < HEADER.size:
        return Run(0, 0, False, 0, 0, 0, 1, datagram, len(datagram))
    return _run(datagram, len(datagram), HEADER.unpack_from(datagram)[0], 0, 1, False)


def single(run: Run, index: int) -> Run:
    """Return one datagram of a run as a run of its own."""
    start = index * run.datagram_bytes
    datagram = run.datagrams[start : start + run.datagram_bytes]
    return Run(
        run.kind,
        run.flags_of(index),
        False,
        run.link,
        run.session,
        run.seq + index & SEQ_MASK,
        1,
        datagram,
        len(datagram),
    )
