"""What one wake-up read from a TAP, and which of it is alike: a flood is judged once, not singly.

Each read (virtio-net header and frame) has a slot of its own. Those of equal length that follow
each other and are equal in every header field that a verdict depends on are a *stretch*; NumPy
compares their headers in a few calls, whatever their number. For TCP the flow is no such field:
acknowledgements of many flows are alike. Super-frames are each looked at.
"""

import struct
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from .classify import DSCP_EF
from .headers import ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP, UDP
from .vnet import VNET
from .wire import MAX_BATCH_DATAGRAMS

READ_BYTES: Final = 65_536 + 64  # a super-frame, its virtio-net header, and room to spare
# No power of two: equal places in all slots would share a few lines of the cache.
SLOT_BYTES: Final = READ_BYTES + 64
# What is read together costs less, but no side shall starve: one wake-up reads so many frames at
# most, or the bytes that it can carry in this time (and what is left of a chunk).
MAX_READS: Final = 2 * MAX_BATCH_DATAGRAMS
WAKE_SECONDS: Final = 0.004
LEAST_READ_BYTES: Final = 1 << 18
MOST_READ_BYTES: Final = 1 << 21
CHUNK_READS: Final = 8
SMALL_CHUNK_READS: Final = 32  # when those before are below this size
SMALL_BYTES: Final = 2048
# Of fewer, each is looked at: that costs less than NumPy's calls.
LEAST_ALIKE: Final = 4
MAX_SIZES: Final = 8

ICMP: Final = 1
GSO_TYPE: Final = 1  # its place in the virtio-net header
DONT_FRAGMENT: Final = 0x40  # in the upper byte of flags and fragment offset
NETWORK: Final = VNET.size + 14
WORDS: Final = 10  # of eight bytes: as far as the flags of TCP over IPv6

# EtherType, version and type of service, IPv6's protocol, IPv4's protocol.
_KIND: Final = struct.Struct("!HH4xB2xB")


class Mask(NamedTuple):
    """The bytes that count, for NumPy and, which is quicker for a lone frame, as a number."""

    words: npt.NDArray[np.uint64]
    number: int


def _mask(*parts: tuple[int, int]) -> Mask:
    """Cover the headers below the network's, and parts of what follows, as first and end."""
    mask = bytearray(8 * WORDS)
    mask[:NETWORK] = b"\xff" * NETWORK
    for first, end in parts:
        mask[NETWORK + first : NETWORK + end] = b"\xff" * (end - first)
    return _as_mask(mask)


def _as_mask(mask: bytearray) -> Mask:
    return Mask(np.frombuffer(bytes(mask), np.uint64), _number(mask))


def _number(part: bytes | bytearray | memoryview) -> int:
    return int.from_bytes(part, "little")


def _without_label(mask: Mask) -> Mask:
    """Leave IPv6's flow label out: it differs between flows."""
    bare = bytearray(mask.words.tobytes())
    bare[NETWORK + 1] &= 0xF0
    bare[NETWORK + 2 : NETWORK + 4] = bytes(2)
    return _as_mask(bare)


# What decides what becomes of a frame, and for UDP its flow: not the IP id, checksums, TCP's
# numbers and window. Frames with options or VLAN tags come in no floods.
_BEFORE_ID, _AFTER_ID, _ADDRESSES = (0, 4), (6, 10), (12, 20)
_IPV4: Final = {
    UDP: _mask(_BEFORE_ID, _AFTER_ID, _ADDRESSES, (20, 26)),  # ports and length
    TCP: _mask(_BEFORE_ID, _AFTER_ID, (32, 34)),  # length of the header, and flags
    ICMP: _mask(_BEFORE_ID, _AFTER_ID, _ADDRESSES),
}
_IPV6: Final = {UDP: _mask((0, 46)), TCP: _without_label(_mask((0, 8), (52, 54)))}


class Reads:
    """Slots to read into; what was read stays until `clear`. Long-lived: one for all TAPs."""

    def __init__(self) -> None:
        self.sizes: list[int] = []  # bytes of each read
        self._most_bytes = LEAST_READ_BYTES  # in this wake-up
        self._bytes_before = 0  # in the one before, which began at:
        self._began = 0.0
        memory = self._memory = np.zeros(MAX_READS * SLOT_BYTES, np.uint8)  # given when it is used
        whole = memory.data
        starts = range(0, len(memory), SLOT_BYTES)
        self._slots = [whole[start : start + READ_BYTES] for start in starts]
        self._frames: dict[int, list[memoryview]] = {}
        self._columns: dict[int, npt.NDArray[np.uint16]] = {}
        self._words = np.ndarray((MAX_READS, WORDS), np.uint64, memory, 0, (SLOT_BYTES, 8))
        self._ids = np.ndarray((MAX_READS,), ">u2", memory, NETWORK + 4, (SLOT_BYTES,))
        self._sums = np.ndarray((MAX_READS,), ">u2", memory, NETWORK + 10, (SLOT_BYTES,))

    def __len__(self) -> int:
        return len(self.sizes)

    def begin(self, now: float) -> None:
        """Hear that a wake-up begins. If the one before left something, it followed at once."""
        took, self._began = now - self._began, now
        if self._bytes_before >= self._most_bytes:
            wanted = int(self._bytes_before * WAKE_SECONDS / max(took, WAKE_SECONDS / 8))
            self._most_bytes = min(max(wanted, LEAST_READ_BYTES), MOST_READ_BYTES)

    def rooms(self, most: int) -> Sequence[memoryview]:
        """Return the next slots to read into; none: it is enough.

        `most`: how many reads are wanted, those that were made counted in.
        """
        made, size = len(self.sizes), sum(self.sizes)
        if size >= self._most_bytes:
            return ()
        chunk = SMALL_CHUNK_READS if size < made * SMALL_BYTES else CHUNK_READS
        return self._slots[made : min(most, made + chunk)]

    def add(self, read: bytes | bytearray | memoryview) -> None:
        """Take what was read elsewhere."""
        self._slots[len(self.sizes)][: len(read)] = read
        self.sizes.append(len(read))

    def leave_out(self, indices: set[int]) -> None:
        """Forget some of what was read; what lies behind is copied, so it had better be small."""
        kept = [index for index in range(len(self.sizes)) if index not in indices]
        for place, index in enumerate(kept):
            size = self.sizes[place] = self.sizes[index]
            self._slots[place][:size] = self._slots[index][:size]
        del self.sizes[len(kept) :]

    def clear(self) -> None:
        """Use the slots again."""
        if self.sizes:
            self._bytes_before = sum(self.sizes)
            self.sizes = []

    def read(self, index: int) -> memoryview:
        """Return one read: virtio-net header and frame."""
        return self._slots[index][: self.sizes[index]]

    def frames(self, start: int, end: int) -> list[memoryview]:
        """Return the frames of reads that are equally long."""
        size = self.sizes[start]
        views = self._frames.get(size)
        if views is None:
            if len(self._frames) >= MAX_SIZES:
                self._frames.clear()
            views = self._frames[size] = [slot[VNET.size : size] for slot in self._slots]
        return views[start:end]

    def stretches(self) -> Iterator[tuple[int, int, int | None]]:
        """Yield what is alike as first, end and what is equal in it, in order.

        What was not compared comes one by one, without the latter.
        """
        sizes = self.sizes
        count = len(sizes)
        if count >= LEAST_ALIKE and sizes.count(sizes[0]) == count:
            yield from self._alike(0, count)
            return
        start = 0
        for _, equal in groupby(sizes):
            end = start + len(list(equal))
            yield from self._alike(start, end)
            start = end

    def _alike(self, start: int, end: int) -> Iterator[tuple[int, int, int | None]]:
        """Yield what is alike among reads of equal length."""
        mask = self._mask(start) if end - start >= LEAST_ALIKE else None
        if mask is None:
            for index in range(start, end):
                yield index, index + 1, None
            return
        heads = self._words[start:end] & mask.words
        if not (heads[1:] != heads[:-1]).any():
            yield start, end, _number(heads[0].tobytes())
            return
        edges = np.flatnonzero((heads[1:] != heads[:-1]).any(axis=1)) + 1
        first = 0
        for edge in (*edges.tolist(), end - start):
            if self._mask(start + first) is mask:
                yield start + first, start + edge, _number(heads[first].tobytes())
            else:  # of another kind than the first, by chance as long
                for index in range(start + first, start + edge):
                    yield index, index + 1, None
            first = edge

    def equal_part(self, index: int) -> int | None:
        """Return of a single frame what `stretches` says of one; None: it is not compared."""
        mask = self._mask(index)
        if mask is None:
            return None
        return _number(self._slots[index][: 8 * WORDS]) & mask.number

    def _mask(self, index: int) -> Mask | None:
        """Return what must be equal in frames of this one's kind; None: each is looked at."""
        slot = self._slots[index]
        if slot[GSO_TYPE]:
            return None
        ethertype, version, after_ipv6, after_ipv4 = _KIND.unpack_from(slot, NETWORK - 2)
        if ethertype == ETHERTYPE_IPV4:
            marked = version >> 2 & 63 == DSCP_EF
            known, protocol = version >> 8 == 0x45, after_ipv4
        else:
            marked = version >> 6 & 63 == DSCP_EF
            known, protocol = ethertype == ETHERTYPE_IPV6, after_ipv6
        # Of what is marked EF the flow matters, for TCP too.
        if not known or (marked and protocol == TCP):
            return None
        return (_IPV4 if ethertype == ETHERTYPE_IPV4 else _IPV6).get(protocol)

    def equal(self, at: int, start: int, end: int) -> bool:
        """Tell whether the two bytes `at` (from the frame's beginning) are equal in a stretch."""
        column = self._columns.get(at)
        if column is None:
            column = np.ndarray((MAX_READS,), "<u2", self._memory, VNET.size + at, (SLOT_BYTES,))
            self._columns[at] = column
        return bool((column[start:end] == column[start]).all())

    def numbered(self, start: int, end: int, id_sum: int) -> bool:
        """Tell whether a stretch of IPv4 may be one super-frame, as far as ids and sums go.

        The ids count up, or mean nothing as no packet may be fragmented (RFC 6864, 4.1). `id_sum`
        is what id and header checksum are together, modulo 65 535, when the checksum is right.
        """
        ids = self._ids[start:end].astype(np.uint32)
        if ((ids + self._sums[start:end]) % 0xFFFF != id_sum).any():
            return False
        if self._slots[start][NETWORK + 6] & DONT_FRAGMENT:
            return True
        steps = np.arange(end - start, dtype=np.uint32)
        return bool(((ids - ids[0] - steps) & 0xFFFF == 0).all())
