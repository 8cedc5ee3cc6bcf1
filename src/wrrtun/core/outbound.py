"""Sending: what the intake let in goes out as sealed batches.

intake -> express: fastest link, at once, ahead of bulk
       -> bulk queue (CoDel) -> links pull by weight as their pacers allow -> seal
"""

import math
from itertools import pairwise
from typing import Final

from .bond import UNHEARD_SECONDS, Bond
from .counters import Counters
from .errors import Drop
from .express import Express
from .headers import Buffer
from .intake import Intake
from .loading import Item, Load, Loader
from .member import Member
from .output import Transmit
from .queue import BulkQueue
from .repair import Repairs
from .scheduler import Scheduler
from .sent import KeptRun, SentLog
from .session import Session
from .slab import SLAB_SECONDS, SlabPool
from .wire import (
    ANY_LINK,
    BULK,
    CONTROL,
    MAX_BATCH_BYTES,
    MAX_RUN_BATCHES,
    MAX_RUN_DATAGRAMS,
    OVERHEAD_BYTES,
    SEQ_MASK,
)

# How much the tunnel queues: enough to ride out a loss of TCP's, little enough to be one clear
# signal. Without known rates nothing is paced and nothing waits here.
QUEUE_SECONDS: Final = 0.1
# CoDel's target (RFC 8289, 3.2, wants 5 to 10 % of a round trip). Inside a bond the round trip is
# the slowest link's one way and the fastest one's back, some 70 ms with a mobile line, and as much
# again in order while a lost datagram is repaired. A cubic flow that gives back 30 % at a signal
# keeps the links busy only from a queue of 3/7 of that. With 50 ms, one that loses 3 % of the
# mobile line's datagrams leaves 2 % of both lines unused; with 80 ms too little of the bound is
# left for what comes at once after a line's pause. Clean lines are full with any of these.
QUEUE_TARGET_SECONDS: Final = 0.07
# Its interval is the longest round trip that a flow should have here: that one, and what a repair
# holds back. Over lines that lose 1 % a cubic stream gets 88 % with 0.1 s, 90 % with 0.15 and 91 %
# with 0.2; but then what a flapping line leaves behind takes its toll on the other.
QUEUE_INTERVAL_SECONDS: Final = 0.16
# At least, and while rates are searched: then a page's first windows want room.
QUEUE_FLOOR_BYTES: Final = 32 << 10
SEARCH_FLOOR_BYTES: Final = 64 << 10
# What one wake-up may read from the TAP before links that are not paced take it all.
UNPACED_QUEUE_BYTES: Final = 4 << 20
# How long a run of frames may stay on one link: a few frames at 10 Mbit/s, a whole super-frame
# from 120 Mbit/s on, up to four from 480. Shorter runs cost system calls, longer ones make the
# other links wait. Where the pacer allows less, it decides.
RUN_SECONDS: Final = 0.004
# On a fast link that time is worth several batches: one link's turn. With a turn for each batch
# every second one would come before its time, and wait for one on another link. Bounded, so that
# what must wait stays in the receiver's cache.
MAX_TURN_BYTES: Final = 8 * MAX_BATCH_BYTES
MAX_RUN_BYTES: Final = MAX_RUN_BATCHES * MAX_BATCH_BYTES
# What is carried by links that nothing paces, from here on, may be all that the CPU can do, and the
# more links, the less is each one's: a turn is a full run at least.
BUSY_BITS_PER_SECOND: Final = 1e8
# Two frames leave a pacer together anyway, and one system call is half of two.
RUN_DATAGRAMS: Final = 2
# How many frames go over two links after a rest in which one may have died: a question, or the
# first flight of an answer.
DOUBTED_FRAMES: Final = 12
# What has waited so long has no room on the usual links: metered ones help out. Well above what a
# page or a call leaves in the queue, well below CoDel's target.
SPARE_QUEUE_SECONDS: Final = 0.02
# On fast links, how long the bytes that were sent are kept: one round trip for a loss to be noticed
# and its nack to come, one for the nack to be repeated.
REPAIR_ROUND_TRIPS: Final = 2
# What is queued while no link carries is of no use to anyone after this long.
STALE_SECONDS: Final = 1.0


class Outbound:
    """What one end sends. Everything it returns is to be sent at once, in order."""

    def __init__(
        self, bond: Bond, counters: Counters, next_bulk_seq: int, max_frame_bytes: int
    ) -> None:
        self.next_bulk_seq = next_bulk_seq
        self.bulk_frames = 0
        self.bulk_sent_at = float("-inf")
        self.weights: dict[int, float] = {}  # as they are now: rates, once any is known
        self.queue: BulkQueue[Item] = BulkQueue(UNPACED_QUEUE_BYTES)
        self._bond = bond
        self._counters = counters
        self._scheduler = Scheduler()
        self._turn: Member | None = None  # whose turn it is, and for how many bytes more
        self._turn_bytes = 0.0
        self._doubted_frames = 0  # of all that were ever sent, the first that go over two links
        self._slabs = SlabPool()
        self._loader = Loader(self.queue, self._slabs)
        self.express = Express(self._slabs)
        self.intake = Intake(bond, counters, self.express, self.queue, max_frame_bytes)
        self.log = SentLog(next_bulk_seq, self._slabs)
        self.repairs = Repairs(bond, self.log, self._scheduler)

    def set_weight(self, member: Member, weight: float) -> None:
        """Give a link its share of the bytes."""
        self.weights[member.number] = weight
        self._scheduler.set_weight(member.number, weight)

    def limit_frames(self, max_frame_bytes: int) -> None:
        """Carry no frame longer than this from now on; what waits is cut anew, or dropped."""
        self.intake.max_frame_bytes = max_frame_bytes
        for train in self.queue.refit(lambda train: train.shorten(max_frame_bytes)):
            self._counters.drop(Drop.FRAME_TOO_BIG, train.left)

    def remove(self, number: int) -> None:
        """Forget a link."""
        self._scheduler.remove(number)
        del self.weights[number]

    def forget(self) -> None:
        """Keep nothing of what was sent: the other end has started anew."""
        self.log.clear()
        self.repairs.clear()
        self.express.log.clear()

    def send_message(
        self, content: Buffer, member: Member, session: Session, now: float
    ) -> Transmit:
        """Seal one control message for one link."""
        seq = session.take_seq(CONTROL)
        session.sealed += 1
        datagram = session.sealer.seal(CONTROL, 0, 0, member.number, seq, (content,))
        member.charge(1, len(datagram), now)
        return Transmit(member.number, member.path, datagram, len(datagram))

    def pull(self, session: Session, now: float) -> list[Transmit]:
        """Send express, and let the links take what their pacers allow from the bulk queue.

        The batches are valid until the next call.
        """
        self._slabs.settle()
        transmits = self.express.pull(session, now) if self.express else []
        carrying = self._bond.carrying()
        while self.queue.size_bytes:
            members = self._choose(carrying, now)
            if not members:
                break
            if self.queue.drop_decision(now) and not self.queue.head.mark_congestion():
                self._counters.drop(Drop.QUEUE_DELAY)
                before = self.queue.head.size_bytes
                self.queue.head.drop_one()
                self.queue.consumed(before - self.queue.head.size_bytes)
                continue
            load = self._loader.take(self._most(members, now))
            transmits += self._seal(load, members, session, now)
        return transmits

    def begin(self, now: float) -> None:
        """Hear that bulk may begin to flow after a pause."""
        unheard_at = now - UNHEARD_SECONDS
        if self.bulk_sent_at < unheard_at and any(
            member.link.heard_at < unheard_at for member in self._bond.carrying()
        ):
            self._doubted_frames = self.bulk_frames + DOUBTED_FRAMES
            self._turn_bytes = 0.0

    def drop_stale(self, now: float) -> None:
        """Let go of what waits for links that are all gone."""
        if self._bond.carrying():
            return
        while self.queue.sojourn_seconds(now) > STALE_SECONDS:
            self._counters.drop(Drop.NO_LINK, self.queue.pop().left)

    def settle(self) -> None:
        """Copy what stays queued: the caller is about to use the read buffers again."""
        if self.express:  # the key has grown too old since they were read
            self._counters.drop(Drop.NO_LINK, self.express.drop())
        self.intake.settle()

    def resize(self, now: float) -> None:
        """Bound the queue and the log by time, with rates and round trips as they are now."""
        round_trips = [member.link.srtt or 1.0 for member in self._bond.carrying()]
        self.log.keep_seconds = REPAIR_ROUND_TRIPS * max(round_trips, default=1.0)
        rate = self._bond.rate_bits_per_second(self._bond.copies)
        size = int(rate / 8 * QUEUE_SECONDS) if rate else UNPACED_QUEUE_BYTES
        paced = self._bond.paced()
        floor = QUEUE_FLOOR_BYTES if paced else SEARCH_FLOOR_BYTES
        self.queue.limit_bytes = min(max(size, floor), UNPACED_QUEUE_BYTES)
        self.intake.resent.look(self.queue.sojourn_seconds(now), now)
        self.repairs.set_rate(rate)
        self.queue.set_target(QUEUE_TARGET_SECONDS if paced else None, QUEUE_INTERVAL_SECONDS)
        if now - self.bulk_sent_at > SLAB_SECONDS:
            self._slabs.shrink()

    def next_time(self, now: float) -> float:
        """Say when a link's pacer will be ready for what is queued; infinity without a link."""
        times = sorted(member.next_time(now) for member in self._bond.carrying())
        return times[min(self._bond.copies, len(times)) - 1] if times else math.inf

    def _choose(self, carrying: list[Member], now: float) -> list[Member]:
        """Name the link that the next run goes on, or the links; none: not now."""
        if len(carrying) == len(self.weights) == 1:  # the scheduler's answer, at no cost
            self._turn = None
            return carrying if carrying[0].ready(now) else []
        if self._bond.copies > 1:
            count = min(self._bond.copies, len(carrying))
            members = [member for member in carrying if member.ready(now)]
            if len(members) > count:
                members.sort(key=lambda member: member.delay_seconds(now))
            return members[:count] if len(members) >= count else []
        turn = self._turn
        if self._turn_bytes >= MAX_BATCH_BYTES and turn in carrying and turn.ready(now):
            return [turn]
        ready = {member.number: member for member in carrying if member.ready(now)}
        if self.bulk_frames < self._doubted_frames:
            return sorted(ready.values(), key=lambda member: member.delay_seconds(now))[:2]
        number = self._scheduler.choose(ready)
        if number is None and self._bond.spare:
            ready = self._sparing(now)
            number = self._scheduler.choose(ready)
        if number is None:
            return []
        turn = self._turn = ready[number]
        self._turn_bytes = min(_stay_bytes(turn, now), MAX_TURN_BYTES)
        return [turn]

    def _sparing(self, now: float) -> dict[int, Member]:
        """Return the metered links that may help out, as the queue has waited long enough."""
        if self.queue.sojourn_seconds(now) < SPARE_QUEUE_SECONDS:
            return {}
        return {member.number: member for member in self._bond.spare if member.may_spare(now)}

    def _most(self, members: list[Member], now: float) -> int:
        """Say how many of the frames whose turn it is these links take in one run."""
        size = self.queue.head.frame_bytes + OVERHEAD_BYTES
        most = min([self._run_datagrams(member, size, now) for member in members])
        if members[0] is self._turn:
            most = min(most, max(1, int(max(self._turn_bytes, MAX_BATCH_BYTES)) // size))
        return most

    def _run_datagrams(self, member: Member, size_bytes: int, now: float) -> int:
        """Say how many datagrams of this size may go to this link in one run; at least one."""
        wanted_bytes = max(_stay_bytes(member, now), RUN_DATAGRAMS * size_bytes)
        allowed = member.pacer.allowance(now) // (size_bytes + member.header_bytes)
        most = min(int(wanted_bytes), MAX_RUN_BYTES) // size_bytes
        return max(1, min(most, allowed, MAX_RUN_DATAGRAMS))

    def _seal(
        self,
        load: Load,
        members: list[Member],
        session: Session,
        now: float,
    ) -> list[Transmit]:
        """Seal a run, once; on several links it goes under the number that stands for any."""
        link = members[0].number if len(members) == 1 else ANY_LINK
        frames, flags, follow, starts, slab, ends = load
        count, seq = len(frames), self.next_bulk_seq
        self.next_bulk_seq = seq + count & SEQ_MASK  # consumed, whatever becomes of the send
        session.sealed += count
        sealed = session.sealer.seal(BULK, flags, follow, link, seq, frames, slab, starts)
        step = len(frames[0]) + OVERHEAD_BYTES
        self.log.add(KeptRun(self.log.end, count, link, now, step, sealed, slab))
        size = len(sealed)
        self.repairs.earn(size)
        self._turn_bytes -= size
        for member in members:
            member.send_bulk(seq, count, size, self.next_bulk_seq, not self.queue.size_bytes, now)
            self._scheduler.charge(member.number, size)
        self.bulk_sent_at = now
        self.bulk_frames += count
        batches = [sealed]
        if len(ends) > 1:
            batches = [sealed[first * step : end * step] for first, end in pairwise((0, *ends))]
        return [
            Transmit(member.number, member.path, batch, step)
            for member in members
            for batch in batches
        ]


def _stay_bytes(member: Member, now: float) -> float:
    """Say how much is given to a link before it is another one's turn."""
    known = member.rate_bits_per_second
    # Where a rate is not known, it is what the link has been used with of late.
    rate = known or member.meter.bits_per_second(now)
    stay_bytes = rate / 8 * RUN_SECONDS
    return stay_bytes if known or rate < BUSY_BITS_PER_SECOND else max(stay_bytes, MAX_RUN_BYTES)
