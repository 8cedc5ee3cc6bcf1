"""Two ends of a tunnel, joined by simulated links under a virtual clock.

Everything that happens is an event in a heap; `now` moves from one to the next. All randomness
comes from one seed, so the same seed gives the same run, datagram for datagram.
"""

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from wrrtun.core.client import Client
from wrrtun.core.events import Event
from wrrtun.core.headers import Buffer
from wrrtun.core.initiator import Initiator
from wrrtun.core.messages import LinkOffer
from wrrtun.core.outbound import Transmit
from wrrtun.core.responder import PeerKey, Responder
from wrrtun.core.seal import Suite
from wrrtun.core.segment import VNET_PLAIN
from wrrtun.core.server import PathFacts, Server
from wrrtun.core.session import KeyLife
from wrrtun.core.tunnel import TunnelSettings

PEER = "home"
MTU = 1434
HEADER_BYTES = 28


@dataclass
class Line:
    """One direction of one emulated ISP line. `rate` in bits/s of IP packets; None: unshaped."""

    delay: float = 0.010
    rate: float | None = None
    buffer_seconds: float = 0.2
    jitter: float = 0.0  # keeps order
    reorder: float = 0.0  # a fraction that comes up to 5 ms later than those behind it
    loss: float = 0.0
    duplicate: float = 0.0
    cut: bool = False


@dataclass
class Wire:
    """A line, and what it is doing."""

    line: Line
    free_at: float = 0.0
    last_arrival: float = 0.0
    sent: int = 0
    delivered: int = 0
    dropped: int = 0
    log: list[tuple[float, bytes]] = field(default_factory=list)


class World:
    """A client and a server. Frames go in with `send`, and come out in `received`."""

    def __init__(
        self,
        lines: list[tuple[Line, Line]],
        rates: list[float | None] | None = None,
        weights: list[float] | None = None,
        seed: int = 1,
        life: KeyLife | None = None,
        suite: Suite = Suite.AES_256_GCM,
        keep_log: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.now = 1000.0
        self.suite = suite
        self.settings = TunnelSettings(MTU, life or KeyLife())
        self.up = [Wire(up) for up, _ in lines]
        self.down = [Wire(down) for _, down in lines]
        self.keep_log = keep_log
        self.ports = [40_000 + number for number in range(len(lines))]
        given = rates or [None] * len(lines)
        shares = weights or [(rate or 1e6) / 1e6 for rate in given]
        self.offers = tuple(
            LinkOffer(number, share, share, int(rate or 0), int(rate or 0))
            for number, (rate, share) in enumerate(zip(given, shares, strict=True))
        )
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._timer_at = {"client": math.inf, "server": math.inf}
        self.received: dict[str, list[bytes]] = {"client": [], "server": []}
        self.arrivals: dict[str, list[float]] = {"client": [], "server": []}
        self.events: list[tuple[str, Event]] = []
        self.client_key = self.random.randbytes(32)
        self.server_key = self.random.randbytes(32)
        self.psk = self.random.randbytes(32)
        self.server = self.make_server()
        self.client = self.make_client()

    def make_client(self) -> Client:
        """Start a client: at first, or again after it was lost."""
        initiator = Initiator(
            self.client_key,
            _public(self.server_key),
            self.psk,
            suite=self.suite,
            boot_id=self.random.randbytes(16),
            random=self.random.randbytes,
        )
        client = Client(
            initiator,
            self.offers,
            self.settings,
            HEADER_BYTES,
            self.random.randbytes,
            lambda: 1.7e9 + self.now,
            self.now,
        )
        self.at(self.now, self.poll)
        return client

    def make_server(self) -> Server:
        """Start a server: at first, or again after it was lost."""
        peers = {_public(self.client_key): PeerKey(PEER, self.psk)}
        responder = Responder(
            self.server_key, self.random.randbytes(16), peers, self.random.randbytes
        )
        return Server(responder, {PEER: self.settings}, _describe, self.random.randbytes, self.now)

    # Time

    def at(self, when: float, what: Callable[[], None]) -> None:
        """Have something happen."""
        self._count += 1
        heapq.heappush(self._events, (when, self._count, what))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.now = end

    def poll(self) -> None:
        """Let both ends do what is due, and arm their timers."""
        output = self.client.poll(self.now)
        self._collect("client", output.frames)
        self.events += [("client", event) for event in output.events]
        for transmit in output.transmits:
            self._carry(transmit, self.up[transmit.link], self._to_server(transmit.link))
        self._arm("client", output.deadline)
        result = self.server.poll(self.now)
        for _, one in result.outputs:
            self._collect("server", one.frames)
            self.events += [("server", event) for event in one.events]
        for transmit in result.transmits:
            port = transmit.path
            if port in self.ports:
                number = self.ports.index(port)  # type: ignore[arg-type]
                self._carry(transmit, self.down[number], self._to_client(number))
        self._arm("server", result.deadline)

    def _arm(self, end: str, deadline: float | None) -> None:
        if deadline is None or deadline >= self._timer_at[end]:
            return
        # A loop's timers tick in milliseconds and fire late.
        when = max(deadline, self.now) + self.random.uniform(0, 0.001)
        self._timer_at[end] = when
        self.at(when, lambda: self._fire(end, when))

    def _fire(self, end: str, when: float) -> None:
        if self._timer_at[end] == when:
            self._timer_at[end] = math.inf
            self.poll()

    # Frames

    def send(self, end: str, number: int, size: int = 1400) -> None:
        """Give one end's TAP a bulk frame that carries `number`."""
        self.submit(end, VNET_PLAIN + frame(number, size))

    def submit(self, end: str, read: bytes) -> None:
        """Give one end a TAP read."""
        if end == "client":
            self.client.submit(bytearray(read), self.now)
        else:
            self.server.submit(PEER, bytearray(read), self.now)
        self.poll()

    def stream(self, end: str, count: int, interval: float, size: int = 1400) -> None:
        """Send numbered frames at a steady pace, starting now."""
        for number in range(count):
            self.at(self.now + number * interval, lambda n=number: self.send(end, n, size))

    def numbers(self, end: str) -> list[int]:
        """Return the numbers of the frames that one end's TAP was given, in order."""
        return [int.from_bytes(got[14:22]) for got in self.received[end]]

    def _collect(self, end: str, vectors: list[list[Buffer]]) -> None:
        for vector in vectors:
            self.received[end].append(b"".join(bytes(part) for part in vector)[10:])
            self.arrivals[end].append(self.now)

    # The network

    def _carry(self, transmit: Transmit, wire: Wire, deliver: Callable[[bytes], None]) -> None:
        data, step = bytes(transmit.data), transmit.datagram_bytes
        for start in range(0, len(data), step):
            self._pass(data[start : start + step], wire, deliver)

    def _pass(self, datagram: bytes, wire: Wire, deliver: Callable[[bytes], None]) -> None:
        line, rng = wire.line, self.random
        wire.sent += 1
        if self.keep_log:
            wire.log.append((self.now, datagram))
        if line.cut or rng.random() < line.loss:
            wire.dropped += 1
            return
        leaves = self.now
        if line.rate is not None:
            leaves = max(self.now, wire.free_at)
            if leaves - self.now > line.buffer_seconds:
                wire.dropped += 1
                return
            leaves += (len(datagram) + HEADER_BYTES) * 8 / line.rate
            wire.free_at = leaves
        arrives = leaves + line.delay + rng.uniform(-line.jitter, line.jitter)
        if line.reorder and rng.random() < line.reorder:
            arrives += rng.uniform(0, 0.005)
        else:
            arrives = wire.last_arrival = max(arrives, wire.last_arrival)
        copies = 2 if rng.random() < line.duplicate else 1
        for copy in range(copies):
            wire.delivered += 1
            self.at(arrives + copy * 0.0001, lambda: deliver(datagram))

    def _to_server(self, link: int) -> Callable[[bytes], None]:
        port = self.ports[link]

        def deliver(datagram: bytes) -> None:
            self.server.receive(port, memoryview(datagram), len(datagram), self.now)
            self.poll()

        return deliver

    def _to_client(self, link: int) -> Callable[[bytes], None]:
        def deliver(datagram: bytes) -> None:
            self.client.receive(link, memoryview(datagram), len(datagram), self.now)
            self.poll()

        return deliver


def frame(number: int, size: int = 1400) -> bytes:
    """Make a frame of an experimental EtherType (IEEE 802, 9.2.3): nothing knows it, so bulk."""
    return (b"\x02" * 12 + b"\x88\xb5" + number.to_bytes(8)).ljust(size, b"\xaa")


def _describe(path: object) -> PathFacts:
    assert isinstance(path, int)
    return PathFacts(bytes(4) + path.to_bytes(2), HEADER_BYTES)


def _public(private_key: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()
