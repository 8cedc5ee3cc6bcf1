"""A server with many sessions that are idle: what they cost it, and what they cost one that is not.

The crowd is real: each idle client is wrrtun's core with a UDP socket of its own, all of them in
one process. The server is the daemon, with a TAP for each.
"""

import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, unshaped
from bench.processes import Process
from bench.programs import command
from bench.traffic import Load, throughput
from bench.tunnel import PORT, SERVER_INSIDE, Tunnel, tunnel
from wrrtun.keys import encode_key, generate_key, parse_key, public_key_of

READY_SECONDS: Final = 240.0
SETTLE_SECONDS: Final = 15.0  # after the last handshake: until all are quiet
POLL_SECONDS: Final = 0.2
STOP_SECONDS: Final = 90.0
SOURCES: Final = tuple(f"10.1.1.{host}" for host in range(100, 150))  # on the first line


@dataclass(frozen=True)
class Served:
    """What a server did: shares of a core, bytes, bits a second of one busy client, run by run."""

    idle_core_share: float
    resident_bytes: int
    alone_bits_per_second: list[float]  # while none of the others had a session
    crowded_bits_per_second: list[float]


def measure(count: int, seconds: float, runs: int) -> Served:
    """Have a crowd of `count`; each run of the busy client lasts `seconds`."""
    keys = [generate_key() for _ in range(count)]
    peers = [
        word
        for number, key in enumerate(keys)
        for word in ("--peer", f"idle{number}={encode_key(public_key_of(parse_key(key)))}")
    ]
    load = Load(seconds)
    ready = READY_SECONDS
    with (
        unshaped(1) as lab,
        tunnel(lab, ["lineA"], server_options=peers, ready_seconds=ready) as ends,
    ):

        def busy() -> list[float]:
            return [
                throughput(lab.client, lab.server, SERVER_INSIDE, load).bits_per_second
                for _ in range(runs)
            ]

        ends.server.stop_seconds = STOP_SECONDS  # the kernel takes its time over each TAP
        alone = busy()
        with _crowd(lab.client, keys, ends):
            time.sleep(SETTLE_SECONDS)
            before = ends.server.cpu_seconds()
            time.sleep(2 * seconds)
            share = (ends.server.cpu_seconds() - before) / (2 * seconds)
            resident = ends.server.resident_bytes()
            return Served(share, resident, alone, busy())


@contextlib.contextmanager
def _crowd(namespace: Namespace, keys: list[str], ends: Tunnel) -> Iterator[Process]:
    """Run the crowd, all of them with a session; ProcessError when that takes too long."""
    with tempfile.TemporaryDirectory(prefix="crowd-") as name:
        file = Path(name, "keys")
        file.touch(mode=0o600)
        file.write_text("\n".join(keys))
        line = namespace.index("lineA")
        for source in SOURCES:
            namespace.iproute.addr("add", index=line, address=source, prefixlen=32)
        argv = command("crowd", SERVER_ADDRESS, str(PORT), ends.server_key, str(file), *SOURCES)
        with Process(namespace, argv, Path(name, "log")) as crowd:
            ready = functools.partial(_is_up, crowd)
            crowd.wait_until(ready, "up", READY_SECONDS, POLL_SECONDS)
            yield crowd


def _is_up(crowd: Process) -> bool:
    return crowd.output().startswith("up")
