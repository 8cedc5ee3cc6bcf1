"""Send again what the other end misses: the bytes that were sealed then, on the fastest link.

Repairs go ahead of bulk, as the pacer of their link allows, and are charged to it. They are bounded
by an allowance in bytes: a share of the bulk that is sent, and a burst for what a dead link had
under way. So repairs never become a storm: a link that loses more gets what the allowance has, and
the rest is TCP's. What was sent again less than a round trip before it was asked for is not sent
again: who asked could not know.
"""

from collections import deque
from math import inf
from typing import Final, NamedTuple

from .bond import Bond
from .member import Member
from .output import Transmit
from .scheduler import Scheduler
from .sent import KeptRun, SentLog
from .wire import ANY_LINK, batch_datagrams

# Two lines that lose 15 % each, and repairs with them, are repaired whole.
SHARE: Final = 0.2
# A link is known to be dead after 0.3 s: what it was given until then.
BURST_SECONDS: Final = 0.4
LEAST_BURST_BYTES: Final = 64 << 10
MOST_BURST_BYTES: Final = 4 << 20
# A link that lost a datagram is not asked again if another is hardly slower.
COMPARABLE: Final = 0.5
COMPARABLE_SECONDS: Final = 0.005
ROUND_TRIP_SECONDS: Final = 0.1  # of a link that has not been measured
MOST_WANTED: Final = 4096  # stretches
# Of what was sent again, so many seqs are remembered before those older than this are forgotten.
MEMORY: Final = 8192
MEMORY_SECONDS: Final = 0.5


class Wanted(NamedTuple):
    """Seqs `first` to `end - 1` (unwrapped), since when they are wanted, and how."""

    first: int
    end: int
    since: float
    elsewhere: bool  # on another link than their own, if there is one


class Repairs:
    """What one end sends again."""

    def __init__(self, bond: Bond, log: SentLog, scheduler: Scheduler) -> None:
        self.nacks = 0  # messages
        self.sent_datagrams = 0
        self.refused_datagrams = 0  # the allowance was used up
        self._bond = bond
        self._log = log
        self._scheduler = scheduler
        self._wanted: deque[Wanted] = deque(maxlen=MOST_WANTED)
        self._due_at = -inf
        self._burst_bytes = self._allowance_bytes = float(LEAST_BURST_BYTES)
        self._again: dict[int, float] = {}  # when a seq was last sent again

    def __len__(self) -> int:
        return len(self._wanted)

    def earn(self, bulk_bytes: int) -> None:
        """Add to the allowance what a run of bulk is worth."""
        self._allowance_bytes = min(self._allowance_bytes + SHARE * bulk_bytes, self._burst_bytes)

    def set_rate(self, rate_bits_per_second: float) -> None:
        """Let the burst be what all links together carry; 0: not known."""
        wanted = rate_bits_per_second / 8 * BURST_SECONDS if rate_bits_per_second else inf
        self._burst_bytes = min(max(wanted, LEAST_BURST_BYTES), MOST_BURST_BYTES)

    def on_nack(self, ranges: tuple[tuple[int, int], ...], now: float) -> None:
        """Take what the other end misses: first seq (40 bits) and count."""
        self.nacks += 1
        for seq, count in ranges:
            first = self._log.unwrap(seq)
            self._wanted.append(Wanted(first, first + count, now, elsewhere=False))

    def resend_unreported(self, member: Member, now: float, most_datagrams: int = MEMORY) -> None:
        """Send again on the other links what no report says has come over this one: newest last.

        For a link that has just died, or become much slower than what it was given.
        """
        if member.reported_floor is None or self._bond.carrying() == [member]:
            return
        again = self._again
        for first, end in self._log.of_link(member.number, member.reported_floor):
            # Reports count no repairs: what was asked for already is left to the other end.
            seqs = [seq for seq in range(first, end) if seq not in again][:most_datagrams]
            most_datagrams -= len(seqs)
            self._wanted.extend(Wanted(seq, seq + 1, now, elsewhere=True) for seq in seqs)

    def clear(self) -> None:
        """Forget what was asked for: who asked has started anew."""
        self._wanted.clear()
        self._again.clear()

    def pull(self, now: float) -> list[Transmit]:
        """Return what may be sent again now; valid until the log's next run."""
        transmits: list[Transmit] = []
        while self._wanted:
            first, end, since, elsewhere = self._wanted[0]
            kept = next(self._log.parts(first, end), None)
            # Who has let go of a link refuses what was sealed for it.
            if kept is None or not self._known(kept[0].link):
                self._wanted.popleft()
                continue
            run, start, stop = kept
            trusted = self._bond.trusted
            fitting = [one for one in trusted if one.link.path_mtu.size_bytes >= run.datagram_bytes]
            if trusted and not fitting:
                self._go_on(stop, end)
                continue
            other = _other(fitting, run.link, now) if elsewhere else None
            member = other or _choose(fitting, run.link, now)
            if member is None or not member.pacer.ready(now):
                self._due_at = member.pacer.next_time(now) if member is not None else inf
                break
            start, stop = self._fresh(start, stop, member, since)
            size = run.datagram_bytes + member.header_bytes
            allowed = int(self._allowance_bytes // size)
            if start < stop and not allowed:
                self.refused_datagrams += stop - start
            elif start < stop:
                stop = min(stop, start + min(allowed, _room(member, size, now)))
                transmits.append(self._transmit(run, start, stop, member, now))
            self._go_on(stop, end)
        return transmits

    def next_time(self, now: float) -> float:
        """Say when the pacer allows what is wanted; infinity if nothing is, or no link carries."""
        return max(self._due_at, now) if self._wanted else inf

    def _known(self, link: int) -> bool:
        return link == ANY_LINK or self._bond.get(link) is not None

    def _go_on(self, first: int, end: int) -> None:
        """Leave this much of the first stretch."""
        if first < end:
            self._wanted[0] = self._wanted[0]._replace(first=first, end=end)
        else:
            self._wanted.popleft()

    def _fresh(self, first: int, end: int, member: Member, since: float) -> tuple[int, int]:
        """Leave out what who asked cannot have seen yet: return the first stretch without it."""
        limit = since - (member.link.srtt or ROUND_TRIP_SECONDS)
        again = self._again
        while first < end and again.get(first, -inf) > limit:
            first += 1
        for seq in range(first, end):
            if again.get(seq, -inf) > limit:
                return first, seq
        return first, end

    def _transmit(self, run: KeptRun, first: int, end: int, member: Member, now: float) -> Transmit:
        batch, count = run.part(first, end), end - first
        size = len(batch)
        self._allowance_bytes -= size + count * member.header_bytes
        self._scheduler.charge(member.number, size)
        member.charge(count, size, now)
        self.sent_datagrams += count
        if len(self._again) > MEMORY:
            limit = now - MEMORY_SECONDS
            self._again = {seq: at for seq, at in self._again.items() if at > limit}
        self._again.update(dict.fromkeys(range(first, end), now))
        return Transmit(member.number, member.path, batch, run.datagram_bytes)


def _choose(members: list[Member], lost_on: int, now: float) -> Member | None:
    """Name the fastest link, but not the one that lost it if another is about as fast."""
    fastest = min(members, key=lambda one: one.delay_seconds(now), default=None)
    if fastest is None or fastest.number != lost_on:
        return fastest
    other = _other(members, lost_on, now)
    if other is None:
        return fastest
    way = (fastest.link.srtt or 0.0) / 2  # the delays themselves know no zero, only differences
    later = other.delay_seconds(now) - fastest.delay_seconds(now)
    return other if later <= COMPARABLE * way + COMPARABLE_SECONDS else fastest


def _other(members: list[Member], link: int, now: float) -> Member | None:
    """Name the fastest of the other links."""
    others = [member for member in members if member.number != link]
    return min(others, key=lambda one: one.delay_seconds(now), default=None)


def _room(member: Member, size_bytes: int, now: float) -> int:
    """Say how many datagrams may go in one batch; at least one, as the pacer is ready."""
    return max(1, min(member.pacer.allowance(now) // size_bytes, batch_datagrams(size_bytes)))
