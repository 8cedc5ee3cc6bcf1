"""A train: one TAP read on its way out, a super-frame or a single frame (a train of one).

The kernel hands a TCP (or UDP) flow over unsegmented, up to 64 KB behind one set of headers. The
train is cut from the front as links take frames; cutter.py makes the frames.
"""

from typing import Final, Self

from .ecn import mark_congestion_experienced
from .headers import TCP, Buffer, Headers, complete_checksum, locate
from .vnet import GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CHECKSUM, VNET
from .wire import CONTINUES, PARTIAL

CUTTABLE: Final = (GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4)


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
        "shortfall_bytes",
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
        if count > 1 and headers:
            self.frame_bytes = headers.payload + segment_bytes
            # How much shorter the last frame is than the others.
            self.shortfall_bytes = headers.payload + count * segment_bytes - len(read)
        else:
            self.frame_bytes = len(read)
            self.shortfall_bytes = 0

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

    def shorten(self, most_bytes: int) -> bool:
        """Have no frame longer than `most_bytes`; False where that cannot be.

        Segments of TCP may be cut wherever one likes, before the first of them has left; with a
        checksum that is still to be finished, one that was cut already may be cut again.
        """
        if self.frame_bytes <= most_bytes:
            return True
        headers = self.headers or (locate(self._read) if self.flags & PARTIAL else None)
        if headers is None or headers.protocol != TCP or self.taken:
            return False
        payload_bytes = len(self._read) - headers.payload
        self.segment_bytes = most_bytes - headers.payload
        if self.segment_bytes <= 0 or not payload_bytes:
            return False
        self.headers = headers
        self.count = count = -(-payload_bytes // self.segment_bytes)
        self.frame_bytes = most_bytes
        self.shortfall_bytes = count * self.segment_bytes - payload_bytes if count > 1 else 0
        return True

    def own(self) -> None:
        """Copy the bytes: the buffer that the TAP read into is about to be used again."""
        self._read = bytearray(self._read)

    def mark_congestion(self) -> bool:
        """Say "congestion" in what is left, as the kernel's CoDel marks a GSO packet: in all.

        False when its sender cannot be told so.
        """
        self.own()
        return not isinstance(self._read, bytes) and mark_congestion_experienced(self._read)

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
    def left(self) -> int:
        """Frames still to be taken."""
        return self.count - self.taken
