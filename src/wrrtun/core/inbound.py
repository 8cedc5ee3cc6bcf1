"""Receiving: look at the window, open, put in order, join. Runs in, vectors for the TAP out."""

from typing import Final

from .batch import Run, single, split_strictly
from .bond import Bond
from .counters import Counters
from .errors import Drop, PeerError
from .headers import Buffer
from .join import Opened, gather, vectors_of
from .member import Member
from .reorder import MAX_WAIT_SECONDS, ReorderBuffer
from .session import Session
from .slab import SLAB_SECONDS, SlabPool
from .unordered import UnorderedBuffer
from .wire import BULK, CONTROL, EXPRESS, SEQ_MASK

# On top of what was measured: a process that had to wait for a CPU finds what is missing already in
# another link's socket. It costs only when a datagram is lost and inference cannot tell.
HOLD_MARGIN_SECONDS: Final = 0.030
JITTERS: Final = 4
# Longest wait that ended well is remembered for two of these.
HOLD_MEMORY_SECONDS: Final = 2.0
# Bulk counts as flowing this long after the last of it: links are then probed often.
FLOWING_SECONDS: Final = 0.5
MOST_ELSEWHERE: Final = 4096  # datagrams: 5 MB


class Inbound:
    """What one end receives."""

    def __init__(self, bond: Bond, counters: Counters, *, in_order: bool = True) -> None:
        make = ReorderBuffer if in_order else UnorderedBuffer
        self.reorder = make(0, MAX_WAIT_SECONDS)
        self.bulk_received_at = float("-inf")
        self._flowing_since = float("-inf")
        self.delivered_frames = 0
        self.delivered_bytes = 0
        self.spare_copies = 0  # that came after the first
        self._bond = bond
        self._counters = counters
        self._released: list[Opened] = []
        self._express: list[Opened] = []
        self._elsewhere: dict[int, None] = {}  # seqs that came over another link than their own
        self._slabs = SlabPool()
        self._waits = [0.0, 0.0]
        self._waits_since = 0.0

    def frames(
        self,
        session: Session,
        member: Member,
        run: Run,
        in_order: bool,
        now: float,
        waited: float = 0.0,
    ) -> int:
        """Take a run of bulk or express; return how many datagrams were authentic.

        `in_order`: it came over the link that its header names, so it moves that link's floor.
        `waited`: for how many seconds it lay in the socket.
        """
        if in_order and self._elsewhere and run.kind == BULK:
            window = session.window(run.kind)
            if not window.check(run.seq, run.count):
                return self.copies(session, member, run, now, waited, self._elsewhere)
        opened = self._open(session, run)
        count = opened[0].count if len(opened) == 1 else sum([one.count for one in opened])
        session.opened += count
        if run.kind == EXPRESS:
            self._express += opened
            return count
        if not count:
            return 0
        if not in_order:
            self._note_elsewhere(opened)
        if in_order and self.reorder.waiting and self.reorder.is_answer(run.seq, now):
            in_order = False
        self._take_over(member, opened, in_order, now)
        if in_order:
            last = opened[-1]
            newest = last.seq + last.count - 1 & SEQ_MASK
            self._note_arrival(member, run, newest, count, now - waited)
        if self.reorder.waiting:
            self._infer(now)
        return count

    def copies(
        self,
        session: Session,
        member: Member,
        run: Run,
        now: float,
        waited: float = 0.0,
        first: dict[int, None] | None = None,
    ) -> int:
        """Take what goes over several links, as `frames`.

        What came over another link first is opened too, and dropped: it proves that this link
        delivers, and raises its floor as the first one would have. `first`: the seqs, each good
        for one more, of which that is known; None: it may be so with any.
        """
        window = session.window(run.kind)
        if first is None and window.check(run.seq, run.count):
            return self.frames(session, member, run, True, now, waited)
        opened: list[Opened] = []
        count, newest = 0, run.seq
        for index in range(run.count):
            seq = run.seq + index & SEQ_MASK
            reason = window.refusal(seq)
            known = first is None or seq in first
            if reason is Drop.TOO_OLD or (reason is not None and not known):
                self._counters.drop(reason)
                continue
            ones, bad = session.opener.open(single(run, index))
            if bad:
                self._counters.drop(Drop.BAD_TAG)
                continue
            if first is not None:
                first.pop(seq, None)
            count, newest = count + 1, seq
            if reason is None:
                window.commit(seq, 1)
                opened += ones
        if not count:
            return 0
        session.opened += count
        self.spare_copies += count - len(opened)
        if run.kind == EXPRESS:
            self._express += opened
            return count
        self._take_over(member, opened, True, now)
        self._note_arrival(member, run, newest, count, now - waited)
        if self.reorder.waiting:
            self._infer(now)
        return count

    def _take_over(self, member: Member, opened: list[Opened], original: bool, now: float) -> None:
        """Put opened bulk in order; `original`: it is no repair."""
        if now - self.bulk_received_at > FLOWING_SECONDS:
            self._flowing_since = now
        self.bulk_received_at = now
        member.bulk_received_at = now
        insert = self.reorder.insert
        for one in opened:
            released = insert(one, now, original=original)
            self._released += released
            if one.slab is not None and one not in released:
                self._hold(one)

    def _note_elsewhere(self, opened: list[Opened]) -> None:
        """Note what came over another link than its own, which may yet bring it too."""
        elsewhere = self._elsewhere
        for one in opened:
            elsewhere.update(dict.fromkeys(one.seq + step & SEQ_MASK for step in range(one.count)))
        while len(elsewhere) > MOST_ELSEWHERE:
            del elsewhere[next(iter(elsewhere))]

    def _note_arrival(
        self, member: Member, run: Run, newest: int, count: int, arrived: float
    ) -> None:
        """Note bulk that came over the link itself: its floor, and what the next report says."""
        self.reorder.raise_floor(member.number, newest)
        size = len(run.datagrams) + count * member.header_bytes
        member.arrivals.add(newest, count, member.link.incoming.bytes + size, arrived)

    def message(self, session: Session, run: Run) -> bytes | None:
        """Open a control message; None when it is not authentic."""
        reason = session.window(CONTROL).refusal(run.seq)
        if reason is not None:
            self._counters.drop(reason)
            return None
        try:
            message = session.opener.open_message(run)
        except PeerError as error:
            self._counters.drop(error.reason)
            return None
        session.window(CONTROL).commit(run.seq, 1)
        session.opened += 1
        return message

    def mark(self, member: Member, next_bulk_seq: int, now: float) -> None:
        """Take a marker: everything below `next_bulk_seq` on this link has arrived or is lost."""
        self.reorder.raise_floor(member.number, next_bulk_seq)
        self.reorder.expect(next_bulk_seq, now)
        self._infer(now)

    def tick(self, now: float) -> None:
        """Give up what has waited long enough."""
        self._infer(now)
        self._released += self.reorder.expire(now)

    def restart(self, next_seq: int) -> None:
        """Begin anew with a peer that has restarted."""
        self._released += self.reorder.restart(next_seq)

    def take(self) -> list[list[Buffer]]:
        """Return what is to be written to the TAP, each with its virtio-net header.

        It is valid until the next call.
        """
        self._slabs.settle()
        if not self._released and not self._express:
            return []
        released, self._released = self._released, []
        express, self._express = self._express, []
        for opened in (*express, *released):
            self.delivered_frames += opened.count
            self.delivered_bytes += opened.size_bytes
            if opened.slab is not None:
                self._slabs.lend(opened.slab)
        vectors = [vector for opened in express for vector in vectors_of(opened)]
        return vectors + gather(released)

    def update_hold(self, now: float) -> None:
        """Set the hold to the slowest link's skew and jitter, from what was measured."""
        self._waits[0] = max(self._waits[0], self.reorder.longest_wait_seconds)
        self.reorder.longest_wait_seconds = 0.0
        if now - self._waits_since >= HOLD_MEMORY_SECONDS:
            self.reorder.decay_tolerance(now - self._waits_since if self._waits_since else 0.0)
            self._waits = [0.0, self._waits[0]]
            self._waits_since = now
            if now - self.bulk_received_at > SLAB_SECONDS:
                self._slabs.shrink()
        silent = [member.link.heard_at for member in self._bond if member.suspect]
        self.reorder.fallen_at = max(silent, default=self.reorder.fallen_at)
        trips = [member.link.srtt for member in self._bond.carrying()]
        self.reorder.round_trip_seconds = min((trip for trip in trips if trip), default=None)
        live = [one.link for one in self._bond if one.brings_bulk(now, self._flowing_since)]
        delays = [(link.owd_in, link.jitter_in) for link in live if link.owd_in is not None]
        if len(delays) < len(live) or not delays:
            self.reorder.hold_seconds = MAX_WAIT_SECONDS
            return
        fastest = min(owd for owd, _ in delays)
        skew = max(owd - fastest + JITTERS * jitter for owd, jitter in delays)
        wanted = max(skew, 1.25 * max(self._waits)) + HOLD_MARGIN_SECONDS
        self.reorder.hold_seconds = min(wanted, MAX_WAIT_SECONDS)

    def _hold(self, opened: Opened) -> None:
        """Move what must wait, and is small, out of its slab: thousands may wait."""
        slab = opened.slab
        if slab is not None and opened.size_bytes < slab.size_bytes // 2:
            opened.own()
            self._slabs.lend(slab)

    def _infer(self, now: float) -> None:
        live = [one.number for one in self._bond if one.brings_bulk(now, self._flowing_since)]
        self._released += self.reorder.infer(live, now)

    def _open_strictly(self, session: Session, run: Run) -> list[Opened]:
        """Save what can be saved of datagrams that turned out to be no run."""
        opened = []
        for part in split_strictly(run.datagrams, run.datagram_bytes):
            if (part.kind, part.session, part.link) == (run.kind, run.session, run.link):
                opened += self._open(session, part)
            else:
                self._counters.drop(Drop.BAD_TAG, part.count)
        return opened

    def _open(self, session: Session, run: Run) -> list[Opened]:
        """Look at the window, open, commit; count what is refused."""
        window = session.window(run.kind)
        if window.check(run.seq, run.count):
            slab = self._slabs.take(run.batches) if run.joined or run.starts else None
            opened, bad = session.opener.open(run, slab)
            if bad and run.assumed:
                return self._open_strictly(session, run)
            if bad:
                self._counters.drop(Drop.BAD_TAG, bad)
                for one in opened:
                    window.commit(one.seq, one.count)
            else:
                window.commit(run.seq, run.count)
            return opened
        opened = []
        for index in range(run.count):
            seq = run.seq + index & SEQ_MASK
            reason = window.refusal(seq)
            if reason is not None:
                self._counters.drop(reason)
                continue
            ones, bad = session.opener.open(single(run, index))
            if bad:
                self._counters.drop(Drop.BAD_TAG, bad)
            else:
                window.commit(seq, 1)
                opened += ones
        return opened
