"""What keeps the links of a tunnel known: probes and answers, markers, reports, their verdicts."""

from collections.abc import Callable
from typing import Final

from .batch import Run
from .bond import Bond
from .counters import Counters
from .errors import PeerError
from .events import LinkChanged, PathChanged
from .fitness import Fitness
from .inbound import FLOWING_SECONDS, Inbound
from .link_state import CARRYING
from .member import Member
from .messages import (
    MAX_NACK_RANGES,
    Bye,
    ControlMessage,
    LinksAck,
    Marker,
    Nack,
    Probe,
    ProbeReply,
    encode_control,
    parse_control,
)
from .offers import LinkTable
from .outbound import Outbound
from .output import Outbox
from .paths import NO_TOKEN, Path
from .probing import RESTING_INTERVAL_SECONDS
from .quiet import Quiet
from .rates import Rates
from .reporting import Reporting
from .reports import Report
from .session import Session
from .settings import TunnelSettings
from .sharing import TableShare
from .size_messages import is_counted
from .sizes import Sizes
from .suspicion import Suspicion

MAX_KBITS: Final = 0xFFFF_FFFF
MAINTENANCE_SECONDS: Final = 0.025
JUDGEMENT_SECONDS: Final = 0.1  # of what changes in seconds
IDLE_MAINTENANCE_SECONDS: Final = 0.5
# A process that comes later than this finds in its sockets what it would else call missing: it
# first reads them all.
LATE_SECONDS: Final = 0.015
READING_SECONDS: Final = 0.003


class Upkeep:
    """Sends and reads a tunnel's control messages."""

    def __init__(
        self,
        peer: str,
        bond: Bond,
        inbound: Inbound,
        outbound: Outbound,
        counters: Counters,
        outbox: Outbox,
        sealing: Callable[[float], Session | None],
        share: TableShare,
        settings: TunnelSettings,
        now: float,
    ) -> None:
        self.due_at = now
        self.ended_by_peer = False
        self.nacks = 0  # messages sent
        self._peer = peer
        self._bond = bond
        self._inbound = inbound
        self._outbound = outbound
        self._counters = counters
        self._outbox = outbox
        self._sealing = sealing
        self._rates = Rates(peer, bond, outbound, outbox)
        self.sizes = Sizes(peer, bond, outbound, outbox, settings, self.send, self.note)
        self._share = share
        self._mtu = settings.mtu
        self.reporting = Reporting(bond, inbound, self.send, now)
        self._suspicion = Suspicion(bond)
        self._fitness = Fitness(bond)
        self.quiet = Quiet(bond, inbound, outbound, settings.key_life.rekey_seconds, now)
        self._resting_interval = RESTING_INTERVAL_SECONDS["client" if share.owner else "server"]
        self._reading = False
        self._judge_at = now

    def on_stall(self, now: float) -> None:
        """Note that this end has just come late to its sockets."""
        self.reporting.stalled_at = now
        self._rates.on_stall(now)

    def hurry_report(self, now: float) -> None:
        """Have what bulk has just arrived reported in time."""
        due = self.reporting.due_at
        if due < self.due_at:
            self.due_at = max(due, now)

    def wake(self, now: float) -> None:
        """Hear that bulk flows again: its markers and probes are due sooner than in idle times."""
        self._outbound.begin(now)
        self.due_at = min(self.due_at, now + MAINTENANCE_SECONDS)

    def receive(self, session: Session, run: Run, member: Member, path: Path, now: float) -> bool:
        """Take one control datagram; tell whether it was authentic."""
        content = self._inbound.message(session, run)
        if content is None:
            return False
        self._bond.credit(member, path, is_counted(content), len(run.datagrams), now)
        try:
            message = parse_control(content)
        except PeerError as error:
            self._counters.drop(error.reason)
            return True
        current = session is self._sealing(now)
        if isinstance(message, Probe):
            # Under the keys of before, seqs say nothing of what is newest now.
            self._on_probe(message, run.seq if current else None, member, path, now)
        elif isinstance(message, ProbeReply):
            self._on_reply(message, member, now)
        elif isinstance(message, Marker) and path == member.path:
            member.marked_at = now
            self._inbound.mark(member, message.next_bulk_seq, now)
        elif isinstance(message, Nack):
            self._outbound.repairs.on_nack(message.ranges, now)
        elif isinstance(message, Report):
            self._on_report(message, member, now)
        elif isinstance(message, LinkTable):
            self._share.take(message)
            self.send(member, LinksAck(message.serial), now)
        elif isinstance(message, LinksAck):
            self._share.agree(message.serial)
        elif self.sizes.take(message, member, path, now):
            self.due_at = now
        elif isinstance(message, Bye) and current:  # else it was held up, or held back
            self.ended_by_peer = True
        return True

    def _on_probe(
        self, probe: Probe, order: int | None, member: Member, path: Path, now: float
    ) -> None:
        token, moved = NO_TOKEN, False
        if order is not None:
            token, moved = member.check.on_probe(path, order, probe.token)
        if moved:
            self.note(PathChanged(self._peer, member.number), now)
            self.note(member.link.on_moved(now), now)
            self.probe(member, now)
        member.rate_in_bits_per_second = probe.rate_kbits * 1e3 or None
        if path == member.path:
            member.link.on_probe(probe.sent_us, probe.sent_datagrams, now)
            self._inbound.mark(member, probe.next_bulk_seq, now)
        reply = ProbeReply(
            probe.probe_id,
            probe.sent_us,
            int(now * 1e6),
            member.link.incoming.datagrams,
            token,
        )
        self.send(member, reply, now, path)

    def _on_reply(self, reply: ProbeReply, member: Member, now: float) -> None:
        change = member.link.on_reply(
            reply.probe_id,
            reply.received_us,
            reply.received_datagrams,
            now,
            needed=not self._bond.carrying(),
        )
        self.note(change, now)
        if reply.token not in (NO_TOKEN, member.echo):
            member.echo = reply.token
            self.probe(member, now)

    def _on_report(self, report: Report, reporter: Member, now: float) -> None:
        self._suspicion.on_report(reporter, now)
        for entry in report.links:
            member = self._bond.get(entry.link)
            if member is not None:
                member.reported_floor = entry.floor
                quiet = entry.quiet_ms / 1e3
                change = member.link.on_report(quiet, entry.bulk_datagrams, reporter.link, now)
                self.note(change, now)
        self._rates.on_report(report, now)

    def send(
        self, member: Member, message: ControlMessage, now: float, path: Path | None = None
    ) -> None:
        """Seal a message for one link; to another path than the link's when a probe asks."""
        session = self._sealing(now)
        if session is None or (path is None and member.path is None):
            return
        content = encode_control(message)
        transmit = self._outbound.send_message(content, member, session, now)
        member.link.outgoing.datagrams -= not is_counted(content)
        if path is not None:
            transmit = transmit._replace(path=path)
        self._outbox.transmits.append(transmit)

    def note(self, event: LinkChanged | PathChanged | None, now: float) -> None:
        """Pass on that a link has changed, and let the bond know; None: it has not."""
        if event is None:
            return
        self._outbox.note(event)
        self._bond.refresh()
        self._judge_at = now
        member = self._bond.get(event.link)
        if not isinstance(event, LinkChanged) or member is None:
            return
        if event.before in CARRYING and event.after not in CARRYING:
            self._outbound.repairs.resend_unreported(member, now)
            self._express_again(member, now)

    def _express_again(self, silent: Member, now: float) -> None:
        other = self._bond.fastest(now)
        self._outbox.transmits += self._outbound.express.log.again(silent, other, now)

    def nack(self, now: float) -> None:
        """Ask the other end for what is missing."""
        ranges = self._inbound.reorder.asks(MAX_NACK_RANGES // 2, now)
        member = self._bond.fastest(now)
        if not ranges or member is None:
            return
        for start in range(0, len(ranges), MAX_NACK_RANGES):
            part = tuple(ranges[start : start + MAX_NACK_RANGES])
            self.send(member, Nack(part), now)
            self.nacks += 1

    def probe(self, member: Member, now: float) -> None:
        """Ask a link how it is."""
        if member.path is None or self._sealing(now) is None:
            return
        probe_id = member.link.on_probe_sent(now)
        sent = member.link.outgoing.datagrams + 1
        seq = self._outbound.next_bulk_seq
        rate = min(int((member.rate_bits_per_second or 0.0) / 1e3), MAX_KBITS)
        probe = Probe(probe_id, int(now * 1e6), sent, seq, member.echo, rate)
        self.send(member, probe, now)
        member.markers.told(seq, now)

    def run(self, now: float) -> None:
        """Probe, mark, report, judge the links; `due_at` then says when to come back."""
        if now - self.due_at > LATE_SECONDS and not self._reading:
            self._reading = True
            self.due_at = now + READING_SECONDS
            return
        self._reading = False
        inbound, outbound = self._inbound, self._outbound
        received = now - inbound.bulk_received_at < FLOWING_SECONDS
        flowing = received or now - outbound.bulk_sent_at < FLOWING_SECONDS
        self.quiet.look(now)
        for member in self._bond:
            resting = member.resting(now)
            rests = resting or (self.quiet.on and member.link.state in CARRYING)
            member.link.rest(self._resting_interval if rests else None)
            self.note(member.link.check(now, flowing and not resting), now)
            if member.link.probe_due(now, flowing and not resting):
                self.probe(member, now)
        for member in self._suspicion.look(inbound.bulk_received_at, outbound.bulk_sent_at, now):
            self._express_again(member, now)
        judging = now >= self._judge_at
        if judging:
            self._judge_at = now + JUDGEMENT_SECONDS
            for change in self._fitness.judge(now):
                self.note(change, now)
        self._mark(now)
        if (received or self.reporting.doubtful()) and now >= self.reporting.due_at:
            self.reporting.report(now)
        table = self._share.due(now)
        if table is not None and (best := self._bond.fastest(now)) is not None:
            self.send(best, table, now)
        if received or judging:
            inbound.update_hold(now)
        rates_due = self._rates.look(now)
        outbound.resize(now)
        due = [self.sizes.tick(now)]
        for member in self._bond:
            if member.path is not None:
                due.append(member.link.deadline(now, flowing and not member.resting(now)))
        if self.quiet.on and table is None and self.quiet.asked_at() > now:
            due = [self.quiet.next_look(min(due), now)]
        else:
            due += [now + (MAINTENANCE_SECONDS if flowing else IDLE_MAINTENANCE_SECONDS), rates_due]
        if received:
            due.append(self.reporting.due_at)
        self.due_at = max(min(due), now + 0.001)

    def _mark(self, now: float) -> None:
        """Tell links that carried no bulk for a while how far the others have come."""
        seq = self._outbound.next_bulk_seq
        spare = [member for member in self._bond.spare if not member.resting(now)]
        for member in [*self._bond.carrying(), *spare]:
            if member.marker_due(seq, self._mtu, now):
                self.send(member, Marker(seq), now)
                member.markers.told(seq, now)
