"""One bonded tunnel between two ends: the door through which its frames and datagrams pass.

`submit` takes what the TAP delivered, `receive` what a link brought, `poll` whatever time has
made due. Each is cheap; after any of them, `poll` returns what is to be sent and written, and
when to call next. Both ends are the same but for who starts handshakes (client.py, server.py).
"""

import math
from collections.abc import Callable
from typing import Final

from .batch import Run, single
from .bond import Bond
from .counters import Counters
from .errors import Drop
from .events import Event, SessionDown, SessionUp
from .inbound import Inbound
from .member import Member
from .messages import Bye, ProbeReply
from .offers import LinkTable, sending_weight
from .outbound import Outbound
from .output import Outbox, Output, Transmit
from .paths import NO_TOKEN, Path, PathCheck
from .reads import Reads
from .session import Session, Sessions
from .settings import LEAST_MTU, TunnelSettings
from .sharing import TableShare
from .upkeep import Upkeep
from .wire import ANY_LINK, BULK, CONTROL

# How often a tunnel without keys looks up.
KEYLESS_SECONDS: Final = 0.5
# A poll this late means that the process had to wait: nothing it saw meanwhile came when it says.
STALL_SECONDS: Final = 0.015
# A challenge that answers no probe carries the id of none.
UNASKED: Final = 0xFFFF_FFFF


class Tunnel:
    """The frames of one peer, over all its links."""

    def __init__(
        self,
        peer: str,
        settings: TunnelSettings,
        random: Callable[[int], bytes],
        next_bulk_seq: int,
        now: float,
        *,
        initiator: bool,
    ) -> None:
        self.peer = peer
        self.settings = settings
        self.counters = Counters()
        self.bond = Bond()
        self.sessions = Sessions()
        self.outbound = Outbound(self.bond, self.counters, next_bulk_seq, settings.max_frame_bytes)
        self.inbound = Inbound(self.bond, self.counters, in_order=settings.in_order)
        self.share = TableShare(owner=initiator)
        self.rekeys = 0
        self._initiator = initiator
        self._header_bytes = 0
        self._random = random
        self._outbox = Outbox()
        self._deadline = math.inf
        self._peer_boot_id: bytes | None = None
        self.upkeep = Upkeep(
            peer,
            self.bond,
            self.inbound,
            self.outbound,
            self.counters,
            self._outbox,
            self.sealing,
            self.share,
            settings,
            now,
        )

    # Links and keys

    def set_links(self, table: LinkTable, header_bytes: int, now: float) -> None:
        """Make the bond what the client says it is; links that stay keep their state."""
        self.share.use(table)
        self._header_bytes = header_bytes
        numbers = {offer.number for offer in table.links}
        for number in [member.number for member in self.bond if member.number not in numbers]:
            self.bond.remove(number)
            self.outbound.remove(number)
        for offer in table.links:
            weight, rate = sending_weight(offer, initiator=self._initiator)
            member = self.bond.get(offer.number)
            if member is None:
                # The client's links know their way, the server learns it.
                path = offer.number if self._initiator else None
                check = PathCheck(path, self._random)
                member = Member(self.peer, offer.number, weight, rate, check, header_bytes, now)
                self.bond.add(member)
            member.weight = weight
            member.set_cap(rate, now)
            member.role, member.part = offer.role, offer.part
            self.outbound.set_weight(member, member.weight)
        self.bond.refresh()
        self.bond.copies = table.copies
        self.upkeep.due_at = now

    def offer_links(self, table: LinkTable, boot_id: bytes, header_bytes: int, now: float) -> None:
        """Take the links that a client's handshake brings, unless a newer LINKS overtook it."""
        known = self.share.table
        if known is None or boot_id != self._peer_boot_id or table.serial >= known.serial:
            self.set_links(table, header_bytes, now)

    def establish(self, session: Session, boot_id: bytes, peer_next_seq: int, now: float) -> None:
        """Use a proven session from now on."""
        rekeyed = self.sessions.current is not None
        self.sessions.promote(session)
        if boot_id != self._peer_boot_id:
            # What its predecessor sent is numbered otherwise, and would upset the order.
            self.sessions.previous = None
            self.inbound.restart(peer_next_seq)
            self.outbound.forget()
            self._peer_boot_id = boot_id
        for member in self.bond:
            member.check.restart()
            if not rekeyed:  # what came without keys was not counted, but no line lost it
                member.link.forget_loss()
            self.upkeep.probe(member, now)
        self.rekeys += rekeyed
        self.upkeep.ended_by_peer = False
        self.upkeep.due_at = now
        self._outbox.note(SessionUp(self.peer, session.keys.local_session, rekeyed))

    def note(self, event: Event) -> None:
        """Hand an event to the shell."""
        self._outbox.note(event)

    def agree_mtu(self, peer_mtu: int, now: float) -> None:
        """Take the smaller of both ends' MTUs, but none that no device would take."""
        self.upkeep.sizes.agree(min(self.settings.mtu, max(peer_mtu, LEAST_MTU)), now)

    def end(self, reason: str) -> None:
        """Forget the session."""
        if self.sessions.current is not None:
            self._outbox.note(SessionDown(self.peer, reason))
        self.sessions.clear()
        self.upkeep.ended_by_peer = False

    def sealing(self, now: float) -> Session | None:
        """Return the session to seal with, if its key is young enough."""
        session = self.sessions.current
        if session is None or not session.may_seal(now, self.settings.key_life):
            return None
        return session

    def usable(self, now: float) -> bool:
        """Tell whether frames can be carried: there is a key, and a link that carries."""
        return self.sealing(now) is not None and bool(self.bond.carrying())

    # Frames and datagrams

    def submit(self, reads: Reads, now: float) -> None:
        """Take what was read from the TAP. Borrowed until `poll` returns."""
        self.outbound.intake.submit(reads, self.sealing(now) is not None, now)

    def receive(
        self, run: Run, session: Session, path: Path, now: float, waited: float = 0.0
    ) -> bool:
        """Take datagrams of a session that waited so many seconds; tell if any was authentic."""
        copies = run.link == ANY_LINK and run.kind != CONTROL
        member = self.bond.on_path(path) if copies else self.bond.get(run.link)
        if member is None:
            self.counters.drop(Drop.UNKNOWN_LINK, run.count)
            return False
        if not session.may_open(now, self.settings.key_life):
            self.counters.drop(Drop.EXPIRED, run.count)
            return False
        if run.kind == CONTROL:
            alone = [single(run, index) for index in range(run.count)] if run.count > 1 else [run]
            take = self.upkeep.receive
            count = sum(take(session, one, member, path, now) for one in alone)
            if count and path != member.path:
                self._challenge(member, session, path, now)
            return count > 0
        if copies:
            count = self.inbound.copies(session, member, run, now, waited)
        else:
            count = self.inbound.frames(session, member, run, path == member.path, now, waited)
        if count:
            self.bond.credit(member, path, count, len(run.datagrams), now)
            if path != member.path:
                self._challenge(member, session, path, now)
            if run.kind == BULK:
                self.upkeep.hurry_report(now)
        return count > 0

    def _challenge(self, member: Member, session: Session, path: Path, now: float) -> None:
        """Ask a path that no link has whether one is there now; its next probe may take a while."""
        if session is not self.sealing(now) or self.bond.on_path(path) is not None:
            return
        token = member.check.on_stray(path)
        if token != NO_TOKEN:
            arrived = member.link.incoming.datagrams
            reply = ProbeReply(UNASKED, 0, int(now * 1e6), arrived, token)
            self.upkeep.send(member, reply, now, path)

    def poll(self, now: float) -> Output:
        """Do what is due; return what has gathered since the last call."""
        if now > self._deadline + STALL_SECONDS:
            self.upkeep.on_stall(now)
        if self.share.changed and self.share.table is not None:
            self.set_links(self.share.table, self._header_bytes, now)
        if now >= self.upkeep.due_at:
            self._maintain(now)
        reorder_due = self.inbound.reorder.deadline
        if reorder_due is not None and now >= reorder_due:
            self.inbound.tick(now)
            self.upkeep.nack(now)
        session, bulk = self.sealing(now), self.outbound.queue.size_bytes
        if self.outbound.repairs:
            self._outbox.transmits += self.outbound.repairs.pull(now)
        if session is not None and (bulk or self.outbound.express):
            if self.upkeep.quiet.ends(now):
                self.upkeep.wake(now)
            self._outbox.transmits += self.outbound.pull(session, now)
        self.outbound.settle()
        output = self._outbox.take()
        output.frames = self.inbound.take()
        output.deadline = self._deadline = self.deadline(now)
        return output

    def deadline(self, now: float) -> float:
        """Say when `poll` has something to do, if nothing happens before."""
        due = self.upkeep.due_at
        reorder = self.inbound.reorder.deadline
        if reorder is not None and reorder < due:
            due = reorder
        if self.outbound.repairs:
            due = min(due, self.outbound.repairs.next_time(now))
        if self.outbound.queue.size_bytes:
            return min(due, self.outbound.next_time(now))
        return due

    def close(self, now: float) -> list[Transmit]:
        """Say goodbye on every link."""
        session = self.sealing(now)
        if session is None:
            return []
        for member in self.bond:
            if member.path is not None:
                self.upkeep.send(member, Bye(0), now)
        return self._outbox.take().transmits

    def send_failed(self, number: int, reason: str, now: float) -> None:
        """Hear from the shell that a batch did not leave; without a reason, for want of room."""
        self.counters.drop(Drop.SEND_FAILED)
        member = self.bond.get(number)
        if reason and member is not None:
            self.upkeep.note(member.link.on_socket_error(now, reason), now)

    def link_lost(self, number: int, reason: str, now: float) -> None:
        """Hear from the shell that a link has no socket: its device or address has gone."""
        member = self.bond.get(number)
        if member is not None:
            member.link.closed = True
            self.upkeep.note(member.link.on_socket_error(now, reason), now)
            self.upkeep.reporting.report(now)

    def link_renewed(self, number: int, now: float) -> None:
        """Hear that a link sends from another address or port: let the other end know at once."""
        member = self.bond.get(number)
        if member is not None:
            member.link.closed = False
            self.upkeep.probe(member, now)
            self.upkeep.sizes.renewed(member, now)

    def held_up(self, polled_at: float) -> None:
        """Hear that what a poll returned left only later: it says nothing of the lines' delay."""
        for member in self.bond:
            member.flight.doubt(polled_at)

    def too_big(self, number: int, datagram_bytes: int, now: float) -> None:
        """Hear from the shell that a link's device does not send datagrams of this size."""
        member = self.bond.get(number)
        if member is None or not self.upkeep.sizes.refused(member, datagram_bytes, now):
            self.counters.drop(Drop.SEND_FAILED)
        self.upkeep.due_at = now

    def _maintain(self, now: float) -> None:
        """Forget old keys; look after the links."""
        had_session = self.sessions.current is not None
        self.sessions.expire(now, self.settings.key_life)
        self.outbound.drop_stale(now)
        self.outbound.log.prune(now)
        if had_session and self.sessions.current is None:
            self._outbox.note(SessionDown(self.peer, "its keys have expired"))
        if self.sealing(now) is None:
            self.upkeep.due_at = now + KEYLESS_SECONDS
        else:
            self.upkeep.run(now)
