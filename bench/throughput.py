"""One TCP stream over an unshaped line, through wrrtun and through OpenVPN, turn by turn.

Nothing but the CPU limits the line, and the machine's cores carry both ends and the traffic, so
figures of different machines or moments do not compare: the ratio does. Needs root.
"""

import argparse
import dataclasses
import json
import os
import statistics
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.lab.topology import Lab
from bench.processes import ProcessError
from bench.rivals import Rival, rivals
from bench.traffic import Load, TrafficError, start_load

MOST_STREAMS = 128


@dataclasses.dataclass
class Score:
    """What one contender did, run by run; resident bytes at the end of the last run, per daemon."""

    bits_per_second: list[float] = dataclasses.field(default_factory=list)
    cpu_ns_per_byte: list[float] = dataclasses.field(default_factory=list)
    retransmits: list[int] = dataclasses.field(default_factory=list)
    resident_bytes: tuple[int, ...] = ()

    def add(self, lab: Lab, rival: Rival, load: Load) -> None:
        """Run once more; of both directions at once, the sum counts."""
        # One iperf3 has MOST_STREAMS at most.
        parts = -(-load.streams // MOST_STREAMS)
        part = dataclasses.replace(load, streams=load.streams // parts)
        before = rival.cpu_seconds()
        running = [start_load(lab.client, lab.server, rival.address, part) for _ in range(parts)]
        seen = [one.result() for one in running]
        spent = rival.cpu_seconds() - before
        directions = [*seen, *(one.other for one in seen if one.other)]
        rate = sum(one.bits_per_second for one in directions)
        self.bits_per_second.append(rate)
        self.cpu_ns_per_byte.append(spent * 1e9 / (rate / 8 * load.seconds))
        self.retransmits.append(sum(one.retransmits or 0 for one in seen))
        self.resident_bytes = tuple(daemon.resident_bytes() for daemon in rival.daemons)


def compare(load: Load, runs: int, lines: int, given: str, cipher: str) -> dict[str, Score]:
    """Measure both `runs` times, alternating; wrrtun as `rivals` sets it up."""
    scores: dict[str, Score] = {}
    with rivals(lines, given, cipher) as (lab, both):
        for number in range(1, runs + 1):
            for rival in both:
                score = scores.setdefault(rival.name, Score())
                score.add(lab, rival, load)
                gigabits = score.bits_per_second[-1] / 1e9
                print(f"run {number}, {rival.name}: {gigabits:.2f} Gbit/s", flush=True)
    return scores


def ratio(scores: dict[str, Score]) -> float:
    """How many times OpenVPN's median throughput wrrtun has."""
    ours, theirs = (statistics.median(scores[name].bits_per_second) for name in scores)
    return ours / theirs


def show(scores: dict[str, Score]) -> Table:
    """Lay the scores out as a table."""
    columns = ("", "Gbit/s, median", "all runs", "CPU-ns a byte", "retransmits", "RSS, MB")
    table = Table(*columns)
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
    parser.add_argument("--direction", choices=("down", "up", "both"), default="down")
    parser.add_argument("--streams", type=int, default=1, help="TCP streams (default: 1)")
    parser.add_argument("--lines", type=int, default=1, help="of wrrtun, 1 to 8 (default: 1)")
    parser.add_argument(
        "--given", default="1", help="of each line: a weight, or a rate such as 5gbit (default: 1)"
    )
    parser.add_argument(
        "--cipher", choices=("aes-256-gcm", "chacha20-poly1305"), default="aes-256-gcm"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores there too")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("The comparison makes network namespaces: run it as root.")
    try:
        load = Load(
            options.seconds,
            down=options.direction != "up",
            both=options.direction == "both",
            streams=options.streams,
        )
        scores = compare(load, options.runs, options.lines, options.given, options.cipher)
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
