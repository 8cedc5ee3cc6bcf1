"""A flood of UDP datagrams of one size through wrrtun and through OpenVPN, turn by turn.

Counted is what reaches the far end's socket, which nobody reads: a program that did would take the
CPU from the tunnels. As with `throughput`, only the ratio means anything on another machine. Needs
root.
"""

import argparse
import os
import re
import socket
import statistics
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.lab.ending import Held
from bench.lab.namespace import Namespace
from bench.processes import ProcessError
from bench.rivals import Rival, rivals
from bench.traffic import TrafficError
from bench.traffic.program import Program

PORT: Final = 7777
BUFFER_BYTES: Final = 4608  # the least that a socket may have: soon full


@dataclass
class Score:
    """What one tunnel did, run by run."""

    packets_per_second: list[float] = field(default_factory=list)
    cpu_us_per_packet: list[float] = field(default_factory=list)


class Sink(Held):
    """A socket in a namespace that everything arrives at and nobody reads, until it is closed."""

    def __init__(self, namespace: Namespace, address: str) -> None:
        self._namespace = namespace
        with namespace.entered():
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        self._socket.bind((address, PORT))

    def dropped(self) -> int:
        """Return how many datagrams it had no room for."""
        with self._namespace.entered():
            table = Path("/proc/thread-self/net/udp").read_text()
        line = re.search(rf":{PORT:04X} .*", table)
        if line is None:
            raise TrafficError(f"nobody has port {PORT}")
        return int(line[0].split()[-1])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def measure(
    client: Namespace, server: Namespace, rival: Rival, size: int, seconds: float
) -> tuple[float, float]:
    """Flood once; return packets a second and the daemons' CPU microseconds for each."""
    argv = [sys.executable, "-m", "bench.programs.flood", rival.address, str(PORT)]
    with Sink(server, rival.address) as there:
        spent, began = rival.cpu_seconds(), time.monotonic()
        with Program(client, [*argv, str(size), str(seconds)]) as program:
            program.output(seconds)
        took, spent = time.monotonic() - began, rival.cpu_seconds() - spent
        count = there.dropped()
    return count / took, spent * 1e6 / max(count, 1)


def compare(size: int, seconds: float, runs: int) -> dict[str, Score]:
    """Flood both `runs` times for `seconds`, alternating."""
    scores: dict[str, Score] = {}
    with rivals() as (lab, both):
        for _ in range(runs):
            for rival in both:
                rate, cost = measure(lab.client, lab.server, rival, size, seconds)
                score = scores.setdefault(rival.name, Score())
                score.packets_per_second.append(rate)
                score.cpu_us_per_packet.append(cost)
    return scores


def show(scores: dict[str, Score]) -> Table:
    """Lay the scores out as a table."""
    table = Table("", "packets/s, median", "all runs", "CPU-us a packet")
    for name, score in scores.items():
        table.add_row(
            name,
            f"{statistics.median(score.packets_per_second):.0f}",
            " ".join(f"{each:.0f}" for each in sorted(score.packets_per_second)),
            f"{statistics.median(score.cpu_us_per_packet):.1f}",
        )
    return table


def main() -> None:
    """Read options, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--bytes", type=int, default=64, help="UDP payload (default: 64)")
    parser.add_argument("--seconds", type=float, default=3.0, help="per run (default: 3)")
    parser.add_argument("--runs", type=int, default=5, help="of each tunnel (default: 5)")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The comparison makes network namespaces: run it as root.")
    try:
        scores = compare(options.bytes, options.seconds, options.runs)
    except (ProcessError, TrafficError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    ours, theirs = (statistics.median(score.packets_per_second) for score in scores.values())
    Console().print(show(scores), f"wrrtun / OpenVPN: {ours / theirs:.2f}")


if __name__ == "__main__":
    main()
