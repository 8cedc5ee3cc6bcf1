"""Super-frame to frames and back: what a network card does with TSO and GRO, as pure bytes.

The kernel hands a TCP (or UDP) flow over unsegmented, up to 64 KB behind one set of headers, and
says in the virtio-net header (virtio 1.2, 5.1.6) at which payload size to cut it. Every frame cut
from it is complete but for its transport checksum, which stays partial (the pseudo-header's sum):
the datagram's tag protects it on the way, and the far end hands it on as partial.

A *train* is one TAP read on its way out: a super-frame, or a single frame, which is a train of one.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from .headers import TCP, Buffer, Headers, complete_checksum, fold, locate, sum_words
from .wire import CONTINUES, MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS, PARTIAL

# flags, gso_type, hdr_len, gso_size, csum_start, csum_offset; the TAP is set to little-endian.
VNET: Final = struct.Struct("<BBHHHH")
VNET_PLAIN: Final = VNET.pack(0, 0, 0, 0, 0, 0)
NEEDS_CHECKSUM: Final = 1
GSO_NONE, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, GSO_ECN = 0, 1, 4, 5, 0x80
CUTTABLE: Final = (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4)

# A GSO frame's IP length field has 16 bits.
MAX_SUPER_FRAME_BYTES: Final = 65_535

FIN_PSH: Final = 0x09
CWR: Final = 0x80

Bytes2D = npt.NDArray[np.uint8]


class Train:
    """The frames of one TAP read, cut from the front as links take them."""

    __slots__ = (
        "_broken",
        "_read",
        "count",
        "flags",
        "frame_bytes",
        "headers",
        "segment_bytes",
        "taken",
    )

    def __init__(
        self, read: Buffer, count: int, segment_bytes: int, flags: int, headers: Headers | None
    ) -> None:
        self._read = read  # without the virtio-net header
        self.count = count
        self.segment_bytes = segment_bytes  # payload of each frame but the last; 0 for a train of 1
        self.flags = flags  # wire flags: PARTIAL or 0
        self.headers = headers
        self.taken = 0
        self._broken = True  # the next frame does not continue the one sent before it
        self.frame_bytes = headers.payload + segment_bytes if count > 1 and headers else len(read)

    @classmethod
    def parse(cls, read: Buffer) -> Self | None:
        """Make a train of what the TAP delivered; None when it cannot be carried."""
        if len(read) < VNET.size + 14:
            return None
        flags, gso_type, _, gso_bytes, start, offset = VNET.unpack_from(read)
        frame = memoryview(read)[VNET.size :]
        partial = flags & NEEDS_CHECKSUM
        if not partial and not gso_type:
            return cls(frame, 1, 0, 0, None)
        headers = locate(frame)
        told = headers is not None and (start, offset) == (
            headers.transport,
            headers.checksum_offset,
        )
        if gso_type:
            if gso_type & ~GSO_ECN not in CUTTABLE or not told or headers is None or not gso_bytes:
                return None
            count = -(-(len(frame) - headers.payload) // gso_bytes)
            if count > 1:
                return cls(frame, count, gso_bytes, PARTIAL, headers)
        if told:
            return cls(frame, 1, 0, PARTIAL, headers)
        # The far end could not tell where this checksum lies (an inner one, SCTP): finish it here.
        if start + offset + 2 > len(frame):
            return None
        whole = bytearray(frame)
        complete_checksum(whole, start, offset)
        return cls(whole, 1, 0, 0, None)

    def own(self) -> None:
        """Copy the bytes: the buffer that the TAP read into is about to be used again."""
        self._read = bytearray(self._read)

    @property
    def frame(self) -> Buffer:
        """The whole read: the frame itself for a train of one, else the super-frame."""
        return self._read

    def pass_on(self, count: int) -> int:
        """Note that `count` frames leave; return the wire flags of the first of them."""
        flags = self.flags if self._broken else CONTINUES
        self.taken += count
        self._broken = False
        return flags

    def drop_one(self) -> None:
        """Leave the next frame out; the one behind it then continues nothing."""
        self.taken += 1
        self._broken = True

    @property
    def size_bytes(self) -> int:
        """Bytes of the frames that are still to be taken."""
        if self.count == 1:
            return 0 if self.taken else self.frame_bytes
        left = self.count - self.taken
        return left * self.frame_bytes - (self.shortfall_bytes if left else 0)

    @property
    def shortfall_bytes(self) -> int:
        """How much shorter the last frame is than the others."""
        if self.headers is None or self.count == 1:
            return 0
        return self.count * self.segment_bytes - (len(self._read) - self.headers.payload)

    @property
    def left(self) -> int:
        """Frames still to be taken."""
        return self.count - self.taken


class Cutter:
    """Lays the frames of a train out side by side; what it returns is valid until the next call."""

    MAX_LAYOUTS: Final = 16

    def __init__(self) -> None:
        self._slab = np.zeros(MAX_BATCH_BYTES + MAX_BATCH_DATAGRAMS, np.uint8)
        self._view = self._slab.data
        self._layouts: dict[int, list[memoryview]] = {}
        self._steps = np.arange(MAX_BATCH_DATAGRAMS, dtype=np.uint32)

    def take(self, train: Train, count: int) -> tuple[list[memoryview], int]:
        """Cut the next `count` frames (at most 64, and 65 507 bytes) off a train of several.

        Return them and the wire flags of the first; the others continue the one before them.
        """
        first = train.taken
        flags = train.pass_on(count)
        size, short = train.frame_bytes, train.shortfall_bytes if not train.left else 0
        views = self._layout(size)[:count]
        grid = self._slab[: count * size].reshape(count, size)
        self._fill_payload(grid, train, first, count - bool(short))
        self._fill_headers(grid, train, first, count)
        if short:
            views[-1] = views[-1][: size - short]
        return views, flags

    def _layout(self, size: int) -> list[memoryview]:
        """Return views of the slab as frames of `size` bytes, end to end."""
        if size not in self._layouts:
            if len(self._layouts) >= self.MAX_LAYOUTS:
                self._layouts.clear()
            fit = min(MAX_BATCH_DATAGRAMS, len(self._view) // size)
            self._layouts[size] = [self._view[i * size : (i + 1) * size] for i in range(fit)]
        return self._layouts[size]

    @staticmethod
    def _fill_payload(grid: Bytes2D, train: Train, first: int, full: int) -> None:
        """Copy headers and payload of `full` whole frames and, if there is one more, its rest."""
        header, step = train.frame_bytes - train.segment_bytes, train.segment_bytes
        source = np.frombuffer(train.frame, np.uint8)
        grid[:, :header] = source[:header]
        start = header + first * step
        grid[:full, header:] = source[start : start + full * step].reshape(full, step)
        if full < len(grid):
            rest = source[start + full * step :]
            grid[full, header : header + len(rest)] = rest

    def _fill_headers(self, grid: Bytes2D, train: Train, first: int, count: int) -> None:
        """Give each frame its own lengths, IP id and checksum, TCP seq and flags."""
        headers = train.headers
        assert headers is not None
        network, transport, _payload, protocol, ipv6 = headers
        frame = train.frame
        index = self._steps[first : first + count] if first + count <= 64 else None
        if index is None:
            index = np.arange(first, first + count, dtype=np.uint32)
        size = train.frame_bytes
        last_size = size - train.shortfall_bytes if not train.left else size

        super_length = len(frame) - transport
        partial_at = transport + headers.checksum_offset
        partial = int.from_bytes(frame[partial_at : partial_at + 2], "big")
        for row, length in ((grid[:-1], size - transport), (grid[-1:], last_size - transport)):
            row[:, partial_at : partial_at + 2] = _word(
                fold(partial + (~super_length & 0xFFFF) + length)
            )
            if protocol != TCP:
                row[:, transport + 4 : transport + 6] = _word(length)
            if ipv6:
                row[:, network + 4 : network + 6] = _word(length)
            else:
                row[:, network + 2 : network + 4] = _word(length + transport - network)

        if not ipv6:
            _number_ipv4(grid, network, transport, frame, index)
        if protocol == TCP:
            sequence = int.from_bytes(frame[transport + 4 : transport + 8], "big")
            numbers = (index.astype(np.uint64) * train.segment_bytes + sequence).astype(">u4")
            grid[:, transport + 4 : transport + 8] = numbers.view(np.uint8).reshape(count, 4)
            flags = frame[transport + 13]
            inner = flags & ~FIN_PSH & ~CWR
            grid[:, transport + 13] = inner
            if first == 0:
                grid[0, transport + 13] = inner | flags & CWR
            if not train.left:
                grid[-1, transport + 13] |= flags & FIN_PSH


def _word(value: int) -> tuple[int, int]:
    return value >> 8, value & 0xFF


def _number_ipv4(
    grid: Bytes2D, network: int, transport: int, frame: Buffer, index: npt.NDArray[np.uint32]
) -> None:
    """Count the IP ids up (RFC 6864: unique per fragmentable datagram) and sum each header anew."""
    count = len(grid)
    first_id = int.from_bytes(frame[network + 4 : network + 6], "big")
    ids = (index + first_id & 0xFFFF).astype(">u2")
    grid[:, network + 4 : network + 6] = ids.view(np.uint8).reshape(count, 2)
    lengths = grid[:, network + 2 : network + 4].astype(np.uint32)
    constant = bytearray(frame[network:transport])
    constant[2:6] = bytes(4)
    constant[10:12] = bytes(2)
    sums = ids.astype(np.uint32) + (lengths[:, 0] << 8 | lengths[:, 1]) + sum_words(constant)
    sums = (sums & 0xFFFF) + (sums >> 16)
    sums = (sums & 0xFFFF) + (sums >> 16)
    grid[:, network + 10 : network + 12] = (
        (~sums & 0xFFFF).astype(">u2").view(np.uint8).reshape(count, 2)
    )


@dataclass(slots=True)
class Opened:
    """Consecutive frames of one flow, authenticated and joined: headers once, then the payloads.

    A run that is not one flow is opened as several of these. `segment_bytes` is the payload of
    each frame but the last. `last_flags` are the TCP flags of the last frame.
    """

    seq: int
    count: int
    data: Buffer
    flags: int  # wire flags of the first frame: 0, PARTIAL or CONTINUES
    headers: Headers | None
    segment_bytes: int
    last_flags: int


def gather(released: list[Opened]) -> list[list[Buffer]]:
    """Join what follows itself and give each result its virtio-net header: vectors for the TAP."""
    vectors: list[list[Buffer]] = []
    chain: list[Opened] = []
    size = 0
    for opened in released:
        if chain and _follows(chain[0], chain[-1], opened, size):
            size += len(opened.data) - opened.headers.payload  # type: ignore[union-attr]
        else:
            if chain:
                vectors.append(_vector(chain, size))
            chain = []
            size = len(opened.data)
        chain.append(opened)
    if chain:
        vectors.append(_vector(chain, size))
    return vectors


def _follows(first: Opened, last: Opened, opened: Opened, size: int) -> bool:
    """Tell whether `opened` goes on where the chain first..last (of `size` bytes) ends."""
    if opened.flags != CONTINUES or opened.seq != last.seq + last.count or opened.headers is None:
        return False
    if first.headers is None or opened.headers != first.headers:
        return False
    full = first.segment_bytes
    if opened.segment_bytes != full and not (opened.count == 1 and opened.segment_bytes < full):
        return False
    # A short frame ends a super-frame: nothing may follow it.
    payload = len(last.data) - first.headers.payload
    if payload != last.count * full:
        return False
    grown = size + len(opened.data) - opened.headers.payload
    return grown - first.headers.network <= MAX_SUPER_FRAME_BYTES


def _vector(chain: list[Opened], size: int) -> list[Buffer]:
    """Write the headers of the whole chain anew; payloads are passed on as they lie."""
    first = chain[0]
    headers = first.headers
    if headers is None:
        return [VNET_PLAIN, first.data]
    count = sum(opened.count for opened in chain)
    transport, offset = headers.transport, headers.checksum_offset
    if count == 1:
        return [VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, transport, offset), first.data]
    head = bytearray(first.data[: headers.payload])
    first_length = headers.payload - transport + first.segment_bytes
    _lengthen(head, headers, first_length, size - transport)
    gso_type = GSO_UDP_L4
    if headers.protocol == TCP:
        gso_type = GSO_TCPV6 if headers.ipv6 else GSO_TCPV4
        head[transport + 13] |= chain[-1].last_flags & FIN_PSH
        if head[transport + 13] & CWR:
            gso_type |= GSO_ECN
    vnet = VNET.pack(
        NEEDS_CHECKSUM, gso_type, headers.payload, first.segment_bytes, transport, offset
    )
    vector: list[Buffer] = [vnet + head]
    vector += [memoryview(opened.data)[headers.payload :] for opened in chain]
    return vector


def _lengthen(head: bytearray, headers: Headers, old: int, new: int) -> None:
    """Change the transport length from `old` to `new` bytes, and what depends on it."""
    network, transport = headers.network, headers.transport
    at = transport + headers.checksum_offset
    partial = int.from_bytes(head[at : at + 2], "big")
    head[at : at + 2] = fold(partial + (~old & 0xFFFF) + new).to_bytes(2, "big")
    if headers.protocol != TCP:
        head[transport + 4 : transport + 6] = new.to_bytes(2, "big")
    if headers.ipv6:
        head[network + 4 : network + 6] = new.to_bytes(2, "big")
        return
    head[network + 2 : network + 4] = (new + transport - network).to_bytes(2, "big")
    head[network + 10 : network + 12] = bytes(2)
    checksum = ~sum_words(head[network:transport]) & 0xFFFF
    head[network + 10 : network + 12] = checksum.to_bytes(2, "big")
