"""One link of a tunnel as this end uses it: pacer, path, rate, what it carries."""

from dataclasses import dataclass
from math import inf
from typing import Final

from .arrivals import Arrivals
from .flight import Flight
from .link import Link
from .link_state import LinkState
from .meter import RateMeter
from .offers import LinkRole
from .pacer import Pacer
from .paths import NO_TOKEN, Path, PathCheck
from .rate import IDLE_SECONDS, RateFinder
from .wire import OVERHEAD_BYTES

# Express overtakes bulk, so it may not take a link over.
EXPRESS_SHARE: Final = 0.2
EXPRESS_BURST_SECONDS: Final = 0.1
EXPRESS_BURST_BYTES: Final = 4_000
# What the loss of an express frame costs, on the average: a SYN or a question comes again after a
# second or more, and a call has a hole. A line that loses 5 % is as good as one 50 ms slower.
LOSS_COST_SECONDS: Final = 1.0

# A link that the other end uses gets bulk or a marker all the time while bulk flows. Without either
# for this long, nothing is under way on it that could fill a gap.
UNUSED_SECONDS: Final = 2.0

# A link that has been without bulk this long, while others carried some, gets a marker.
MARKER_SECONDS: Final = 0.02
MARKER_DATAGRAMS: Final = 3

# A metered link that has carried bulk is looked after like any other for this long; afterwards it
# costs next to nothing, and nobody waits for what it might bring.
SPARE_SECONDS: Final = 1.0
# Within each stretch of this length a metered link carries during its part only: short beside the
# queue, so that TCP sees a slower line and not one that comes and goes.
PART_SECONDS: Final = 0.1


@dataclass
class Markers:
    """What a link's last bulk, marker or probe told the other end, and when."""

    seq: int = 0  # the next bulk seq at that time
    sent_at: float = -inf

    def told(self, next_seq: int, now: float) -> None:
        """Note that bulk, a marker or a probe leaves now; the next bulk has `next_seq`."""
        self.seq, self.sent_at = next_seq, now


class Member:
    """One link in the bond."""

    def __init__(
        self,
        peer: str,
        number: int,
        weight: float,
        rate_bits_per_second: float | None,
        check: PathCheck,
        header_bytes: int,
        now: float,
    ) -> None:
        self.number = number
        self.weight = weight
        self.link = Link(number, now, peer)
        self.finder = RateFinder(_bytes_per_second(rate_bits_per_second), now)
        self.flight = Flight()
        self.pacer = Pacer(None, fraction=1.0)
        self.meter = RateMeter()  # of bulk, while no rate is known
        self._limit_bytes = inf
        self.check = check
        self.header_bytes = header_bytes  # UDP and IP
        self.sent_bulk_bytes = 0  # UDP payload
        self.arrivals = Arrivals()
        self.rate_in_bits_per_second: float | None = None  # what the other end has found
        self.role = LinkRole.USUAL
        self.part = 1.0  # of its time, in which a metered link may carry
        self.standby = False  # it carries nothing, or only what others have no room for
        self.bulk_received_at = -inf
        self.reported_floor: int | None = None  # what the other end says has arrived or is lost
        self.suspect = False  # it has fallen silent: small frames avoid it
        self.unfit = ""  # why it carries nothing while others do
        self.marked_at = -inf  # when the other end last sent a marker instead of bulk
        self.markers = Markers()
        self.echo = NO_TOKEN  # the other end's challenge, to go out with the next probe
        self._express_credit_bytes = 0.0
        self._express_at = now
        self._bulk_at = -inf
        self.follow(now)

    def may_spare(self, now: float) -> bool:
        """Tell whether a metered link may carry what the others have no room for."""
        return self.ready(now) and now % PART_SECONDS < self.part * PART_SECONDS

    def resting(self, now: float) -> bool:
        """Tell whether the link stands by and has carried nothing for a while."""
        return self.standby and now - self._bulk_at >= SPARE_SECONDS

    def marker_due(self, next_seq: int, mtu_bytes: int, now: float) -> bool:
        """Tell whether the other end should hear that this link brings nothing below `next_seq`."""
        rate = self.rate_bits_per_second
        pause = MARKER_SECONDS
        if rate:
            pause = max(pause, MARKER_DATAGRAMS * mtu_bytes * 8 / rate)
        return self.markers.seq != next_seq and now - self.markers.sent_at >= pause

    def brings_bulk(self, now: float, flowing_since: float) -> bool:
        """Tell whether the other end may have bulk under way on this link.

        `flowing_since`: when the flow of bulk began that is coming in.
        """
        if self.role is not LinkRole.USUAL and now - self.bulk_received_at >= SPARE_SECONDS:
            return False
        used_at = max(self.bulk_received_at, self.marked_at, flowing_since)
        return now - used_at < UNUSED_SECONDS and self.link.hears(now, flowing_since)

    @property
    def path(self) -> Path | None:
        """Where datagrams go; None until the server has learned and checked it."""
        return self.check.path

    @property
    def rate_bits_per_second(self) -> float | None:
        """What the link can carry at the IP layer; None until it is found."""
        return self.finder.rate * 8 if self.finder.found else None

    def set_cap(self, rate_bits_per_second: float | None, now: float) -> None:
        """Change what the operator says that the link can carry; None: nothing."""
        self.finder.set_cap(_bytes_per_second(rate_bits_per_second))
        self.follow(now)

    def follow(self, now: float) -> None:
        """Let the pacer do what the rate finder has come to."""
        finder = self.finder
        self.pacer.set_rate(finder.pace * 8 or None, now)
        self._limit_bytes = finder.limit_bytes

    def ready(self, now: float) -> bool:
        """Tell whether bulk may be sent now."""
        return self.flight.bytes <= self._limit_bytes and self.pacer.ready(now)

    def next_time(self, now: float) -> float:
        """Say when bulk may be sent; infinity when only a report can tell."""
        return self.pacer.next_time(now) if self.flight.bytes <= self._limit_bytes else inf

    def send_bulk(
        self, seq: int, count: int, payload_bytes: int, next_seq: int, limited: bool, now: float
    ) -> None:
        """Note and charge a run of bulk that leaves now.

        `next_seq`: of the next bulk on any link. `limited`: nothing is left to be sent after it.
        """
        if now - self._bulk_at > IDLE_SECONDS:
            self.finder.wake(self.link.srtt, now)
            self.follow(now)
        self._bulk_at = now
        self.flight.add(
            seq,
            count,
            payload_bytes // count + self.header_bytes,
            self.link.outgoing.bytes,
            limited,
            self.finder.pulse,
            now,
        )
        size = payload_bytes + count * self.header_bytes
        self.pacer.charge(size, now)
        self.link.on_sent(count, size, now, bulk=True)
        self.meter.add(payload_bytes, now)
        self.sent_bulk_bytes += payload_bytes
        self.markers.told(next_seq, now)

    def charge(self, datagrams: int, payload_bytes: int, now: float) -> None:
        """Count what goes out and is no bulk, in UDP payload bytes, and let the pacer know."""
        size = payload_bytes + datagrams * self.header_bytes
        self.pacer.charge(size, now)
        self.link.on_sent(datagrams, size, now)

    def delay_seconds(self, now: float) -> float:
        """Estimate how long a datagram sent now takes to arrive.

        Off by the difference of the two ends' clocks, the same for all links. It is the least of
        the last few measurements: one that this end or the other came late to says nothing of the
        line, and neither does what happens on the way back.
        """
        delay = self.link.outgoing.delay.recent
        return inf if delay is None else delay + self.pacer.queue_delay(now)

    def express_cost_seconds(self, now: float) -> float:
        """Say what an express frame goes by: the delay, and what its loss would cost."""
        delay = self.delay_seconds(now)
        if self.link.state is LinkState.LOSSY:
            delay += self.link.loss_out * LOSS_COST_SECONDS
        return delay

    def admit_express(
        self, frame_bytes: int, count: int, now: float, *, yields: bool = False
    ) -> int:
        """Take frames of one size from this link's allowance for express; return how many.

        Those that yield leave half of a burst to others.
        """
        rate = self.rate_bits_per_second
        if rate is None:
            return count
        share = rate / 8 * EXPRESS_SHARE
        burst = max(share * EXPRESS_BURST_SECONDS, EXPRESS_BURST_BYTES)
        credit = self._express_credit_bytes + (now - self._express_at) * share
        self._express_at = now
        size = frame_bytes + OVERHEAD_BYTES + self.header_bytes
        credit = min(credit, burst)
        spare = credit - burst / 2 if yields else credit
        count = min(count, max(0, int(spare // size)))
        self._express_credit_bytes = credit - count * size
        return count


def _bytes_per_second(rate_bits_per_second: float | None) -> float | None:
    return rate_bits_per_second / 8 if rate_bits_per_second else None
