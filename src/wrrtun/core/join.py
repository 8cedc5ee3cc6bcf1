"""Frames back to super-frames: what was opened and put in order is joined for the TAP.

Consecutive frames of one train become one write behind one set of headers, as a network card's
GRO would have it; the virtio-net header says at which payload size the kernel may cut them again.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .headers import TCP, Buffer, Headers, ones_complement, sum_words
from .slab import Slab
from .vnet import (
    CWR,
    FIN_PSH,
    GSO_ECN,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    NEEDS_CHECKSUM,
    VNET,
    VNET_PLAIN,
)
from .wire import CONTINUES

# A super-frame's IP length field has 16 bits.
MAX_SUPER_FRAME_BYTES: Final = 65_535

_U16: Final = struct.Struct("!H")


@dataclass(slots=True, eq=False)  # each is itself, and found in a list by that
class Opened:
    """Consecutive frames of one flow, authenticated and joined: headers once, then the payloads.

    A run that is not one flow is frames apart, or has several of these as its parts.
    `segment_bytes` is the payload of each frame but the last. `last_flags` are the TCP flags of the
    last frame.
    """

    seq: int
    count: int
    data: Buffer
    flags: int  # wire flags of the first frame: 0, PARTIAL or CONTINUES
    headers: Headers | None
    segment_bytes: int
    last_flags: int
    slab: Slab | None = None  # that holds the data, to be used again
    # Frames that stand for themselves, in the place of `data`. If their checksum is partial, it
    # lies in all where `headers` say.
    apart: Sequence[Buffer] = ()
    more: Sequence[Buffer] = ()  # the payloads behind `data`, where they lie elsewhere
    parts: Sequence["Opened"] = ()  # in the place of all this, what the run is made of
    _size_bytes: int = -1  # once it is known

    @property
    def size_bytes(self) -> int:
        """Bytes of the frames, headers that were joined counted once."""
        if self._size_bytes < 0:
            if self.parts:
                self._size_bytes = sum([part.size_bytes for part in self.parts])
            else:
                self._size_bytes = len(self.data) + sum(map(len, self.apart or self.more))
        return self._size_bytes

    def own(self) -> None:
        """Copy the bytes: the slab that they lie in is about to be used again."""
        for part in self.parts or (self,):
            part.data = bytes(part.data)
            if part.more:
                part.more = [b"".join(part.more)]
        self.slab = None


def gather(released: list[Opened]) -> list[list[Buffer]]:
    """Join what follows itself and give each result its virtio-net header: vectors for the TAP."""
    vectors: list[list[Buffer]] = []
    chain: list[Opened] = []
    size = 0
    for opened in _parts(released):
        if opened.apart:
            if chain:
                vectors.append(_vector(chain, size))
                chain = []
            vectors += vectors_of(opened)
            continue
        if chain and _follows(chain[0], chain[-1], opened, size):
            size += opened.size_bytes - opened.headers.payload  # type: ignore[union-attr]
        else:
            if chain:
                vectors.append(_vector(chain, size))
            chain = []
            size = opened.size_bytes
        chain.append(opened)
    if chain:
        vectors.append(_vector(chain, size))
    return vectors


def _parts(released: list[Opened]) -> Iterator[Opened]:
    for opened in released:
        if opened.parts:
            yield from opened.parts
        else:
            yield opened


def vectors_of(opened: Opened) -> list[list[Buffer]]:
    """Give what is not to be joined with others its virtio-net header: vectors for the TAP."""
    if opened.parts:
        return gather([opened])
    if not opened.apart:
        return [_vector([opened], opened.size_bytes)]
    vnet, headers = VNET_PLAIN, opened.headers
    if headers is not None:
        vnet = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, headers.transport, headers.checksum_offset)
    return [[vnet, frame] for frame in opened.apart]


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
    payload = last.size_bytes - first.headers.payload
    if payload != last.count * full:
        return False
    grown = size + opened.size_bytes - opened.headers.payload
    return grown - first.headers.network <= MAX_SUPER_FRAME_BYTES


def _vector(chain: list[Opened], size: int) -> list[Buffer]:
    """Write the headers of the whole chain anew; payloads are passed on as they lie."""
    first = chain[0]
    headers = first.headers
    if headers is None:
        return [VNET_PLAIN, first.data]
    transport, payload, offset = headers.transport, headers.payload, headers.checksum_offset
    if first.count == len(chain) == 1:
        return [VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, transport, offset), first.data]
    head = bytearray(first.data[:payload])
    _lengthen(head, headers, size - payload - first.segment_bytes, size)
    gso_type = GSO_UDP_L4
    if headers.protocol == TCP:
        gso_type = GSO_TCPV6 if headers.ipv6 else GSO_TCPV4
        head[transport + 13] |= chain[-1].last_flags & FIN_PSH
        if head[transport + 13] & CWR:
            gso_type |= GSO_ECN
    vnet = VNET.pack(NEEDS_CHECKSUM, gso_type, payload, first.segment_bytes, transport, offset)
    vector: list[Buffer] = [vnet + head]
    for opened in chain:
        vector.append(memoryview(opened.data)[payload:])
        vector += opened.more
    return vector


def _lengthen(head: bytearray, headers: Headers, longer: int, size: int) -> None:
    """Make the lengths, and the sums over them, those of a frame of `size` bytes.

    `longer`: by how many bytes the frame has grown.
    """
    network, transport, _, protocol, ipv6 = headers
    at = transport + headers.checksum_offset
    _U16.pack_into(head, at, ones_complement(_U16.unpack_from(head, at)[0] + longer))
    if protocol != TCP:
        _U16.pack_into(head, transport + 4, size - transport)
    if ipv6:
        _U16.pack_into(head, network + 4, size - transport)
        return
    _U16.pack_into(head, network + 2, size - network)
    _U16.pack_into(head, network + 10, 0)
    _U16.pack_into(head, network + 10, 0xFFFF - sum_words(head[network:transport]))
