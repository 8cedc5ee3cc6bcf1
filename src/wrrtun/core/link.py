"""One link as this end sees it: what was measured, and whether it may carry frames.

What arrives is known from answers to probes and, without asking, from the other end's reports.
"""

from typing import Final

from .delays import STEADY_LOSS_HALF_LIFE_SECONDS, Loss, OneWayDelay, RoundTrip
from .delivery import Delivery, Travel
from .events import LinkChanged
from .link_state import CARRYING, HEARING, MOVES, LinkState, Signal
from .path_mtu import PathMtu
from .probing import (
    ANSWERS_TO_RETURN,
    FLOWING_INTERVAL_SECONDS,
    MOST_PROBES_PER_SECOND,
    Prober,
    Trust,
)

# How long nothing may be heard of a link. While bulk flows at least two retransmission timeouts'
# worth of round trips, so that a queue on a slow line does not pass for its death.
FLOWING_SILENCE_SECONDS: Final = 0.3
IDLE_SILENCE_SECONDS: Final = 3.0

# What a report says of a link that nothing can come over: as much as fits.
CLOSED_SECONDS: Final = 65.535

LOSSY_ABOVE: Final = 0.02
LOSSY_UNTIL: Final = 0.01


class Direction:
    """What is known of one direction of a link, and this end's count of datagrams in it."""

    def __init__(self) -> None:
        self.datagrams = 0
        self.bytes = 0
        self.delay = OneWayDelay()
        self.loss = Loss()
        self.steady_loss = Loss(STEADY_LOSS_HALF_LIFE_SECONDS)

    def count(self, datagrams: int, size_bytes: int) -> None:
        """Count what was sent, or has arrived."""
        self.datagrams += datagrams
        self.bytes += size_bytes

    def compare(self, sent: int, received: int, now: float) -> None:
        """Take both ends' totals at one datagram: see `Loss.compare`."""
        self.loss.compare(sent, received, now)
        self.steady_loss.compare(sent, received, now)

    def forget_loss(self) -> None:
        """Begin anew: what an outage swallowed says nothing about the line after it."""
        self.loss.restart()
        self.steady_loss.restart()


class Link:
    """One link. `peer` and `number` name it in events; `now` is this end's monotonic clock."""

    def __init__(self, number: int, now: float, peer: str = "") -> None:
        self.number = number
        self.peer = peer
        self.state = LinkState.PROBING
        self.reason = "not yet answered"  # why the state is what it is, for a human
        self.round_trip = RoundTrip()
        self.incoming = Direction()
        self.outgoing = Direction()
        self.heard_at = now  # when anything authentic last came over it
        self.closed = False  # it has no socket: nothing can come
        self.path_mtu = PathMtu()
        self._prober = Prober(now)
        self._delivery = Delivery()
        self._trust = Trust()

    # What happened

    def on_sent(self, count: int, size_bytes: int, now: float, *, bulk: bool = False) -> None:
        """Count datagrams put on this link."""
        self.outgoing.count(count, size_bytes)
        self._delivery.sent(count, now, bulk=bulk)

    def on_received(self, count: int, size_bytes: int, now: float) -> None:
        """Count authentic datagrams that came over this link: before `on_probe` for a probe."""
        self.incoming.count(count, size_bytes)
        self.heard_at = now

    def on_probe_sent(self, now: float) -> int:
        """Return the probe_id of a probe that is this link's next datagram."""
        return self._prober.sent(self.outgoing.datagrams + 1, now)

    def on_probe(self, sent_us: int, sent_datagrams: int, now: float) -> None:
        """Learn from the other end's probe: its clock, and its count of datagrams sent."""
        self.incoming.delay.add(now - sent_us / 1e6, now)
        self.incoming.compare(sent_datagrams, self.incoming.datagrams, now)
        self._prober.asked(now)

    def on_reply(
        self,
        probe_id: int,
        received_us: int,
        received_datagrams: int,
        now: float,
        *,
        needed: bool = False,
    ) -> LinkChanged | None:
        """Learn from an answer: the other end's clock and count when the probe came in.

        `needed`: no other link carries, so this one owes no more answers than one.
        """
        asked = self._prober.answered(probe_id)
        if asked is None:
            return None
        self.round_trip.add(now - asked.sent_at, now)
        self.outgoing.delay.add(received_us / 1e6 - asked.sent_at, now)
        self.outgoing.compare(asked.sent_datagrams, received_datagrams, now)
        self.path_mtu.alive()
        if self.state is LinkState.STALLED and (self.path_mtu.doubted or self.path_mtu.confirming):
            return None  # small datagrams pass, but perhaps no others
        if self.state is LinkState.PROBING:
            return self._signal(Signal.ANSWERED, "answers", now)
        if needed or self._prober.answers_in_row >= self._trust.answers_owed:
            return self._signal(Signal.ANSWERED_IN_ROW, "answers again", now)
        return None

    def on_report(
        self, quiet_seconds: float, bulk_datagrams: int, reporter: "Link", now: float
    ) -> LinkChanged | None:
        """Hear from the other end how long nothing came over this link, and how much bulk has.

        `reporter` is the link that brought the report; it may be this one.
        """
        travel = Travel.over(
            self.round_trip,
            self.outgoing.delay,
            reporter.round_trip,
            reporter.outgoing.delay,
        )
        if quiet_seconds >= CLOSED_SECONDS:
            return self._signal(Signal.UNDELIVERED, "the other end has lost it", now)
        if self._delivery.failed(quiet_seconds, bulk_datagrams, travel, self.loss_out, now):
            return self._signal(Signal.UNDELIVERED, "reports leave it out", now)
        self._prober.prove(now - quiet_seconds - travel.most)
        return None

    def on_moved(self, now: float) -> LinkChanged | None:
        """Hear that the other end was found at another address: what is sent there arrives."""
        self._prober.prove(now)  # what was asked before went to where nobody is any more
        if self._trust.answers_owed > ANSWERS_TO_RETURN[0]:
            return None
        return self._signal(Signal.ANSWERED_IN_ROW, "answers from another address", now)

    def on_size_doubted(self, now: float) -> LinkChanged | None:
        """Hear that small datagrams arrive, and those of full frames do not."""
        reason = "full datagrams do not pass: its path MTU is looked for"
        if not self.path_mtu.size_bytes:
            reason = "its path MTU is too small"
        return self._signal(Signal.UNDELIVERED, reason, now)

    def forget_loss(self) -> None:
        """Begin anew with both directions' losses, after an outage of whatever kind."""
        self.incoming.forget_loss()
        self.outgoing.forget_loss()

    def on_socket_error(self, now: float, reason: str = "its socket failed") -> LinkChanged | None:
        """Hear that the kernel refuses to send on this link."""
        if self.state is LinkState.DOWN:
            self.reason = reason  # the cause of the silence that took it down
        return self._signal(Signal.SOCKET_FAILED, reason, now)

    # What time makes due

    def check(self, now: float, flowing: bool) -> LinkChanged | None:
        """Judge the link; `flowing`: bulk is under way in either direction of the tunnel."""
        timeout = self.round_trip.timeout
        since = self._prober.unanswered_since(timeout, now)
        if since is not None:
            limit = self._silence_limit(flowing)
            if now - self.heard_at >= limit:
                return self._signal(Signal.SILENT, f"silent for {now - self.heard_at:.1f} s", now)
            if now - since >= limit + timeout:
                return self._signal(Signal.UNDELIVERED, "heard, but it answers no probe", now)
        loss = max(self.loss_in, self.loss_out)
        if loss > LOSSY_ABOVE:
            return self._signal(Signal.LOSS_ROSE, f"loses {loss:.0%}", now)
        if loss < LOSSY_UNTIL:
            return self._signal(Signal.LOSS_FELL, "loses little", now)
        return None

    def rest(self, interval_seconds: float | None) -> None:
        """Probe a link that stands by ever so rarely, for its bytes may cost money; None: do not.

        A probe of the other end's is as good as one of our own.
        """
        self._prober.resting_interval = interval_seconds

    def share_probes(self, links: int) -> None:
        """Probe the more rarely, the more links there are: each probe and answer costs CPU."""
        interval = max(FLOWING_INTERVAL_SECONDS, links / MOST_PROBES_PER_SECOND)
        self._prober.flowing_interval = interval

    def probe_due(self, now: float, flowing: bool) -> bool:
        """Tell whether to send a probe now."""
        return now >= self._probe_due_at(flowing, now)

    def deadline(self, now: float, flowing: bool) -> float:
        """Say when to come back: for the next probe, or for a verdict that silence makes due."""
        due = self._probe_due_at(flowing, now)
        if self.state is LinkState.DOWN or not self._prober.may_fall():
            return due
        verdict = self.heard_at + self._silence_limit(flowing)
        return min(due, verdict) if verdict > now else due

    def hears(self, now: float, flowing_since: float) -> bool:
        """Tell whether the other end may have frames under way on this link.

        That is its decision: it may trust the link already, or still, when this end does not. In a
        flow of bulk, which began at `flowing_since`, it lets every link be heard all the time.
        """
        if now - self.heard_at < FLOWING_SILENCE_SECONDS:
            return True
        return self.state in HEARING and now - flowing_since < FLOWING_SILENCE_SECONDS

    def quiet_seconds(self, now: float) -> float:
        """Say how long nothing has come; very long when nothing can."""
        return CLOSED_SECONDS if self.closed else now - self.heard_at

    @property
    def asked_at(self) -> float:
        """When the oldest probe left that is unanswered; infinity when there is none."""
        return self._prober.asked_at

    # What is known. Seconds; None before the first sample. Delays are off by the difference of
    # the two ends' clocks, the same for all links.

    @property
    def srtt(self) -> float | None:
        """Smoothed round-trip time."""
        return self.round_trip.srtt

    @property
    def rttvar(self) -> float | None:
        """Variation of the round-trip time."""
        return self.round_trip.rttvar

    @property
    def owd_in(self) -> float | None:
        """Mean one-way delay of what comes in."""
        return self.incoming.delay.mean

    @property
    def jitter_in(self) -> float:
        """Mean deviation of the delay of what comes in."""
        return self.incoming.delay.jitter

    @property
    def loss_in(self) -> float:
        """Share lost of what the other end sends, 0.0 to 1.0."""
        return self.incoming.loss.share

    @property
    def loss_out(self) -> float:
        """Share lost of what this end sends, 0.0 to 1.0."""
        return self.outgoing.loss.share

    def _probe_due_at(self, flowing: bool, now: float) -> float:
        """A stalled link that answers again is asked as often as in a flow, until it is up."""
        returns = self.state is LinkState.STALLED and self._prober.owes(self._trust.answers_owed)
        return self._prober.due_at(flowing or returns, now)

    def _silence_limit(self, flowing: bool) -> float:
        least = FLOWING_SILENCE_SECONDS if flowing else IDLE_SILENCE_SECONDS
        if self.srtt is None or self.rttvar is None:
            return max(least, 2 * self.round_trip.timeout)
        return max(least, 2 * self.srtt + 4 * self.rttvar)

    def _signal(self, signal: Signal, reason: str, now: float) -> LinkChanged | None:
        """Apply one signal; return the event if the state changed."""
        before = self.state
        self.state = MOVES.get((before, signal), before)
        if self.state is before:
            return None
        self.reason = reason
        if self.state not in CARRYING:
            if before in CARRYING:
                self._trust.fall(now)
            self._delivery.reset()
        elif before not in CARRYING:
            self._trust.rise(now)
            self.forget_loss()
        if self.state is LinkState.DOWN:
            self._prober.slow_down(now)
        else:
            self._prober.speed_up()
        return LinkChanged(self.peer, self.number, before.value, self.state.value, reason)
