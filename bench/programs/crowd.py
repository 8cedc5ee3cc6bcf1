"""Many idle clients of one server: wrrtun's core and a UDP socket for each, all in one process.

It takes the server's address, port and public key, a file with a private key in each line, and the
addresses that they are to have in turn: a server takes few handshakes a second from each.
It says "up" when all of them have a session, and goes on until it is ended.
"""

import heapq
import itertools
import random
import select
import sys
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from wrrtun.clocks import clock
from wrrtun.config import NO_PSK
from wrrtun.core.client import Client
from wrrtun.core.events import SessionUp
from wrrtun.core.initiator import Initiator
from wrrtun.core.offers import LinkOffer
from wrrtun.core.seal import Suite
from wrrtun.core.settings import UDP_IPV4_BYTES, TunnelSettings, tunnel_mtu
from wrrtun.keys import parse_key, parse_public_key
from wrrtun.linux.udp import ClientSocket
from wrrtun.loop import draw

# Between one's first handshake and the next one's: all at once are too many.
PAUSE_SECONDS: Final = 0.1
LINKS: Final = (LinkOffer(0, 1.0, 1.0, 0, 0),)


class Idler:
    """One client with nothing to send.

    Its clock is its own, as each machine's is: or all would do the same at the same moment.
    """

    def __init__(self, key: bytes, host: str, port: int, server_key: bytes, source: str) -> None:
        self.socket = ClientSocket((ip_address(host), port), source=ip_address(source))
        suite = Suite.AES_256_GCM
        initiator = Initiator(key, server_key, NO_PSK, suite=suite, boot_id=draw(16), random=draw)
        settings = TunnelSettings(tunnel_mtu(1500, ipv6=False))
        self._ahead = random.random()  # seconds, of this process's clock
        began = clock() + self._ahead
        self.client = Client(initiator, LINKS, settings, UDP_IPV4_BYTES, draw, time.time, began)
        self.deadline = 0.0
        self.up = False

    def read(self, buffer: memoryview, now: float) -> None:
        """Take all that has arrived."""
        while (received := self.socket.receive_into(buffer)) is not None:
            size, datagram_bytes = received
            self.client.receive(0, buffer[:size], datagram_bytes, now + self._ahead)

    def poll(self, now: float) -> None:
        """Do what is due."""
        output = self.client.poll(now + self._ahead)
        for transmit in output.transmits:
            self.socket.send(transmit.data, transmit.datagram_bytes)
        self.up = self.up or any(isinstance(event, SessionUp) for event in output.events)
        self.deadline = now + 1.0
        if output.deadline is not None:
            self.deadline = output.deadline - self._ahead


def run(idlers: list[Idler]) -> None:
    """Keep all of them alive."""
    buffer = memoryview(bytearray(1 << 16))
    poller = select.epoll()
    numbers = {idler.socket.fileno(): number for number, idler in enumerate(idlers)}
    for descriptor in numbers:
        poller.register(descriptor, select.EPOLLIN)
    began = clock()
    due = [(began + number * PAUSE_SECONDS, number) for number in range(len(idlers))]
    for at, number in due:
        idlers[number].deadline = at
    waiting = set(range(len(idlers)))
    while True:
        ready = poller.poll(max(0.0, due[0][0] - clock()))
        now = clock()
        touched = {numbers[descriptor] for descriptor, _events in ready}
        for number in touched:
            idlers[number].read(buffer, now)
        while due and due[0][0] <= now:
            at, number = heapq.heappop(due)
            if idlers[number].deadline == at:
                touched.add(number)
        for number in touched:
            idler = idlers[number]
            idler.poll(now)
            heapq.heappush(due, (idler.deadline, number))
            if idler.up and number in waiting:
                waiting.remove(number)
                if not waiting:
                    print("up", flush=True)


def main() -> None:
    """Read the arguments and run."""
    host, port, server_key, keys, *sources = sys.argv[1:]
    public = parse_public_key(server_key)
    private = [parse_key(line) for line in Path(keys).read_text().split()]
    run(
        [
            Idler(key, host, int(port), public, source)
            for key, source in zip(private, itertools.cycle(sources), strict=False)
        ]
    )


if __name__ == "__main__":
    main()
