"""A stretch: frames that came in a row and are alike, on their way out together.

They are judged, queued, sealed and counted as one. Datagrams of UDP whose checksum is partial are
sent as the super-frame that a sender with UDP_SEGMENT would have made of them: the other end joins
them without looking, and its kernel cuts them again. A checksum that is complete says something
about its frame, so such frames stay apart, and so do acknowledgements, which have no payload.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from .classify import Flow, classify
from .ecn import mark_congestion_experienced
from .headers import UDP, Buffer, locate, sum_words
from .reads import LEAST_ALIKE, Reads
from .train import Train
from .vnet import NEEDS_CHECKSUM, VNET
from .wire import CONTINUES


class Judgement(NamedTuple):
    """What holds for every frame of the same length that is equal in what `Reads` compares."""

    flags: int  # PARTIAL or 0
    express: bool
    flow: Flow | None
    checksum_at: int  # where the UDP checksum lies, if such frames make a super-frame; else 0
    id_sum: int | None  # what IPv4 id and header checksum are together, modulo 65 535


def judge(read: Buffer) -> Judgement | None:
    """Look at one TAP read; None when each must be looked at."""
    train = Train.parse(read)
    if train is None or train.count > 1:
        return None
    partial = bool(read[0] & NEEDS_CHECKSUM)
    if partial != bool(train.flags):
        return None
    express, flow = classify(read, VNET.size)
    checksum_at, id_sum = _super_frame(train.frame) if partial else (0, None)
    return Judgement(train.flags, express, flow, checksum_at, id_sum)


def _super_frame(frame: Buffer) -> tuple[int, int | None]:
    """Return checksum_at and id_sum of UDP with payload, all of whose lengths are right."""
    headers = locate(frame)
    if headers is None or headers.protocol != UDP or len(frame) == headers.payload:
        return 0, None
    network, transport = headers.network, headers.transport
    size = len(frame) - transport
    at = network + 4 if headers.ipv6 else network + 2
    length = size if headers.ipv6 else len(frame) - network
    if (
        int.from_bytes(frame[transport + 4 : transport + 6]) != size
        or int.from_bytes(frame[at : at + 2]) != length
    ):
        return 0, None
    if headers.ipv6:
        return transport + headers.checksum_offset, None
    constant = bytearray(frame[network:transport])
    constant[4:6] = constant[10:12] = bytes(2)
    return transport + headers.checksum_offset, -sum_words(constant) % 0xFFFF


class Stretch:
    """Frames of equal length, taken from the front as links take them; see train.Train."""

    __slots__ = ("_frames", "flags", "follow", "frame_bytes", "taken")

    def __init__(self, frames: Sequence[Buffer], flags: int, follow: int) -> None:
        self._frames = frames
        self.flags = flags  # of the first frame that is taken at a time: PARTIAL or 0
        self.follow = follow  # of those behind it
        self.frame_bytes = len(frames[0])
        self.taken = 0

    @classmethod
    def of(cls, reads: Reads, start: int, end: int, judged: Judgement) -> Self:
        """Make one of reads that are alike."""
        follow = judged.flags
        if (
            judged.checksum_at
            and end - start >= LEAST_ALIKE
            and reads.equal(judged.checksum_at, start, end)
            and (judged.id_sum is None or reads.numbered(start, end, judged.id_sum))
        ):
            follow = CONTINUES
        return cls(reads.frames(start, end), judged.flags, follow)

    @property
    def frames(self) -> Sequence[Buffer]:
        """The frames still to be taken."""
        return self._frames[self.taken :] if self.taken else self._frames

    @property
    def left(self) -> int:
        """Frames still to be taken."""
        return len(self._frames) - self.taken

    @property
    def size_bytes(self) -> int:
        """Bytes of the frames that are still to be taken."""
        return self.left * self.frame_bytes

    def take(self, count: int) -> Sequence[Buffer]:
        """Take the next frames: the first has `flags`, the others `follow`."""
        start = self.taken
        self.taken = start + count
        return self._frames[start : self.taken]

    def split(self, count: int) -> Self:
        """Keep the next `count` frames; return the others as a stretch of their own."""
        keep = self.taken + count
        rest = type(self)(self._frames[keep:], self.flags, self.follow)
        self._frames = self._frames[:keep]
        return rest

    def drop_one(self) -> None:
        """Leave the next frame out."""
        self.taken += 1

    def shorten(self, most_bytes: int) -> bool:
        """Tell whether no frame is longer; they are not cut."""
        return self.frame_bytes <= most_bytes

    def own(self) -> None:
        """Copy what is left: the slots are about to be used again."""
        size = self.frame_bytes
        whole = memoryview(bytearray().join(self._frames[self.taken :]))
        self._frames = [whole[at : at + size] for at in range(0, len(whole), size)]
        self.taken = 0

    def mark_congestion(self) -> bool:
        """Say "congestion" in the next frame; False when its sender cannot be told so."""
        frame = bytearray(self._frames[self.taken])
        if not mark_congestion_experienced(frame):
            return False
        self._frames = [*self._frames[: self.taken], frame, *self._frames[self.taken + 1 :]]
        self.follow = self.flags  # its headers differ from the others' now
        return True
