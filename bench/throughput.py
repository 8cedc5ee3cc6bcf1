"""One TCP stream over an unshaped line, through wrrtun and through OpenVPN, turn by turn.

Nothing but the CPU limits the line, and the machine's cores carry both ends and the traffic, so
figures of different machines or moments do not compare: the ratio does. Needs root.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench import openvpn, tunnel
from bench.lab.topology import Lab, unshaped
from bench.processes import Process, ProcessError
from bench.traffic import Load, TrafficError, throughput


@dataclasses.dataclass(frozen=True)
class Contender:
    """A tunnel that is up: the server's address in it, and its two daemons."""

    name: str
    address: str
    daemons: tuple[Process, Process]


@dataclasses.dataclass
class Score:
    """What one contender did, run by run; resident bytes at the end of the last run, per daemon."""

    bits_per_second: list[float] = dataclasses.field(default_factory=list)
    cpu_ns_per_byte: list[float] = dataclasses.field(default_factory=list)
    retransmits: list[int] = dataclasses.field(default_factory=list)
    resident_bytes: tuple[int, ...] = ()

    def add(self, lab: Lab, contender: Contender, load: Load) -> None:
        """Run once more."""
        before = sum(daemon.cpu_seconds() for daemon in contender.daemons)
        seen = throughput(lab.client, lab.server, contender.address, load)
        spent = sum(daemon.cpu_seconds() for daemon in contender.daemons) - before
        self.bits_per_second.append(seen.bits_per_second)
        self.cpu_ns_per_byte.append(spent * 1e9 / (seen.bits_per_second / 8 * load.seconds))
        self.retransmits.append(seen.retransmits or 0)
        self.resident_bytes = tuple(daemon.resident_bytes() for daemon in contender.daemons)


def compare(seconds: float, runs: int, down: bool, streams: int) -> dict[str, Score]:
    """Measure both contenders `runs` times for `seconds`, alternating."""
    load = Load(seconds, down=down, streams=streams)
    with unshaped(1) as lab, contextlib.ExitStack() as stack:
        ours = stack.enter_context(
            tunnel.tunnel(lab, ["lineA:1"], client_options=("--cipher", "aes-256-gcm"))
        )
        theirs = stack.enter_context(openvpn.openvpn(lab))
        contenders = (
            Contender("wrrtun", tunnel.SERVER_INSIDE, (ours.client, ours.server)),
            Contender("OpenVPN", openvpn.SERVER_INSIDE, (theirs.client, theirs.server)),
        )
        scores = {contender.name: Score() for contender in contenders}
        for number in range(1, runs + 1):
            for contender in contenders:
                scores[contender.name].add(lab, contender, load)
                gigabits = scores[contender.name].bits_per_second[-1] / 1e9
                print(f"run {number}, {contender.name}: {gigabits:.2f} Gbit/s", flush=True)
    return scores


def ratio(scores: dict[str, Score]) -> float:
    """How many times OpenVPN's median throughput wrrtun has."""
    ours, theirs = (statistics.median(scores[name].bits_per_second) for name in scores)
    return ours / theirs


def show(scores: dict[str, Score]) -> Table:
    """Lay the scores out as a table."""
    table = Table()
    for column in ("", "Gbit/s, median", "all runs", "CPU-ns a byte", "retransmits", "RSS, MB"):
        table.add_column(column)
    for name, score in scores.items():
        table.add_row(
            name,
            f"{statistics.median(score.bits_per_second) / 1e9:.2f}",
            " ".join(f"{each / 1e9:.2f}" for each in sorted(score.bits_per_second)),
            f"{statistics.median(score.cpu_ns_per_byte):.1f}",
            " ".join(str(each) for each in score.retransmits),
            " ".join(f"{each / 1e6:.0f}" for each in score.resident_bytes),
        )
    return table


def main() -> None:
    """Read options, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m bench.throughput", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per run (default: 5)")
    parser.add_argument("--runs", type=int, default=5, help="of each contender (default: 5)")
    parser.add_argument("--direction", choices=("down", "up"), default="down")
    parser.add_argument("--streams", type=int, default=1, help="TCP streams (default: 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The comparison makes network namespaces: run it as root.")
    try:
        scores = compare(
            options.seconds, options.runs, options.direction == "down", options.streams
        )
    except (ProcessError, TrafficError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    Console().print(show(scores), f"wrrtun / OpenVPN: {ratio(scores):.2f}")
    if options.json is not None:
        document = {name: dataclasses.asdict(score) for name, score in scores.items()}
        options.json.write_text(json.dumps(document | {"ratio": ratio(scores)}, indent=2) + "\n")


if __name__ == "__main__":
    main()
