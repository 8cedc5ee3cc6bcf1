"""The end that has one address and many clients: it answers handshakes and tells sessions apart."""

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from typing import Final, NamedTuple

from .batch import Run, split
from .counters import Counters
from .errors import Drop, PeerError
from .events import Event, OtherVersion, SecondClient
from .handshake import Established
from .output import Output, Transmit
from .paths import Path
from .reads import Reads
from .responder import Responder
from .runs import HEARD_SECONDS, Runs
from .session import Session
from .settings import TunnelSettings
from .slab import Slab
from .tunnel import Tunnel
from .versions import NOTE_SECONDS, OtherVersionError
from .wire import HEADER, SEALED, Kind

SESSION_NUMBERS: Final = 1 << 16


@dataclass
class ServerOutput:
    """What the shell is to do, for all peers, since the last call."""

    transmits: list[Transmit] = field(default_factory=list)
    outputs: list[tuple[str, Output]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)  # of no peer
    deadline: float | None = None


class PathFacts(NamedTuple):
    """What the shell knows of a path: the sender's packed address and port, and the bytes of the
    IP and UDP headers."""

    source: bytes
    header_bytes: int


class Offer(NamedTuple):
    """What a handshake agreed on, until its first datagram proves that the client is there."""

    established: Established
    header_bytes: int


class Server:
    """One tunnel per peer behind one socket."""

    def __init__(
        self,
        responder: Responder,
        settings: Mapping[str, TunnelSettings],
        describe: Callable[[Path], PathFacts],
        random: Callable[[int], bytes],
        now: float,
    ) -> None:
        self.counters = Counters()  # of datagrams that no tunnel could be found for
        self.tunnels: dict[str, Tunnel] = {}
        self._responder = responder
        self._describe = describe
        self._random = random
        self._sessions: dict[int, tuple[Tunnel, Session]] = {}
        self._numbers: dict[str, set[int]] = {}
        self._offers: dict[str, Offer] = {}  # at most one a peer
        self._transmits: list[Transmit] = []
        self._events: list[Event] = []
        self._noted_at: dict[str, float] = {}
        self._runs: dict[str, Runs] = {}
        self._touched: set[str] = set()
        self._polled: set[str] = set()  # last: what could not be sent is theirs
        self._due: list[tuple[float, str]] = []
        self._deadlines: dict[str, float] = {}
        for peer, one in settings.items():
            self.add_peer(peer, one, now)

    def add_peer(self, peer: str, settings: TunnelSettings, now: float) -> None:
        """Have a tunnel for another peer; the responder must know it too."""
        first_seq = int.from_bytes(self._random(4))
        self.tunnels[peer] = Tunnel(peer, settings, self._random, first_seq, now, initiator=False)
        self._numbers[peer] = set()
        self._runs[peer] = Runs()

    def remove_peer(self, peer: str, now: float) -> None:
        """Say goodbye to a peer and forget it and its sessions."""
        tunnel = self.tunnels.pop(peer)
        self._transmits += tunnel.close(now)
        for number in self._numbers.pop(peer) | tunnel.sessions.local_ids:
            self._sessions.pop(number, None)
        self._offers.pop(peer, None)
        self._runs.pop(peer)
        self._deadlines.pop(peer, None)
        self._touched.discard(peer)

    def submit(self, peer: str, reads: Reads, now: float) -> None:
        """Take what was read from a peer's TAP; see Tunnel.submit."""
        self.tunnels[peer].submit(reads, now)
        self._touched.add(peer)

    def receive(
        self,
        path: Path,
        data: memoryview,
        datagram_bytes: int,
        now: float,
        slab: Slab | None = None,
        waited: float = 0.0,
    ) -> None:
        """Take what one receive call delivered, perhaps into a slab; see Client.receive."""
        for run in split(data, datagram_bytes, slab):
            if run.kind == Kind.INIT:
                self._handshake(path, bytes(run.datagrams), now)
            else:
                self._sealed(run, path, now, waited)

    def poll(self, now: float) -> ServerOutput:
        """Do what is due in every tunnel that something happened to."""
        while self._due and self._due[0][0] <= now:
            due, peer = heapq.heappop(self._due)
            if self._deadlines.get(peer) == due:
                self._touched.add(peer)
        result = ServerOutput(self._transmits, events=self._events)
        self._transmits, self._events = [], []
        for peer in self._touched:
            tunnel = self.tunnels[peer]
            if tunnel.upkeep.ended_by_peer:
                tunnel.end("the client said goodbye")
            output = tunnel.poll(now)
            if tunnel.sessions.changed:
                self._forget(tunnel)
            result.transmits += output.transmits
            result.outputs.append((peer, output))
            if output.deadline is not None and self._deadlines.get(peer) != output.deadline:
                self._deadlines[peer] = output.deadline
                heapq.heappush(self._due, (output.deadline, peer))
        self._polled, self._touched = self._touched, set()
        while self._due and self._deadlines.get(self._due[0][1]) != self._due[0][0]:
            heapq.heappop(self._due)
        result.deadline = self._due[0][0] if self._due else None
        return result

    def close(self, now: float) -> list[Transmit]:
        """Say goodbye to every client."""
        return [transmit for tunnel in self.tunnels.values() for transmit in tunnel.close(now)]

    def send_failed(self, path: Path, reason: str, now: float) -> None:
        """Hear that a batch could not be sent along `path`; see Tunnel.send_failed."""
        found = self._on_path(path)
        if found is not None:
            found[0].send_failed(found[1], reason, now)

    def too_big(self, path: Path, datagram_bytes: int, now: float) -> None:
        """Hear from the shell that datagrams of this size are too long for `path`'s device."""
        found = self._on_path(path)
        if found is not None:
            found[0].too_big(found[1], datagram_bytes, now)

    def _on_path(self, path: Path) -> tuple[Tunnel, int] | None:
        """Find the tunnel and link that a refused batch was for; count it where there is none."""
        for peer in self._polled & self.tunnels.keys():
            tunnel = self.tunnels[peer]
            member = tunnel.bond.on_path(path)
            if member is not None:
                self._touched.add(peer)
                return tunnel, member.number
        self.counters.drop(Drop.SEND_FAILED)
        return None

    def _sealed(self, run: Run, path: Path, now: float, waited: float) -> None:
        if run.kind not in SEALED:
            short = len(run.datagrams) < HEADER.size
            self.counters.drop(Drop.TRUNCATED if short else Drop.UNKNOWN_TYPE, run.count)
            return
        found = self._sessions.get(run.session)
        if found is None:
            self.counters.drop(Drop.UNKNOWN_SESSION, run.count)
            return
        tunnel, session = found
        if session is tunnel.sessions.next and session.proves(run):
            self._promote(tunnel, session, now)
        tunnel.receive(run, session, path, now, waited)
        self._touched.add(tunnel.peer)

    def _handshake(self, path: Path, datagram: bytes, now: float) -> None:
        source, header_bytes = self._describe(path)
        try:
            reply = self._responder.receive(
                datagram,
                source,
                now,
                refuses=lambda peer, boot_id: self._refuses(peer, boot_id, source, now),
                allocate_session=self._draw_session,
                next_bulk_seq=lambda peer: self.tunnels[peer].outbound.next_bulk_seq,
                mtu=lambda peer: self.tunnels[peer].settings.mtu,
            )
        except PeerError as error:
            self.counters.drop(error.reason)
            if isinstance(error, OtherVersionError):
                self._answer_version(error, path, source, now)
            return
        if reply.established is not None:
            self._offer(*reply.established, header_bytes, now)
        self._transmits.append(Transmit(0, path, reply.datagram, len(reply.datagram)))

    def _answer_version(
        self, error: OtherVersionError, path: Path, source: bytes, now: float
    ) -> None:
        if error.answer:
            self._transmits.append(Transmit(0, path, error.answer, len(error.answer)))
        self._note("", OtherVersion(_address(source), error.theirs), now)

    def _refuses(self, peer: str, boot_id: bytes, source: bytes, now: float) -> bool:
        """Tell whether another client with the same key has the session, and is there."""
        tunnel = self.tunnels[peer]
        refused = (
            self._runs[peer].returns(boot_id)
            and tunnel.sealing(now) is not None
            and any(now - member.link.heard_at < HEARD_SECONDS for member in tunnel.bond)
        )
        if refused:
            self._note(peer, SecondClient(peer, _address(source)), now)
        return refused

    def _note(self, key: str, event: Event, now: float) -> None:
        """Say so at once, and then once a minute: clients try again and again."""
        if now >= self._noted_at.get(key, -inf) + NOTE_SECONDS:
            self._noted_at[key] = now
            self._events.append(event)

    def _draw_session(self) -> int:
        if len(self._sessions) >= SESSION_NUMBERS - 1:
            raise PeerError(Drop.RATE_LIMITED, "every session number is in use")
        number = 0
        while not number or number in self._sessions:
            number = int.from_bytes(self._random(2))
        return number

    def _offer(self, peer: str, established: Established, header_bytes: int, now: float) -> None:
        """Keep a new session beside the live one until its first datagram proves it."""
        tunnel = self.tunnels[peer]
        session = Session(established.keys, now)
        tunnel.sessions.offer(session)
        number = established.keys.local_session
        self._sessions[number] = tunnel, session
        self._numbers[peer].add(number)
        self._offers[peer] = Offer(established, header_bytes)
        self._touched.add(peer)

    def _promote(self, tunnel: Tunnel, session: Session, now: float) -> None:
        established, header_bytes = self._offers.pop(tunnel.peer)
        if established.table is not None:
            tunnel.offer_links(established.table, established.boot_id, header_bytes, now)
        self._runs[tunnel.peer].begin(established.boot_id)
        tunnel.establish(session, established.boot_id, established.next_bulk_seq, now)
        tunnel.agree_mtu(established.mtu, now)

    def _forget(self, tunnel: Tunnel) -> None:
        """Drop the numbers of a tunnel's sessions that have ended."""
        known = self._numbers[tunnel.peer]
        alive = tunnel.sessions.local_ids
        for number in known - alive:
            del self._sessions[number]
        self._numbers[tunnel.peer] = alive
        tunnel.sessions.changed = False


def _address(source: bytes) -> str:
    return str(ip_address(source[:-2]))
