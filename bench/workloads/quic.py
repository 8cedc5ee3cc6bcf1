"""A transfer over QUIC: what browsers use more and more, and plain UDP to every tunnel."""

import importlib.util
from dataclasses import dataclass
from typing import Final

from bench.contenders import Way
from bench.programs import command, device_option
from bench.traffic import Program, TrafficError, listening, next_port
from bench.workloads import Direction, Outcome, transfer

INTERVAL_SECONDS: Final = 0.5


@dataclass(frozen=True)
class Quic:
    """A download by aioquic: one connection, which knows cubic and reno."""

    name: str = "quic"
    about: str = "a QUIC download (cubic)"
    direction: Direction = "down"
    pinged: bool = True
    congestion: str = "cubic"

    def available(self) -> str | None:
        return None if importlib.util.find_spec("aioquic") else "no Python package aioquic here"

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        port = next_port()
        where = (way.address, str(port))
        send = command("quic_end", "send", *where, "--congestion", self.congestion)
        words = ("--seconds", str(seconds), "--interval", str(INTERVAL_SECONDS))
        receive = command("quic_end", "receive", *where, *words, *device_option(way.device))
        with listening(way.server, send, port, "udp"), Program(way.client, receive) as client:
            said = client.document(seconds)
        if said["bytes"] == 0:
            raise TrafficError("nothing came over QUIC")
        return transfer(said["bytes"], said["seconds"], said["intervals"], INTERVAL_SECONDS)
