"""The end that has the links: it starts handshakes, and starts over when the server is gone."""

from collections.abc import Callable
from math import inf
from typing import Final

from .batch import Run, split
from .errors import Drop, PeerError
from .events import NoAnswer, OtherVersion
from .handshake import Established
from .initiator import Initiator
from .offers import LinkOffer, LinkTable
from .output import Output, Transmit
from .reads import Reads
from .session import Session
from .settings import TunnelSettings
from .slab import Slab
from .tunnel import Tunnel
from .versions import NOTE_SECONDS, OtherVersionError
from .wire import ANSWERS, HEADER, SEALED

# Sooner than WireGuard's 5 s at first: a person waits. Then as rarely.
RETRY_SECONDS: Final = (1.0, 2.0, 4.0, 5.0)
ATTEMPTS_TO_NOTE: Final = 3
RETRY_JITTER: Final = 0.3
# After an attempt, however many links have another address by then.
SOONEST_SECONDS: Final = 0.5
# With no link left for so long, the server may have restarted and know nothing of this session.
SILENCE_SECONDS: Final = 3.0


class Client:
    """A tunnel and the handshakes that keep it in keys. A link's path is its number."""

    def __init__(
        self,
        initiator: Initiator,
        links: tuple[LinkOffer, ...],
        settings: TunnelSettings,
        header_bytes: int,
        random: Callable[[int], bytes],
        wall_clock: Callable[[], float],
        now: float,
        copies: int = 1,
    ) -> None:
        self._initiator = initiator
        self._table = LinkTable(0, copies, links)
        self._offered = 0  # the serial of the table in the last INIT
        self._random = random
        self._wall_clock = wall_clock
        first_seq = int.from_bytes(random(4))
        self.tunnel = Tunnel("server", settings, random, first_seq, now, initiator=True)
        self._header_bytes = header_bytes
        self.tunnel.set_links(self._table, header_bytes, now)
        self._attempts = 0  # since the last success
        self._attempt_at = now
        self._attempted_at = -inf
        self._heard_at = now
        self._version_noted_at = -inf
        self._transmits: list[Transmit] = []

    def set_links(self, links: tuple[LinkOffer, ...], now: float, copies: int = 1) -> None:
        """Change the links of a running tunnel, at both ends, without a handshake."""
        self._table = LinkTable(self._table.serial + 1, copies, links)
        self.tunnel.set_links(self._table, self._header_bytes, now)

    def link_renewed(self, number: int, now: float) -> None:
        """Hear that a link sends from or to another address: let the server know at once."""
        if self._wants_handshake(now):
            self._attempt_at = min(self._attempt_at, max(now, self._attempted_at + SOONEST_SECONDS))
        self.tunnel.link_renewed(number, now)

    def submit(self, reads: Reads, now: float) -> None:
        """Take what was read from the TAP; see Tunnel.submit."""
        self.tunnel.submit(reads, now)

    def receive(
        self,
        link: int,
        data: memoryview,
        datagram_bytes: int,
        now: float,
        slab: Slab | None = None,
        waited: float = 0.0,
    ) -> None:
        """Take what one receive call on a link's socket delivered, perhaps into a slab.

        `waited`: for how many seconds it lay in the socket.
        """
        for run in split(data, datagram_bytes, slab):
            if run.kind in ANSWERS:
                self._answer(bytes(run.datagrams), now)
            else:
                self._sealed(run, link, now, waited)

    def poll(self, now: float) -> Output:
        """Do what is due; see Tunnel.poll."""
        if self.tunnel.upkeep.ended_by_peer:
            self.tunnel.end("the server said goodbye")
        wanted = self._wants_handshake(now)
        if wanted and now >= self._attempt_at:
            self._attempt(now)
        output = self.tunnel.poll(now)
        if self._transmits:
            output.transmits += self._transmits
            self._transmits = []
        due = self._attempt_at if wanted else self._rekey_at()
        if output.deadline is None or due < output.deadline:
            output.deadline = due
        return output

    def close(self, now: float) -> list[Transmit]:
        """Say goodbye."""
        return self.tunnel.close(now)

    def _sealed(self, run: Run, link: int, now: float, waited: float) -> None:
        counters = self.tunnel.counters
        if run.kind not in SEALED:
            short = len(run.datagrams) < HEADER.size
            counters.drop(Drop.TRUNCATED if short else Drop.UNKNOWN_TYPE, run.count)
            return
        session = self.tunnel.sessions.find(run.session)
        if session is None:
            counters.drop(Drop.UNKNOWN_SESSION, run.count)
        elif self.tunnel.receive(run, session, link, now, waited):
            self._heard_at = now

    def _wants_handshake(self, now: float) -> bool:
        tunnel = self.tunnel
        session = tunnel.sessions.current
        quiet = tunnel.upkeep.quiet
        return (
            session is None
            or session.wants_rekey(now, tunnel.settings.key_life)
            or (not quiet.on and now - max(self._heard_at, quiet.ended_at) > SILENCE_SECONDS)
        )

    def _rekey_at(self) -> float:
        """Say when the current keys are to be renewed; infinity without any."""
        session = self.tunnel.sessions.current
        return session.rekey_at(self.tunnel.settings.key_life) if session else inf

    def _attempt(self, now: float) -> None:
        """Send one INIT, the same on every link: whichever is quickest decides."""
        tunnel = self.tunnel
        taken = tunnel.sessions.local_ids
        session_id = 0
        while not session_id or session_id in taken:
            session_id = int.from_bytes(self._random(2))
        init = self._initiator.start(
            session_id,
            tunnel.outbound.next_bulk_seq,
            tunnel.settings.mtu,
            self._table,
            now=now,
            wall_clock_seconds=self._wall_clock(),
        )
        self._offered = self._table.serial
        for offer in self._table.links:
            self._transmits.append(Transmit(offer.number, offer.number, init, len(init)))
        self._attempted_at = now
        pause = RETRY_SECONDS[min(self._attempts, len(RETRY_SECONDS) - 1)]
        jitter = (self._random(1)[0] / 255 * 2 - 1) * RETRY_JITTER
        if self._attempts and self._attempts % ATTEMPTS_TO_NOTE == 0:
            tunnel.note(NoAnswer(tunnel.peer, self._attempts))
        self._attempts += 1
        self._attempt_at = now + pause * (1 + jitter)

    def _answer(self, datagram: bytes, now: float) -> None:
        try:
            established = self._initiator.receive(datagram, now)
        except PeerError as error:
            if error.reason is not Drop.REPLAYED:  # the same answer over another link is no news
                self.tunnel.counters.drop(error.reason)
            if isinstance(error, OtherVersionError):
                self._note_version(error.theirs, now)
            return
        if established is not None:
            self._establish(established, now)
        elif self._attempts == 1:
            self._attempt_at = now  # with the cookie; should that not do either, patience

    def _note_version(self, theirs: int, now: float) -> None:
        """Say so at once, and then once a minute: each attempt brings an answer over each link."""
        if now >= self._version_noted_at + NOTE_SECONDS:
            self._version_noted_at = now
            self.tunnel.note(OtherVersion(self.tunnel.peer, theirs))

    def _establish(self, established: Established, now: float) -> None:
        tunnel = self.tunnel
        self._attempts = 0
        self._attempt_at = now
        self._heard_at = now
        session = Session(established.keys, now)
        tunnel.share.restart(self._offered)
        tunnel.establish(session, established.boot_id, established.next_bulk_seq, now)
        tunnel.agree_mtu(established.mtu, now)
