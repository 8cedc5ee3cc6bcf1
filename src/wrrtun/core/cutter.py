"""Cut frames off a train: what a network card does with TSO, as pure bytes.

Every frame is complete but for its transport checksum, which stays partial (the pseudo-header's
sum): the datagram's tag protects it on the way, and the far end hands it on as partial.

A few frames are made one by one. Many are laid out by NumPy: one copy of the headers to all, then
the columns that differ: TCP seq and, where a packet may be fragmented, IP id and checksum. With
Don't Fragment the id means nothing and stays what it is (RFC 6864, 4.1).
"""

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from .headers import ETHERNET_BYTES, TCP, Buffer, Headers, fold, sum_words
from .train import Train
from .vnet import CWR, FIN_PSH, GSO_UDP_L4, NEEDS_CHECKSUM, VNET
from .wire import MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS

DONT_FRAGMENT: Final = 0x40  # in the upper byte of flags and fragment offset

_U16: Final = struct.Struct("!H")
_U32: Final = struct.Struct("!I")
_FEW: Final = 4  # up to here, frames one by one cost less than NumPy's calls
_STEPS: Final = np.arange(MAX_BATCH_DATAGRAMS, dtype=np.uint32)


class Template:
    """The headers of a train, and what each frame of it changes in them."""

    def __init__(self, train: Train, headers: Headers) -> None:
        frame = train.frame
        self.headers = headers
        self.segment_bytes = train.segment_bytes
        self._last = train.count - 1
        self._whole = bytes(frame[: headers.payload])
        self._super_length = len(frame) - headers.transport
        network, transport = headers.network, headers.transport
        self._partial_at = transport + headers.checksum_offset
        self._partial: int = _U16.unpack_from(frame, self._partial_at)[0]
        # Whether IPv4 packets need ids that differ, and so headers with sums that differ.
        self.numbered = not headers.ipv6 and not frame[network + 6] & DONT_FRAGMENT
        self.first_id: int = _U16.unpack_from(frame, network + 4)[0] if self.numbered else 0
        self.tcp = headers.protocol == TCP
        self.first_seq: int = _U32.unpack_from(frame, transport + 4)[0] if self.tcp else 0
        self.inner = self._lengthened(train.segment_bytes)
        self.id_less_sum = 0  # of a full frame's IPv4 header, all but id and checksum
        if self.numbered:
            constant = self.inner[network:transport]
            constant[4:6] = constant[10:12] = bytes(2)
            self.id_less_sum = sum_words(constant)
        self.begins_apart = False  # whether the first of several frames has a flag of its own
        if self.tcp:
            self.begins_apart = bool(self.inner[transport + 13] & CWR)
            self.inner[transport + 13] &= ~(FIN_PSH | CWR)

    def header(self, index: int, payload_bytes: int) -> bytearray:
        """Make the headers of frame `index` of the train."""
        network, transport = self.headers.network, self.headers.transport
        full = payload_bytes == self.segment_bytes
        header = self.inner.copy() if full else self._lengthened(payload_bytes)
        if self.numbered:
            _U16.pack_into(header, network + 4, self.first_id + index & 0xFFFF)
            _sum_ipv4(header, network, transport)
        if self.tcp:
            seq = self.first_seq + index * self.segment_bytes & 0xFFFFFFFF
            _U32.pack_into(header, transport + 4, seq)
            flags = self._whole[transport + 13]
            if index:
                flags &= ~CWR
            if index < self._last:
                flags &= ~FIN_PSH
            header[transport + 13] = flags
        return header

    def _lengthened(self, payload_bytes: int) -> bytearray:
        """Return the headers with every length that of a frame with so much payload."""
        network, transport = self.headers.network, self.headers.transport
        header = bytearray(self._whole)
        length = self.headers.payload - transport + payload_bytes
        partial = fold(self._partial + (~self._super_length & 0xFFFF) + length)
        _U16.pack_into(header, self._partial_at, partial)
        if not self.tcp:
            _U16.pack_into(header, transport + 4, length)
        if self.headers.ipv6:
            _U16.pack_into(header, network + 4, length)
        else:
            _U16.pack_into(header, network + 2, length + transport - network)
            _sum_ipv4(header, network, transport)
        return header


def _sum_ipv4(header: bytearray, network: int, transport: int) -> None:
    """Write an IPv4 header's checksum anew."""
    _U16.pack_into(header, network + 10, 0)
    _U16.pack_into(header, network + 10, ~sum_words(header[network:transport]) & 0xFFFF)


class Layout:
    """Full frames of one shape, end to end in the slab: views of them and of their columns."""

    def __init__(self, slab: bytearray, headers: Headers, segment_bytes: int) -> None:
        size = headers.payload + segment_bytes
        count = min(MAX_BATCH_DATAGRAMS, len(slab) // size)
        view = memoryview(slab)
        self.frames = [view[start : start + size] for start in range(0, count * size, size)]
        grid = np.ndarray((count, size), np.uint8, slab)
        self.headers = grid[:, : headers.payload]
        self.payload = grid[:, headers.payload :]
        network, transport = headers.network, headers.transport
        self.ids = np.ndarray((count,), ">u2", slab, network + 4, (size,))
        self.checksums = np.ndarray((count,), ">u2", slab, network + 10, (size,))
        self.seqs = np.ndarray((count,), ">u4", slab, transport + 4, (size,))
        self.seq_steps = _STEPS[:count] * np.uint32(segment_bytes)


class Cutter:
    """Makes frames; what it returns is valid until the next call."""

    MAX_LAYOUTS: Final = 16

    def __init__(self) -> None:
        self._slab = bytearray()  # made at the first cut: a server has many peers that are idle
        self._layouts: dict[tuple[Headers, int], Layout] = {}
        self._template: tuple[Buffer, Template] | None = None

    def take(self, train: Train, count: int) -> tuple[list[bytearray | memoryview], int]:
        """Cut the next `count` frames (at most 64, and 65 507 bytes) off a train of several.

        Return them and the wire flags of the first; the others continue the one before them.
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
        return self._many(train, template, first, count), flags

    @staticmethod
    def _one(train: Train, template: Template, index: int) -> bytearray:
        start = template.headers.payload + index * train.segment_bytes
        payload = train.frame[start : start + train.segment_bytes]
        frame = template.header(index, len(payload))
        frame += payload
        return frame

    def _many(
        self, train: Train, template: Template, first: int, count: int
    ) -> list[bytearray | memoryview]:
        headers, step = template.headers, train.segment_bytes
        layout = self._layout(headers, step)
        frames: list[bytearray | memoryview] = [*layout.frames[:count]]
        # The two ends of a train have flags, and the last its length, of their own.
        last = None if train.left else self._one(train, template, first + count - 1)
        full = count - 1 if last is not None else count
        layout.headers[:full] = np.frombuffer(template.inner, np.uint8)
        source = np.frombuffer(train.frame, np.uint8)
        start = headers.payload + first * step
        layout.payload[:full] = source[start : start + full * step].reshape(full, step)
        steps = _STEPS[:full]
        if template.numbered:
            ids = steps.astype(np.uint16) + np.uint16(template.first_id + first & 0xFFFF)
            layout.ids[:full] = ids
            sums = np.add(ids, template.id_less_sum, dtype=np.uint32)
            sums += sums >> 16  # the carry; what is above 16 bits falls away below
            layout.checksums[:full] = ~sums
        if template.tcp:
            first_seq = template.first_seq + first * step & 0xFFFFFFFF
            layout.seqs[:full] = layout.seq_steps[:full] + np.uint32(first_seq)
        if first == 0 and template.begins_apart:
            frames[0][: headers.payload] = template.header(0, step)
        if last is not None:
            frames[-1] = last
        return frames

    def _layout(self, headers: Headers, segment_bytes: int) -> Layout:
        key = headers, segment_bytes
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= self.MAX_LAYOUTS:
                self._layouts.clear()
            self._slab = self._slab or bytearray(MAX_BATCH_BYTES + ETHERNET_BYTES)
            layout = self._layouts[key] = Layout(self._slab, headers, segment_bytes)
        return layout


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
    most = min(MAX_BATCH_BYTES // train.frame_bytes, MAX_BATCH_DATAGRAMS)
    single: list[list[Buffer]] = []
    while train.left:
        frames, _ = cutter.take(train, min(most, train.left))
        single += [[vnet, bytes(frame)] for frame in frames]
    return single
