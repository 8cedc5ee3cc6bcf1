"""Two ends of a tunnel, joined by simulated links under a virtual clock.

Everything that happens is an event in a heap; `now` moves from one to the next. All randomness
comes from one seed, so the same seed gives the same run, datagram for datagram.
"""

import dataclasses
import heapq
import math
import random
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.sim.lines import HEADER_BYTES, Line
from wrrtun.core.client import Client
from wrrtun.core.events import Event, LinkChanged, SessionUp
from wrrtun.core.headers import Buffer
from wrrtun.core.initiator import Initiator
from wrrtun.core.offers import LinkOffer, LinkRole
from wrrtun.core.output import Transmit
from wrrtun.core.paths import Path
from wrrtun.core.reads import Reads
from wrrtun.core.responder import PeerKey, Responder
from wrrtun.core.seal import Suite
from wrrtun.core.server import PathFacts, Server
from wrrtun.core.session import KeyLife
from wrrtun.core.settings import TunnelSettings
from wrrtun.core.slab import Slab
from wrrtun.core.tunnel import Tunnel
from wrrtun.core.vnet import VNET, VNET_PLAIN
from wrrtun.core.wire import MAX_BATCH_BYTES, MAX_BATCH_DATAGRAMS

PEER = "home"
MTU = 1434
Lines = list[tuple[Line, Line]]  # of each link: up, down


class Sent(NamedTuple):
    """A datagram as an end handed it to its socket."""

    at: float
    end: str
    path: Path
    datagram: bytes

    @property
    def kind(self) -> int:
        """Its type without the flags of frames."""
        kind = self.datagram[0] >> 4
        return kind if kind & 12 == 8 else kind & 3


class World:
    """A client and a server. Frames go in with `send`, and come out in `reads`."""

    def __init__(
        self,
        lines: Lines,
        rates: list[float] | None = None,
        seed: int = 1,
        life: KeyLife | None = None,
        suite: Suite = Suite.AES_256_GCM,
        server_ahead: float = 0.0,
        weights: list[float] | None = None,
        roles: dict[int, LinkRole] | None = None,
        copies: int = 1,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.suite = suite
        self.ahead = {"client": 0.0, "server": server_ahead}  # of `now`: each end's own clock
        self.wall_ahead = 0.0  # of the true date: the client's wall clock
        self.settings = TunnelSettings(MTU, life or KeyLife())
        self.lines = lines
        self.ports = [40_000 + number for number in range(len(lines))]
        weights = weights or [0.0 if rates else 1.0] * len(lines)
        rates = rates or [0.0] * len(lines)
        self.copies = copies
        self.offers = tuple(
            LinkOffer(number, weight or rate / 1e6, weight or rate / 1e6, int(rate), int(rate))
            for number, (rate, weight) in enumerate(zip(rates, weights, strict=True))
        )
        for number, role in (roles or {}).items():
            changed = dataclasses.replace(self.offers[number], role=role)
            self.offers = (*self.offers[:number], changed, *self.offers[number + 1 :])
        self._tap = Reads()
        self.reads: dict[str, list[bytes]] = {"client": [], "server": []}
        self.read_at: dict[str, list[float]] = {"client": [], "server": []}
        self.submitted_at: dict[str, dict[int, float]] = {"client": {}, "server": {}}
        self.events: list[tuple[str, Event]] = []
        self._listeners: dict[tuple[str, int], Callable[[list[Buffer]], None]] = {}
        self._slab = Slab()
        self.sent: list[Sent] | None = None  # set it to [] to keep what both ends send
        self.strays: list[Sent] = []  # what the server sent to where the client is not
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._timer = {"client": math.inf, "server": math.inf}
        self._stalled_until = {"client": 0.0, "server": 0.0}
        self.client_key, self.server_key, self.psk = (self.random.randbytes(32) for _ in range(3))
        self.server = self.make_server()
        self.client = self.make_client()

    def make_client(self) -> Client:
        """Make a client with a boot id of its own: at first, or when the last one is lost."""
        initiator = Initiator(
            self.client_key,
            public(self.server_key),
            self.psk,
            suite=self.suite,
            boot_id=self.random.randbytes(16),
            random=self.random.randbytes,
        )
        self.at(self.now, self.poll)
        return Client(
            initiator,
            self.offers,
            self.settings,
            HEADER_BYTES,
            self.random.randbytes,
            lambda: 1.7e9 + self.now + self.wall_ahead,
            self.now,
            self.copies,
        )

    def make_server(self) -> Server:
        """Make a server with a boot id of its own: at first, or when the last one is lost."""
        peers = {public(self.client_key): PeerKey(PEER, self.psk)}
        boot_id, draw = self.random.randbytes(16), self.random.randbytes
        responder = Responder(self.server_key, boot_id, peers, draw)
        now = self.now + self.ahead["server"]
        return Server(responder, {PEER: self.settings}, describe, draw, now)

    def tunnel(self, end: str) -> Tunnel:
        """Return one end's tunnel."""
        return self.client.tunnel if end == "client" else self.server.tunnels[PEER]

    # Time

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._queue, (when, self._count, what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            when, _, what = heapq.heappop(self._queue)
            self.now = max(self.now, when)
            what()
        self.now = end

    def poll(self, end: str | None = None) -> None:
        """Let one end, or both, do what is due, and arm the timers."""
        if end != "server":
            self._poll_client()
        if end != "client":
            self._poll_server()

    def _poll_client(self) -> None:
        output = self.client.poll(self.now)
        self._collect("client", output.frames, output.events)
        for transmit in output.transmits:
            self._carry("client", transmit)
        self._arm("client", output.deadline)

    def _poll_server(self) -> None:
        result = self.server.poll(self.now + self.ahead["server"])
        for _, one in result.outputs:
            self._collect("server", one.frames, one.events)
        for transmit in result.transmits:
            self._carry("server", transmit)
        if result.deadline is not None:
            self._arm("server", result.deadline - self.ahead["server"])

    def _arm(self, end: str, deadline: float | None) -> None:
        if deadline is None or deadline >= self._timer[end]:
            return
        self._timer[end] = deadline
        # A loop's timers tick in milliseconds and fire late.
        when = max(deadline, self.now) + self.random.uniform(0, 0.001)
        self.at(when, partial(self._fire, end, deadline))

    def stall(self, end: str, seconds: float) -> None:
        """Keep one end's process from running; what comes meanwhile waits in the kernel."""
        self._stalled_until[end] = self.now + seconds

    def _fire(self, end: str, deadline: float) -> None:
        if self.now < self._stalled_until[end]:
            self.at(self._stalled_until[end], partial(self._fire, end, deadline))
        elif self._timer[end] == deadline:
            self._timer[end] = math.inf
            self.poll(end)

    # Frames

    def send(self, end: str, number: int, size: int = 1400, *, express: bool = False) -> None:
        """Give one end's TAP a frame that carries `number`."""
        self.submitted_at[end][number] = self.now
        self.submit(end, VNET_PLAIN + (arp(number) if express else frame(number, size)))

    def submit(self, end: str, *reads: bytes) -> None:
        """Give one end what one wake-up reads. Its memory is used again at once, as in a real loop.

        At most 64 reads.
        """
        if self.now < self._stalled_until[end]:
            self.at(self._stalled_until[end], partial(self.submit, end, *reads))
            return
        for read in reads:
            self._tap.add(read)
        if end == "client":
            self.client.submit(self._tap, self.now)
        else:
            self.server.submit(PEER, self._tap, self.now + self.ahead["server"])
        self.poll(end)
        for index in range(len(self._tap)):
            used = self._tap.read(index)
            used[:] = bytes(len(used))
        self._tap.clear()

    def stream(
        self, end: str, numbers: range, interval: float, size: int = 1400, *, express: bool = False
    ) -> None:
        """Send numbered frames at a steady pace, starting now; run() lets it happen."""
        for step, number in enumerate(numbers):
            self.at(
                self.now + step * interval, partial(self.send, end, number, size, express=express)
            )

    def numbers(self, end: str) -> list[int]:
        """Return the numbers of the frames that one end's TAP was given, in order."""
        return [number_of(read) for read in self.reads[end]]

    def listen(self, end: str, port: int, take: Callable[[list[Buffer]], None]) -> None:
        """Have `take` called with what one end's TAP is given for a TCP port, instead of `reads`.

        It must not submit anything before it returns.
        """
        self._listeners[end, port] = take

    def _collect(self, end: str, vectors: list[list[Buffer]], events: list[Event]) -> None:
        self.events += [(end, event) for event in events]
        for vector in vectors:
            if self._listeners:
                take = self._listeners.get((end, tcp_port(vector)))
                if take is not None:
                    take(vector)
                    continue
            self.reads[end].append(b"".join(vector))
            self.read_at[end].append(self.now)

    # Datagrams

    def inject(
        self, end: str, datagram: bytes, path: int, size: int = 0, came: float | None = None
    ) -> None:
        """Hand one end a datagram (or a batch of `size`) out of nowhere.

        `path` is the link's number at the client, and the sender's port at the server.
        """
        came = self.now if came is None else came
        if self.now < self._stalled_until[end]:
            later = partial(self.inject, end, datagram, path, size, came)
            self.at(self._stalled_until[end], later)
            return
        waited = self.now - came
        data = self._slab.view[: len(datagram)]
        data[:] = datagram
        now = self.now + self.ahead[end]
        if end == "client":
            self.client.receive(path, data, size or len(data), now, self._slab, waited)
        else:
            self.server.receive(path, data, size or len(data), now, self._slab, waited)
        data[:] = bytes(len(data))  # the next receive call uses the same memory
        self.poll(end)

    def drops(self, end: str) -> dict[str, int]:
        """Return one end's drops by reason."""
        counts = dict(self.tunnel(end).counters.drops())
        if end == "server":
            for reason, count in self.server.counters.drops().items():
                counts[reason] = counts.get(reason, 0) + count
        return counts

    def _carry(self, end: str, transmit: Transmit) -> None:
        """Put a batch on a line; what arrives at one time is received in one go, as by UDP_GRO."""
        data, step = bytes(transmit.data), transmit.datagram_bytes
        assert len(data) <= MAX_BATCH_BYTES
        assert len(data) <= step * MAX_BATCH_DATAGRAMS
        arriving: dict[float, list[bytes]] = {}
        number, port = self._line_of(end, transmit)
        for start in range(0, len(data), step):
            sent = Sent(self.now, end, transmit.path, data[start : start + step])
            if self.sent is not None:
                self.sent.append(sent)
            if number is None:
                self.strays.append(sent)
                continue
            line = self.lines[number][end == "server"]
            for when in line.carry(sent.datagram, self.now, self.random):
                arriving.setdefault(when, []).append(sent.datagram)
        receiver, path = ("server", port) if end == "client" else ("client", number or 0)
        for when, datagrams in arriving.items():
            batch = b"".join(datagrams)
            self.at(when, partial(self.inject, receiver, batch, path, len(datagrams[0])))

    def _line_of(self, end: str, transmit: Transmit) -> tuple[int | None, int]:
        """Return the link that a batch travels on, and the client's port as it is now."""
        if end == "client":
            return transmit.link, self.ports[transmit.link]
        port = int(str(transmit.path))
        return (self.ports.index(port) if port in self.ports else None), port

    # What happened

    def changes(self, end: str, link: int) -> list[str]:
        """Return the states that one end's link went to, in order."""
        return [
            event.after
            for where, event in self.events
            if where == end and isinstance(event, LinkChanged) and event.link == link
        ]

    def state(self, end: str, link: int) -> str:
        """Return the state of a link at one end."""
        member = self.tunnel(end).bond.get(link)
        return member.link.state.value if member else "unknown"

    def sessions(self, end: str) -> int:
        """Count the sessions that came up at one end."""
        return sum(where == end and isinstance(event, SessionUp) for where, event in self.events)


def frame(number: int, size: int = 1400) -> bytes:
    """Make a frame of an experimental EtherType (IEEE 802, 9.2.3): nothing knows it, so bulk."""
    return (b"\x02" * 12 + b"\x88\xb5" + number.to_bytes(8)).ljust(size, b"\xaa")


def arp(number: int) -> bytes:
    """Make a small frame that goes express."""
    return (b"\x02" * 12 + b"\x08\x06" + number.to_bytes(8)).ljust(60, b"\0")


def number_of(read: bytes) -> int:
    """Return the number in a frame as it is written to the TAP."""
    return int.from_bytes(read[VNET.size + 14 : VNET.size + 22])


def tcp_port(vector: list[Buffer]) -> int:
    """Return the port that a frame is for, if it is TCP over IPv4; else 0."""
    head = vector[0] if len(vector[0]) > VNET.size else VNET_PLAIN + bytes(vector[1][:64])
    if head[VNET.size + 12 : VNET.size + 14] != b"\x08\x00" or head[VNET.size + 23] != 6:
        return 0
    return int.from_bytes(head[VNET.size + 36 : VNET.size + 38])


def describe(path: Path) -> PathFacts:
    """Tell the server of a path as the shell would; a path is a port here."""
    return PathFacts(bytes(4) + int(str(path)).to_bytes(2), HEADER_BYTES)


def public(private_key: bytes) -> bytes:
    """Return the public key that belongs to a private one."""
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
