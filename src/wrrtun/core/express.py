"""Express frames on their way out: they leave at the end of the wake-up that read them.

Those of one wake-up that follow each other and are alike (link, length, flags) share a batch, so
that a flood of small frames, or the acknowledgements of a fast download, cost one system call
for many. With copies a frame goes over several links: sealed once, with the number of none.
"""

from collections.abc import Sequence
from typing import NamedTuple

from .express_log import ExpressLog
from .headers import Buffer
from .member import Member
from .output import Transmit
from .session import Session
from .slab import SlabPool
from .wire import ANY_LINK, CONTINUES, OVERHEAD_BYTES, Kind, batch_datagrams


class _Waiting(NamedTuple):
    """Frames that are alike, and go on the same links."""

    members: Sequence[Member]
    flags: int
    follow: int
    frames: list[Buffer]


class Express:
    """What was read and is to be sent at once; the buffers are borrowed until then."""

    def __init__(self, slabs: SlabPool) -> None:
        self.frames = 0  # sent since the start
        self.log = ExpressLog()
        self._waiting: list[_Waiting] = []
        self._count = 0
        self._slabs = slabs

    def __len__(self) -> int:
        return self._count

    def add(
        self,
        frames: Sequence[Buffer],
        flags: int,
        follow: int,
        members: Sequence[Member],
        now: float,
    ) -> None:
        """Take frames of equal length for these links.

        The links are charged: the next frames may better take others. `flags` are the first
        frame's wire flags, `follow` those of the others.
        """
        size, count = len(frames[0]), len(frames)
        for member in members:
            member.charge(count, count * (size + OVERHEAD_BYTES), now)
        self._count += count
        last = self._waiting[-1] if self._waiting else None
        if (
            last is not None
            and (last.flags, last.follow, len(last.frames[0])) == (flags, follow, size)
            and follow != CONTINUES
            and last.members == members
        ):
            last.frames.extend(frames)
        else:
            self._waiting.append(_Waiting(members, flags, follow, [*frames]))

    def pull(self, session: Session, now: float) -> list[Transmit]:
        """Seal all of it. The batches are valid until the slabs are settled."""
        transmits = []
        for members, flags, follow, frames in self._waiting:
            step = len(frames[0]) + OVERHEAD_BYTES
            link = members[0].number if len(members) == 1 else ANY_LINK
            most = batch_datagrams(step)
            for start in range(0, len(frames), most):
                part = frames[start : start + most]
                count = len(part)
                seq = session.take_seq(Kind.EXPRESS, count)
                session.sealed += count
                slab = self._slabs.take() if count > 1 else None
                batch = session.sealer.seal(Kind.EXPRESS, flags, follow, link, seq, part, slab)
                if slab is not None:
                    self._slabs.lend(slab)
                sent = [Transmit(one.number, one.path, batch, step) for one in members]
                transmits += sent
                if len(sent) == 1:
                    kept = bytes(batch) if slab is not None else batch
                    self.log.add(sent[0]._replace(data=kept), now)
        self.frames += self._count
        self._forget()
        return transmits

    def drop(self) -> int:
        """Let go of what no key is left for; return how many frames."""
        dropped = self._count
        self._forget()
        return dropped

    def _forget(self) -> None:
        self._waiting = []
        self._count = 0
