"""A transfer over QUIC: what browsers use more and more, and plain UDP to every tunnel."""

import contextlib
import importlib.util
from dataclasses import dataclass
from typing import Final

from bench.contenders import Way
from bench.programs import command, device_option
from bench.traffic import Program, TrafficError, next_port
from bench.workloads import Direction, Outcome

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
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(Program(way.server, send))
            server.wait_for_listener(port, "udp")
            client = stack.enter_context(Program(way.client, receive))
            said = client.document(seconds)
        if said["bytes"] == 0:
            raise TrafficError("nothing came over QUIC")
        whole = said["intervals"][: int(said["seconds"] / INTERVAL_SECONDS)]
        return Outcome(
            goodput_bits_per_second=said["bytes"] * 8 / said["seconds"],
            interval_seconds=INTERVAL_SECONDS,
            intervals=tuple(each * 8 / INTERVAL_SECONDS for each in whole),
        )
