"""Express frames on their way out: they leave at the end of the wake-up that read them.

Those of one wake-up that follow each other and are alike (link, length, flags) share a batch, so
that a flood of small frames, or the acknowledgements of a fast download, cost one system call
for many. With copies a frame goes over several links: sealed once, with the number of none.
"""

from collections.abc import Sequence
from itertools import groupby

from .express_log import ExpressLog
from .member import Member
from .output import Transmit
from .session import Session
from .slab import SlabPool
from .train import Train
from .wire import ANY_LINK, MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS, OVERHEAD_BYTES, Kind


class Express:
    """What was read and is to be sent at once; the buffers are borrowed until then."""

    def __init__(self, slabs: SlabPool) -> None:
        self.frames = 0  # sent since the start
        self.log = ExpressLog()
        self._waiting: list[tuple[Sequence[Member], int, int, Train]] = []  # links, bytes, flags
        self._slabs = slabs

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, train: Train, members: Sequence[Member], now: float) -> None:
        """Take a frame for these links, and charge them: the next may better take others."""
        for member in members:
            member.charge(1, train.frame_bytes + OVERHEAD_BYTES, now)
        self._waiting.append((members, train.frame_bytes, train.flags, train))

    def pull(self, session: Session, now: float) -> list[Transmit]:
        """Seal all of it. The batches are valid until the slabs are settled."""
        transmits = []
        for (members, size, flags), alike in groupby(self._waiting, _likeness):
            frames = [train.frame for _, _, _, train in alike]
            step = size + OVERHEAD_BYTES
            link = members[0].number if len(members) == 1 else ANY_LINK
            most = min(MAX_BATCH_BYTES // step, MAX_BATCH_DATAGRAMS)
            for start in range(0, len(frames), most):
                part = frames[start : start + most]
                count = len(part)
                seq = session.take_seq(Kind.EXPRESS, count)
                session.sealed += count
                slab = self._slabs.take() if count > 1 else None
                batch = session.sealer.seal(Kind.EXPRESS, flags, flags, link, seq, part, slab)
                if slab is not None:
                    self._slabs.lend(slab)
                sent = [Transmit(one.number, one.path, batch, step) for one in members]
                transmits += sent
                if len(sent) == 1:
                    kept = bytes(batch) if slab is not None else batch
                    self.log.add(sent[0]._replace(data=kept), now)
        self.frames += len(self._waiting)
        self._waiting.clear()
        return transmits

    def drop(self) -> int:
        """Let go of what no key is left for; return how many frames."""
        dropped = len(self._waiting)
        self._waiting.clear()
        return dropped


def _likeness(
    waiting: tuple[Sequence[Member], int, int, Train],
) -> tuple[Sequence[Member], int, int]:
    return waiting[:3]
