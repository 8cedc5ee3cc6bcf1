"""One bonded tunnel between two ends: the door through which its frames and datagrams pass.

`submit` takes what the TAP delivered, `receive` what a link brought, `poll` whatever time has
made due. Each is cheap; after any of them, `poll` returns what is to be sent and written, and
when to call next. Both ends are the same but for who starts handshakes (client.py, server.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from .batch import Run
from .bond import NO_TOKEN, Bond, Member, Path, PathCheck, sending_weight
from .counters import Counters
from .errors import Drop, PeerError
from .events import Event, MtuAgreed, PathChanged, SessionDown, SessionUp
from .headers import Buffer
from .inbound import Inbound, single
from .messages import (
    Bye,
    ControlMessage,
    LinkOffer,
    LinkReport,
    Marker,
    Probe,
    ProbeReply,
    Report,
    encode_control,
    parse_control,
)
from .outbound import Outbound, Transmit
from .session import KeyLife, Session, Sessions
from .wire import OVERHEAD_BYTES, Kind

UDP_IPV4_BYTES: Final = 28
UDP_IPV6_BYTES: Final = 48
ETHERNET_BYTES: Final = 14
IPV4_MINIMUM_MTU: Final = 576

REPORT_SECONDS: Final = 0.1
# Bulk counts as flowing this long after the last of it.
FLOWING_SECONDS: Final = 0.5
# A link that has been without bulk this long, while others carried some, gets a marker.
MARKER_SECONDS: Final = 0.02
MARKER_DATAGRAMS: Final = 3
MAINTENANCE_SECONDS: Final = 0.05
IDLE_MAINTENANCE_SECONDS: Final = 0.5


@dataclass(frozen=True)
class TunnelSettings:
    """What one end is told about its tunnel. `mtu` is the TAP's, in bytes."""

    mtu: int
    key_life: KeyLife = field(default_factory=KeyLife)

    @property
    def max_frame_bytes(self) -> int:
        """The longest Ethernet frame that fits."""
        return self.mtu + ETHERNET_BYTES


def tunnel_mtu(link_mtu: int, *, ipv6: bool) -> int:
    """Return the TAP's MTU, in bytes, over links of `link_mtu` bytes."""
    below = UDP_IPV6_BYTES if ipv6 else UDP_IPV4_BYTES
    return link_mtu - below - OVERHEAD_BYTES - ETHERNET_BYTES


@dataclass
class Output:
    """What the shell is to do: send, write to the TAP, note; and when to poll again."""

    transmits: list[Transmit] = field(default_factory=list)
    frames: list[list[Buffer]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    deadline: float | None = None


class Tunnel:
    """The frames of one peer, over all its links."""

    def __init__(
        self,
        peer: str,
        settings: TunnelSettings,
        random: Callable[[int], bytes],
        next_bulk_seq: int,
        now: float,
    ) -> None:
        self.peer = peer
        self.settings = settings
        self.counters = Counters()
        self.bond = Bond()
        self.sessions = Sessions()
        self.outbound = Outbound(self.bond, self.counters, next_bulk_seq, settings.max_frame_bytes)
        self.inbound = Inbound(self.bond, self.counters)
        self.rekeys = 0
        self.ended_by_peer = False
        self._random = random
        self._output = Output()
        self._peer_boot_id: bytes | None = None
        self._reported_at = now
        self._maintenance_at = now

    # Links and keys

    def set_links(
        self,
        offers: tuple[LinkOffer, ...],
        paths: dict[int, Path],
        *,
        initiator: bool,
        header_bytes: int,
        now: float,
    ) -> None:
        """Make the bond what the client says it is; links that stay keep their state."""
        numbers = {offer.number for offer in offers}
        for number in [member.number for member in self.bond if member.number not in numbers]:
            self.bond.remove(number)
            self.outbound.remove(number)
        for offer in offers:
            weight, rate = sending_weight(offer, initiator=initiator)
            member = self.bond.get(offer.number)
            if member is None:
                check = PathCheck(paths.get(offer.number), self._random)
                member = Member(self.peer, offer.number, weight, rate, check, header_bytes, now)
                self.bond.add(member)
            member.weight = weight
            member.set_rate(rate, now)
            self.outbound.set_weight(member)
        self._maintenance_at = now

    def establish(self, session: Session, boot_id: bytes, peer_next_seq: int, now: float) -> None:
        """Use a proven session from now on."""
        rekeyed = self.sessions.current is not None
        self.sessions.promote(session)
        if boot_id != self._peer_boot_id:
            self.inbound.restart(peer_next_seq)
            self._peer_boot_id = boot_id
        for member in self.bond:
            member.check.restart()
            self._probe(member, now)
        self.rekeys += rekeyed
        self.ended_by_peer = False
        self._maintenance_at = now
        self.note(SessionUp(self.peer, session.keys.local_session, rekeyed))

    def agree_mtu(self, peer_mtu: int) -> None:
        """Take the smaller of both ends' MTUs."""
        mtu = min(self.settings.mtu, peer_mtu)
        self.outbound.max_frame_bytes = mtu + ETHERNET_BYTES
        self.note(MtuAgreed(self.peer, mtu))

    def end(self, reason: str) -> None:
        """Forget the session."""
        if self.sessions.current is not None:
            self.note(SessionDown(self.peer, reason))
        self.sessions.clear()
        self.ended_by_peer = False

    def sealing(self, now: float) -> Session | None:
        """Return the session to seal with, if its key is young enough."""
        session = self.sessions.current
        if session is None or not session.may_seal(now, self.settings.key_life):
            return None
        return session

    # Frames and datagrams

    def submit(self, read: Buffer, now: float) -> None:
        """Take one TAP read: virtio-net header and frame. Borrowed until `poll` returns."""
        transmit = self.outbound.submit(read, self.sealing(now), now)
        if transmit is not None:
            self._output.transmits.append(transmit)

    def receive(self, run: Run, session: Session, path: Path, now: float) -> bool:
        """Take datagrams that name one of this tunnel's sessions; tell if any was authentic."""
        member = self.bond.get(run.link)
        if member is None:
            self.counters.drop(Drop.UNKNOWN_LINK, run.count)
            return False
        if not session.may_open(now, self.settings.key_life):
            self.counters.drop(Drop.EXPIRED, run.count)
            return False
        if run.kind == Kind.CONTROL:
            alone = [single(run, index) for index in range(run.count)] if run.count > 1 else [run]
            return sum(self._message(session, one, member, path, now) for one in alone) > 0
        in_order = path == member.path
        count = self.inbound.frames(session, member, run, in_order, now)
        if count:
            self._credit(member, path, count, len(run.datagrams), now)
        return count > 0

    def poll(self, now: float) -> Output:
        """Do what is due; return what has gathered since the last call."""
        if now >= self._maintenance_at:
            self._maintain(now)
        reorder_due = self.inbound.reorder.deadline
        if reorder_due is not None and now >= reorder_due:
            self.inbound.tick(now)
        session = self.sealing(now)
        if session is not None and self.outbound.queue:
            self._output.transmits += self.outbound.pull(session, now)
        self.outbound.settle()
        output, self._output = self._output, Output()
        output.frames = self.inbound.take()
        output.deadline = self.deadline(now)
        return output

    def deadline(self, now: float) -> float:
        """Say when `poll` has something to do, if nothing happens before."""
        times = [self._maintenance_at]
        for time in (self.inbound.reorder.deadline, self.outbound.next_time(now)):
            if time is not None:
                times.append(time)
        return min(times)

    def close(self, now: float) -> list[Transmit]:
        """Say goodbye on every link."""
        session = self.sealing(now)
        if session is None:
            return []
        for member in self.bond:
            if member.path is not None:
                self._send(member, Bye(0), now)
        transmits, self._output.transmits = self._output.transmits, []
        return transmits

    def send_failed(self, number: int, now: float) -> None:
        """Hear from the shell that a link's socket refused a batch."""
        self.counters.drop(Drop.SEND_FAILED)
        member = self.bond.get(number)
        if member is not None:
            self.note(member.link.on_socket_error(now))

    # Control

    def _message(self, session: Session, run: Run, member: Member, path: Path, now: float) -> bool:
        content = self.inbound.message(session, run)
        if content is None:
            return False
        self._credit(member, path, 1, len(run.datagrams), now)
        try:
            message = parse_control(content)
        except PeerError as error:
            self.counters.drop(error.reason)
            return True
        if isinstance(message, Probe):
            self._on_probe(message, run.seq, member, path, now)
        elif isinstance(message, ProbeReply):
            self._on_reply(message, member, now)
        elif isinstance(message, Marker) and path == member.path:
            self.inbound.mark(member, message.next_bulk_seq, now)
        elif isinstance(message, Report):
            self._on_report(message, now)
        elif isinstance(message, Bye):
            self.ended_by_peer = True
        return True

    def _credit(self, member: Member, path: Path, count: int, size: int, now: float) -> None:
        """Count authentic datagrams on the link that brought them, whatever their header says."""
        if path != member.path:
            # A path that no link has yet is its header's link on the move.
            member = next((one for one in self.bond if one.path == path), member)
        size += count * member.header_bytes
        member.link.on_received(count, size, now)

    def _on_probe(self, probe: Probe, order: int, member: Member, path: Path, now: float) -> None:
        token, moved = member.check.on_probe(path, order, probe.token)
        if moved:
            self.note(PathChanged(self.peer, member.number))
            self._probe(member, now)
        if path == member.path:
            member.link.on_probe(probe.sent_us, probe.sent_datagrams, now)
            self.inbound.mark(member, probe.next_bulk_seq, now)
        reply = ProbeReply(
            probe.probe_id,
            probe.sent_us,
            _microseconds(now),
            member.link.incoming.datagrams,
            token,
        )
        self._send(member, reply, now, path)

    def _on_reply(self, reply: ProbeReply, member: Member, now: float) -> None:
        change = member.link.on_reply(
            reply.probe_id, reply.received_us, reply.received_datagrams, now
        )
        self.note(change)
        if reply.token not in (NO_TOKEN, member.echo):
            member.echo = reply.token
            self._probe(member, now)

    def _on_report(self, report: Report, now: float) -> None:
        for entry in report.links:
            member = self.bond.get(entry.link)
            if member is not None:
                self.note(member.link.on_report(entry.bulk_datagrams, now))

    def _send(
        self, member: Member, message: ControlMessage, now: float, path: Path | None = None
    ) -> None:
        """Seal a message for one link; to another path than the link's when a probe asks."""
        session = self.sealing(now)
        if session is None or (path is None and member.path is None):
            return
        content = encode_control(message)
        transmit = self.outbound.send_one(Kind.CONTROL, 0, content, member, session, now)
        if path is not None:
            transmit = transmit._replace(path=path)
        self._output.transmits.append(transmit)

    def _probe(self, member: Member, now: float) -> None:
        if member.path is None or self.sealing(now) is None:
            return
        probe_id = member.link.on_probe_sent(now)
        sent = member.link.outgoing.datagrams + 1
        seq = self.outbound.next_bulk_seq
        self._send(member, Probe(probe_id, _microseconds(now), sent, seq, member.echo), now)
        member.markers.seq, member.markers.sent_at = seq, now

    # What time makes due

    def _maintain(self, now: float) -> None:
        """Probe, mark, report, judge the links, forget old keys."""
        had_session = self.sessions.current is not None
        self.sessions.expire(now, self.settings.key_life)
        if had_session and self.sessions.current is None:
            self.note(SessionDown(self.peer, "its keys have expired"))
        if self.sealing(now) is None:
            self._maintenance_at = now + IDLE_MAINTENANCE_SECONDS
            return
        received = now - self.inbound.bulk_received_at < FLOWING_SECONDS
        flowing = received or now - self.outbound.bulk_sent_at < FLOWING_SECONDS
        for member in self.bond:
            self.note(member.link.check(now, flowing))
            if member.link.probe_due(now, flowing):
                self._probe(member, now)
        self._mark(now)
        if received and now - self._reported_at >= REPORT_SECONDS:
            self._report(now)
        self.inbound.update_hold(now)
        self.outbound.resize_queue()
        due = [member.link.deadline(now, flowing) for member in self.bond if member.path]
        due.append(now + (MAINTENANCE_SECONDS if flowing else IDLE_MAINTENANCE_SECONDS))
        self._maintenance_at = max(min(due), now + 0.001)

    def _mark(self, now: float) -> None:
        """Tell links that carried no bulk for a while how far the others have come."""
        seq = self.outbound.next_bulk_seq
        for member in self.bond.carrying():
            markers = member.markers
            rate = member.rate_bits_per_second
            pause = MARKER_SECONDS
            if rate:
                pause = max(pause, MARKER_DATAGRAMS * self.settings.mtu * 8 / rate)
            if markers.seq != seq and now - markers.sent_at >= pause:
                self._send(member, Marker(seq), now)
                markers.seq, markers.sent_at = seq, now

    def _report(self, now: float) -> None:
        member = self.bond.fastest(now)
        if member is None:
            return
        self._reported_at = now
        entries = tuple(
            LinkReport(
                one.number,
                one.received_bulk_datagrams,
                one.link.incoming.bytes,
                self.inbound.reorder.floor(one.number),
                (),
            )
            for one in self.bond
        )
        self._send(member, Report(entries), now)

    def note(self, event: Event | None) -> None:
        """Hand an event to the shell."""
        if event is not None:
            self._output.events.append(event)


def _microseconds(now: float) -> int:
    return int(now * 1e6)
