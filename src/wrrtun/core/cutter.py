"""Cut frames off a train: what a network card does with TSO, as pure bytes.

Every frame is complete but for its transport checksum, which stays partial (the pseudo-header's
sum): the datagram's tag protects it on the way, and the far end hands it on as partial.

A few frames are made one by one. Many are laid out by NumPy where they will be sealed: one copy of
the headers to all, then the columns that differ: TCP seq and, where a packet may be fragmented, IP
id and checksum. With Don't Fragment the id means nothing and stays what it is (RFC 6864, 4.1).
"""

import struct
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .headers import TCP, Buffer, Headers, ones_complement
from .slab import Slab
from .train import Train
from .vnet import CWR, FIN_PSH, GSO_UDP_L4, NEEDS_CHECKSUM, VNET
from .wire import HEADER, MAX_RUN_DATAGRAMS, OVERHEAD_BYTES, batch_datagrams

DONT_FRAGMENT: Final = 0x40  # in the upper byte of flags and fragment offset

_U16: Final = struct.Struct("!H")
_U32: Final = struct.Struct("!I")
_FEW: Final = 4  # up to here, frames one by one cost less than NumPy's calls
_STEPS: Final = np.arange(MAX_RUN_DATAGRAMS, dtype=np.uint32)


class Template:
    """The headers of a train, and what each frame of it changes in them."""

    def __init__(self, train: Train, headers: Headers) -> None:
        network, transport, payload, protocol, ipv6 = self.headers = headers
        frame = train.frame
        self._last = train.count - 1
        self.segment_bytes = train.segment_bytes
        inner = self.inner = bytearray(frame[:payload])
        length = payload - transport + train.segment_bytes
        longer = len(frame) - transport - length
        at = self._partial_at = transport + headers.checksum_offset
        self._partial = ones_complement(_U16.unpack_from(inner, at)[0] - longer)
        _U16.pack_into(inner, at, self._partial)
        # Whether IPv4 packets need ids that differ, and so headers with sums that differ.
        self.numbered = not ipv6 and not inner[network + 6] & DONT_FRAGMENT
        self.first_id: int = _U16.unpack_from(inner, network + 4)[0] if self.numbered else 0
        self.sum = 0  # of a full frame's IPv4 header, all but checksum and numbered ids
        if ipv6:
            _U16.pack_into(inner, network + 4, length)
        else:
            before: int = _U16.unpack_from(inner, network + 10)[0]
            _U16.pack_into(inner, network + 2, length + transport - network)
            words = int.from_bytes(inner[network:transport], "big")
            self.sum = ones_complement(words - before - self.first_id)
            _U16.pack_into(inner, network + 10, 0xFFFF - self.sum)
        self.tcp = protocol == TCP
        if self.tcp:
            self.first_seq: int = _U32.unpack_from(inner, transport + 4)[0]
            self._flags = flags = inner[transport + 13]
            inner[transport + 13] = flags & ~(FIN_PSH | CWR)
        else:
            _U16.pack_into(inner, transport + 4, length)

    def header(self, index: int, payload_bytes: int) -> bytearray:
        """Make the headers of frame `index` of the train."""
        network, transport = self.headers.network, self.headers.transport
        header = self.inner.copy()
        if self.numbered:
            number = self.first_id + index & 0xFFFF
            _U16.pack_into(header, network + 4, number)
            _U16.pack_into(header, network + 10, 0xFFFF - ones_complement(self.sum + number))
        if self.tcp:
            seq = self.first_seq + index * self.segment_bytes & 0xFFFFFFFF
            _U32.pack_into(header, transport + 4, seq)
        if index == 0:
            self.begin(header)
        if index == self._last:
            self.end(header, payload_bytes)
        return header

    def number(self, layout: "Layout", at: int, first: int, count: int) -> None:
        """Give frames `first` and following, which lie in the layout from `at` on, their ids."""
        ids = _STEPS[:count].astype(np.uint16) + np.uint16(self.first_id + first & 0xFFFF)
        layout.ids[at : at + count] = ids
        sums = np.add(ids, self.sum, dtype=np.uint32)
        sums += sums >> 16  # the carry; what is above 16 bits falls away below
        layout.checksums[at : at + count] = ~sums

    def begin(self, frame: bytearray | memoryview) -> None:
        """Give the train's first frame what it alone has."""
        if self.tcp:
            frame[self.headers.transport + 13] |= self._flags & CWR

    def end(self, frame: bytearray | memoryview, payload_bytes: int) -> None:
        """Give the train's last frame what it alone has: flags, and perhaps less payload."""
        network, transport, payload, _, ipv6 = self.headers
        if self.tcp:
            frame[transport + 13] |= self._flags & FIN_PSH
        shorter = self.segment_bytes - payload_bytes
        if not shorter:
            return
        length = payload - transport + payload_bytes
        _U16.pack_into(frame, self._partial_at, ones_complement(self._partial - shorter))
        if not self.tcp:
            _U16.pack_into(frame, transport + 4, length)
        if ipv6:
            _U16.pack_into(frame, network + 4, length)
            return
        _U16.pack_into(frame, network + 2, length + transport - network)
        total = 0xFFFF - _U16.unpack_from(frame, network + 10)[0] - shorter
        _U16.pack_into(frame, network + 10, 0xFFFF - ones_complement(total))


class Layout:
    """Full frames of one shape in a slab, with room around each for what sealing adds."""

    @classmethod
    def of(cls, slab: Slab, headers: Headers, segment_bytes: int) -> "Layout":
        """Return the slab's layout of this shape; it keeps a few."""
        key = headers, segment_bytes
        layout: Layout | None = slab.layouts.get(key)
        if layout is None:
            layout = cls(slab, headers, segment_bytes)
            slab.keep(key, layout)
        return layout

    def __init__(self, slab: Slab, headers: Headers, segment_bytes: int) -> None:
        size = headers.payload + segment_bytes
        step = size + OVERHEAD_BYTES
        count = min(slab.datagrams, slab.size_bytes // step)
        starts = range(HEADER.size, HEADER.size + count * step, step)
        self.frames: list[bytearray | memoryview] = [
            slab.view[start : start + size] for start in starts
        ]
        # A row of bytes as one item each: copied a row at a time.
        self.header = np.dtype(f"V{headers.payload}")
        self.segment = np.dtype(f"V{segment_bytes}")

        def column(dtype: npt.DTypeLike, offset: int) -> npt.NDArray[Any]:
            return np.ndarray((count,), dtype, slab.view, HEADER.size + offset, (step,))

        network, transport = headers.network, headers.transport
        self.headers = column(self.header, 0)
        self.payloads = column(self.segment, headers.payload)
        self.ids = column(">u2", network + 4)
        self.checksums = column(">u2", network + 10)
        self.seqs = column(">u4", transport + 4)
        self.seq_steps = _STEPS[:count] * np.uint32(segment_bytes)


class Cutter:
    """Makes frames."""

    def __init__(self) -> None:
        self._template: tuple[Buffer, Template] | None = None

    def take(
        self, train: Train, count: int, slab: Slab | None = None, at: int = 0
    ) -> tuple[list[bytearray | memoryview], int]:
        """Cut the next `count` frames (at most 64, and 65 507 bytes sealed) off a train.

        Return them and the wire flags of the first; the others continue the one before them. Many
        lie in the slab, each where it can be sealed in place, behind `at` others of that size.
        """
        headers = train.headers
        assert headers is not None
        # The buffer, not the train: a congestion mark copies it, and changes the headers.
        if self._template is None or self._template[0] is not train.frame:
            self._template = train.frame, Template(train, headers)
        template = self._template[1]
        first = train.taken
        flags = train.pass_on(count)
        if not train.left:
            self._template = None
        if count <= _FEW:
            return [self._one(train, template, first + i) for i in range(count)], flags
        return self._many(train, template, first, count, slab or Slab(), at), flags

    @staticmethod
    def _one(train: Train, template: Template, index: int) -> bytearray:
        start = template.headers.payload + index * train.segment_bytes
        payload = train.frame[start : start + train.segment_bytes]
        frame = template.header(index, len(payload))
        frame += payload
        return frame

    @staticmethod
    def _many(
        train: Train, template: Template, first: int, count: int, slab: Slab, at: int
    ) -> list[bytearray | memoryview]:
        headers, step = template.headers, train.segment_bytes
        payload, whole = headers.payload, train.frame
        layout = Layout.of(slab, headers, step)
        end = at + count
        frames = layout.frames[at:end]
        # The last frame of a train may be shorter.
        full = count if train.left else count - 1
        start = payload + first * step
        layout.headers[at:end] = np.frombuffer(template.inner, layout.header)
        layout.payloads[at : at + full] = np.ndarray((full,), layout.segment, whole, start)
        if template.numbered:
            template.number(layout, at, first, count)
        if template.tcp:
            first_seq = template.first_seq + first * step & 0xFFFFFFFF
            layout.seqs[at:end] = layout.seq_steps[:count] + np.uint32(first_seq)
        if first == 0:
            template.begin(frames[0])
        if full < count:
            rest = whole[start + full * step :]
            last = frames[full] = frames[full][: payload + len(rest)]
            last[payload:] = rest
            template.end(last, len(rest))
        return frames


def cut_datagrams(vector: Sequence[Buffer]) -> list[list[Buffer]]:
    """Make single frames of a super-frame of UDP, for a kernel that does not know such (< 6.2).

    Each has its virtio-net header. Whatever else the vector holds is returned as it is.
    """
    if vector[0][1] != GSO_UDP_L4:
        return [[*vector]]
    train = Train.parse(b"".join(vector))
    if train is None or train.headers is None:
        return [[*vector]]
    cutter, headers = Cutter(), train.headers
    vnet = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, headers.transport, headers.checksum_offset)
    most = batch_datagrams(train.frame_bytes + OVERHEAD_BYTES)
    single: list[list[Buffer]] = []
    while train.left:
        frames, _ = cutter.take(train, min(most, train.left))
        single += [[vnet, bytes(frame)] for frame in frames]
    return single
