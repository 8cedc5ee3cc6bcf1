"""What the TAP delivered is judged: express, bulk, or not to be carried."""

from typing import Final

from .acks import acknowledges, superseded
from .bond import Bond
from .classify import BULK, DSCP_EF, Flow, Verdict, classify
from .counters import Counters
from .errors import Drop
from .express import Express
from .flows import BulkFlows
from .headers import TCP, Buffer
from .loading import Item
from .member import Member
from .queue import BulkQueue
from .reads import LEAST_ALIKE, MAX_READS, Reads
from .resent import Resent
from .stretch import Judgement, Stretch, judge
from .train import Train
from .vnet import VNET
from .wire import OVERHEAD_BYTES

# Small frames go to one link for about so long; then the next may better take another.
EXPRESS_SECONDS: Final = 0.001
MOST_JUDGED: Final = 1024


class Intake:
    """The way from the TAP to express or the bulk queue. Buffers are borrowed until `settle`."""

    def __init__(
        self,
        bond: Bond,
        counters: Counters,
        express: Express,
        queue: BulkQueue[Item],
        max_frame_bytes: int,
    ) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._bond = bond
        self._counters = counters
        self._express = express
        self._queue = queue
        self.resent = Resent()
        self.superseded = 0  # acknowledgements that were left out
        self._flows = BulkFlows()
        self._borrowed: list[Item] = []
        self._judged: dict[tuple[int, int], Judgement | None] = {}

    def submit(self, reads: Reads, sealing: bool, now: float) -> None:
        """Take what one wake-up read. `sealing`: there is a key to seal with."""
        if spare := superseded(reads):
            self.superseded += len(spare)
            reads.leave_out(spare)
        if len(reads) < LEAST_ALIKE:
            for index in range(len(reads)):
                self._submit_one(reads, index, sealing, now)
            return
        mixed = range(0)  # of other flows each, but as long, express, and with the same flags
        flags = 0
        for start, end, equal in reads.stretches():
            judged = self._judge(reads, start, equal) if equal is not None else None
            if judged is not None and end - start < LEAST_ALIKE and self._is_free(judged, now):
                if mixed and flags == judged.flags and reads.sizes[start] == reads.sizes[start - 1]:
                    mixed = range(mixed.start, end)
                    continue
                self._submit_mixed(reads, mixed, flags, sealing, now)
                mixed, flags = range(start, end), judged.flags
                continue
            if mixed:
                self._submit_mixed(reads, mixed, flags, sealing, now)
                mixed = range(0)
            # Fewer had better be single: those of other lengths and flows share a run with them.
            if (
                judged is not None
                and end - start >= LEAST_ALIKE
                and reads.sizes[start] <= self.max_frame_bytes + VNET.size
            ):
                self._submit_alike(Stretch.of(reads, start, end, judged), judged, sealing, now)
                continue
            for index in range(start, end):
                self._submit_one(reads, index, sealing, now)
        self._submit_mixed(reads, mixed, flags, sealing, now)

    def _submit_mixed(
        self, reads: Reads, indices: range, flags: int, sealing: bool, now: float
    ) -> None:
        """Take frames of equal length that are all express; one by one where that is not so."""
        if len(indices) >= LEAST_ALIKE and sealing and self._bond.carrying():
            stretch = Stretch(reads.frames(indices.start, indices.stop), flags, flags)
            if stretch.frame_bytes <= self.max_frame_bytes:
                self._send_now(stretch, now)
                indices = indices[stretch.taken :]
        for index in indices:
            self._submit_one(reads, index, sealing, now)

    def _judge(self, reads: Reads, index: int, equal: int) -> Judgement | None:
        key = reads.sizes[index], equal
        if key not in self._judged:
            if len(self._judged) >= MOST_JUDGED:
                self._judged.clear()
            self._judged[key] = judge(reads.read(index))
        return self._judged[key]

    def _submit_one(self, reads: Reads, index: int, sealing: bool, now: float) -> None:
        read, equal = reads.read(index), reads.equal_part(index)
        judged = None if equal is None else self._judge(reads, index, equal)
        if judged is None:
            train = Train.parse(read)
        else:
            train = Train(read[VNET.size :], 1, 0, judged.flags, None)
        if train is None:
            self._counters.drop(Drop.MALFORMED_FRAME)
            return
        if train.frame_bytes > self.max_frame_bytes and not train.shorten(self.max_frame_bytes):
            self._counters.drop(Drop.FRAME_TOO_BIG, train.count)
            return
        if not sealing or not self._bond.carrying():
            self._counters.drop(Drop.NO_LINK, train.count)
            return
        express, flow = judged[1:3] if judged is not None else _verdict(train, read)
        behind_bulk = flow is not None and self._flows.holds(flow, now)
        if express and not behind_bulk and train.count == 1:
            members = self._bond.for_express(self._bond.copies, now)
            size, yields = train.frame_bytes, acknowledges(train.frame)
            if all(member.admit_express(size, 1, now, yields=yields) for member in members):
                self._express.add((train.frame,), train.flags, train.flags, members, now)
                return
        self._note(flow, express and behind_bulk)
        keep = self.resent.again((train.frame,), now)
        if self._queue.push(train, now, keep=keep):
            self._borrowed.append(train)
        else:
            self._counters.drop(Drop.QUEUE_FULL, train.count)

    def _submit_alike(self, stretch: Stretch, judged: Judgement, sealing: bool, now: float) -> None:
        """Take frames that are alike, as `_submit_one` would each of them."""
        if not sealing or not self._bond.carrying():
            self._counters.drop(Drop.NO_LINK, stretch.left)
            return
        free = self._is_free(judged, now)
        if free and self._send_now(stretch, now):
            return
        self._note(judged.flow, judged.express and not free)
        keep = self.resent.again(stretch.frames, now)
        room = self._queue.room(stretch.frame_bytes, stretch.left, keep=keep)
        if room < stretch.left:
            self._counters.drop(Drop.QUEUE_FULL, stretch.split(room).left)
        if room:
            self._queue.push(stretch, now, keep=keep)
            self._borrowed.append(stretch)

    def _is_free(self, judged: Judgement, now: float) -> bool:
        """Tell whether such a frame is express, with no bulk of its flow before it."""
        flow = judged.flow
        return judged.express and (flow is None or not self._flows.holds(flow, now))

    def _send_now(self, stretch: Stretch, now: float) -> bool:
        """Send what is admitted as express; tell whether that was all."""
        size, yields = stretch.frame_bytes, acknowledges(stretch.frames[0])
        while stretch.left:
            members = self._bond.for_express(self._bond.copies, now)
            count = min([stretch.left, *(_run(member, size) for member in members)])
            for member in members:
                count = member.admit_express(size, count, now, yields=yields)
            if not count:
                return False
            self._express.add(stretch.take(count), stretch.flags, stretch.follow, members, now)
        return True

    def _note(self, flow: Flow | None, small_behind_bulk: bool) -> None:
        """Note a flow's bulk; a small frame that only follows some is no reason to go on so.

        Or a call never came free.
        """
        if flow is not None and not small_behind_bulk:
            self._flows.add(flow)

    def settle(self) -> None:
        """Copy what stays queued: the caller is about to use the read buffers again."""
        for item in self._borrowed:
            if item.left:
                item.own()
        self._borrowed.clear()


def _verdict(train: Train, read: Buffer) -> Verdict:
    """Judge one read; for nearly all super-frames, by what they are."""
    headers = train.headers
    if (
        headers is not None
        and train.count > 1
        and headers.protocol == TCP
        and not headers.ipv6
        and read[VNET.size + headers.network + 1] >> 2 != DSCP_EF
    ):
        return BULK
    return classify(read, VNET.size)


def _run(member: Member, frame_bytes: int) -> int:
    """Say for how many frames a link is chosen at a time; at least one."""
    rate = member.rate_bits_per_second
    if rate is None:
        return MAX_READS
    return max(1, int(rate / 8 * EXPRESS_SECONDS) // (frame_bytes + OVERHEAD_BYTES))
