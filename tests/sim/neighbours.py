"""Two clients behind one server; what is sent arrives within the same tick of 10 ms."""

import random
from functools import partial

from tests.sim.lines import HEADER_BYTES
from tests.sim.world import MTU, describe, frame, number_of, public
from wrrtun.core.client import Client
from wrrtun.core.events import Event
from wrrtun.core.initiator import Initiator
from wrrtun.core.offers import LinkOffer
from wrrtun.core.output import Output
from wrrtun.core.reads import Reads
from wrrtun.core.responder import PeerKey, Responder
from wrrtun.core.seal import Suite
from wrrtun.core.server import Server
from wrrtun.core.settings import TunnelSettings
from wrrtun.core.vnet import VNET_PLAIN

TICK = 0.010
PORTS = {"north": 41_000, "south": 42_000}


class Neighbours:
    """`received` says what came out of each TAP: of a client by its name, or of the server's."""

    def __init__(self, seed: int = 1, *, one_key: bool = False) -> None:
        self._draw = random.Random(seed).randbytes
        self.now = 1000.0
        self.received: dict[tuple[str, str], list[int]] = {}
        self.to_server: list[tuple[str, bytes]] = []  # who sent it, all there was
        self.to_clients: list[tuple[str, bytes]] = []
        server_key, psk = self._draw(32), self._draw(32)
        keys = {name: self._draw(32) for name in PORTS}
        if one_key:  # the server knows one client only, under the last name
            keys = dict.fromkeys(PORTS, keys["north"])
        self.peers = {public(key): PeerKey(name, psk) for name, key in keys.items()}
        self.settings = settings = TunnelSettings(MTU)
        self.responder = Responder(server_key, self._draw(16), self.peers, self._draw)
        known = {peer.name: settings for peer in self.peers.values()}
        self.server = Server(self.responder, known, describe, self._draw, self.now)
        self.events: list[Event] = []  # of no peer
        self.clients = {
            name: self._make_client(key, public(server_key), psk, settings)
            for name, key in keys.items()
        }

    def _make_client(
        self, key: bytes, server_key: bytes, psk: bytes, settings: TunnelSettings
    ) -> Client:
        initiator = Initiator(
            key,
            server_key,
            psk,
            suite=Suite.AES_256_GCM,
            boot_id=self._draw(16),
            random=self._draw,
        )
        links = (LinkOffer(0, 1.0, 1.0, 0, 0),)
        wall_clock = partial(float, 1.7e9)
        return Client(initiator, links, settings, HEADER_BYTES, self._draw, wall_clock, self.now)

    def run(self, ticks: int) -> None:
        """Let time pass and everything arrive."""
        for _ in range(ticks):
            self.now += TICK
            for name, client in self.clients.items():
                output = client.poll(self.now)
                self._collect("client", name, output)
                for transmit in output.transmits:
                    data = bytes(transmit.data)
                    self.to_server.append((name, data))
                    view = memoryview(data)
                    self.server.receive(PORTS[name], view, transmit.datagram_bytes, self.now)
            result = self.server.poll(self.now)
            self.events += result.events
            for name, output in result.outputs:
                self._collect("server", name, output)
            for transmit in result.transmits:
                name = next(name for name, port in PORTS.items() if port == transmit.path)
                data = bytes(transmit.data)
                self.to_clients.append((name, data))
                self.clients[name].receive(0, memoryview(data), transmit.datagram_bytes, self.now)

    def send(self, end: str, name: str, number: int) -> None:
        """Give a frame to a client's TAP, or to the server's TAP of that client."""
        read = Reads()
        read.add(VNET_PLAIN + frame(number, 200))
        if end == "client":
            self.clients[name].submit(read, self.now)
        else:
            self.server.submit(name, read, self.now)

    def _collect(self, end: str, name: str, output: Output) -> None:
        got = self.received.setdefault((end, name), [])
        got += [number_of(b"".join(vector)) for vector in output.frames]
