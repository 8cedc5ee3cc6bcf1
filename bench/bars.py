"""The bars of the data path, each of one run: ours against OpenVPN, or against less of the same.

    python -m bench.bars                    # all of them, a quarter of an hour
    python -m bench.bars one idle --runs 3  # some

Both tunnels are up at once and take turns, so what else the machine does, it does to both. A ratio
is of medians; in parentheses stand the least and the most ratio of single turns. Needs root.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Final

from rich.console import Console
from rich.table import Table

from bench import crowd, flood, slow_core, throughput
from bench.lab.topology import SERVER_ADDRESS
from bench.processes import ProcessError
from bench.rivals import rivals
from bench.traffic import Load, TrafficError, ping

GIVEN: Final = "5gbit"
PING_SECONDS: Final = 0.02
IDLE_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 15.0  # until an idle tunnel is quiet
CROWD: Final = 1000
SLOW_SHARE: Final = 0.25


@dataclass(frozen=True)
class Turns:
    """How often to measure, and for how long, in seconds."""

    runs: int
    seconds: float


@dataclass(frozen=True)
class Bar:
    """One line of the table; `wanted` as the bar says it, "" for what has none."""

    name: str
    wanted: str
    found: str
    ours: str = ""
    theirs: str = ""


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> str:
    """Write a ratio of medians, and the least and most of single turns."""
    each = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    return f"{median(ours) / median(theirs):.2f} ({each[0]:.2f} to {each[-1]:.2f})"


def _range(values: Sequence[float], scale: float, unit: str, digits: int = 2) -> str:
    """Write a median with the least and the most."""
    low, middle, high = (each / scale for each in (min(values), median(values), max(values)))
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f} to {high:.{digits}f})"


def _against(
    name: str,
    wanted: str,
    turns: Turns,
    *,
    streams: int = 1,
    both: bool = False,
    given: str = "1",
    cpu: str = "",
) -> Iterator[Bar]:
    """TCP over two wires, against OpenVPN over one; `cpu`: what is wanted of the CPU time."""
    load = Load(turns.seconds, streams=streams, both=both)
    ours, theirs = throughput.compare(load, turns.runs, 2, given, "aes-256-gcm").values()
    rates = [score.bits_per_second for score in (ours, theirs)]
    yield Bar(name, wanted, _ratio(*rates), *(_range(one, 1e9, "Gbit/s") for one in rates))
    if cpu:
        costs = [score.cpu_ns_per_byte for score in (ours, theirs)]
        said = [_range(one, 1.0, "ns", 1) for one in costs]
        yield Bar("CPU time of a byte, both ends", cpu, _ratio(*costs), *said)


def _datagrams(size: int, wanted: str, turns: Turns) -> Iterator[Bar]:
    """A flood of UDP."""
    scores = flood.compare(size, turns.seconds, turns.runs).values()
    rates = [score.packets_per_second for score in scores]
    said = [_range(one, 1e3, "k/s", 1) for one in rates]
    yield Bar(f"UDP of {size} bytes", wanted, _ratio(*rates), *said)


def _ping(turns: Turns) -> Iterator[Bar]:
    """A lone ping, through the tunnel and beside it."""
    with rivals(2) as (lab, (ours, theirs)):
        addresses = (SERVER_ADDRESS, ours.address, theirs.address)
        trips: list[list[float]] = [[], [], []]
        for _ in range(turns.runs):
            for address, found in zip(addresses, trips, strict=True):
                pings = ping(lab.client, address, turns.seconds, PING_SECONDS)
                found.append(pings.percentile_seconds(0.5))
    bare = median(trips[0])
    added = [[trip - bare for trip in found] for found in trips[1:]]
    said = [_range(one, 1e-6, "us", 0) for one in added]
    yield Bar("round trip added to a lone ping", "<= 150 us", said[0], *said)


def _idle(turns: Turns) -> Iterator[Bar]:
    """Two daemons with two links and nothing to do."""
    del turns
    with rivals(2) as (_lab, (ours, theirs)):
        time.sleep(SETTLE_SECONDS)
        tunnels = (ours, theirs)
        before = [[daemon.cpu_seconds() for daemon in one.daemons] for one in tunnels]
        time.sleep(IDLE_SECONDS)
        shares, sizes = [], []
        for one, spent in zip(tunnels, before, strict=True):
            each = zip(one.daemons, spent, strict=True)
            shares.append(max((d.cpu_seconds() - b) / IDLE_SECONDS for d, b in each))
            sizes.append(max(daemon.resident_bytes() for daemon in one.daemons))
    yield Bar("an idle daemon's share of a core", "<= 0.5 %", *(f"{one:.2%}" for one in shares))
    yield Bar(
        "an idle daemon's memory (RSS)", "<= 60 MB", *(f"{one / 1e6:.1f} MB" for one in sizes)
    )


def _crowd(turns: Turns) -> Iterator[Bar]:
    """A server with a thousand idle sessions."""
    seen = crowd.measure(CROWD, turns.seconds, turns.runs)
    yield Bar(f"{CROWD} idle sessions: share of a core", "<= 5 %", f"{seen.idle_core_share:.1%}")
    size = f"{seen.resident_bytes / 1e6:.0f} MB"
    yield Bar(f"{CROWD} idle sessions: memory (RSS)", "<= 300 MB", size)
    alone, crowded = seen.alone_bits_per_second, seen.crowded_bits_per_second
    yield Bar(
        "a busy client beside them, against alone",
        ">= 0.8",
        f"{median(crowded) / median(alone):.2f}",
        _range(crowded, 1e9, "Gbit/s"),
        _range(alone, 1e9, "Gbit/s"),
    )


def _flows(turns: Turns) -> Iterator[Bar]:
    """More TCP streams at once, against one."""
    with rivals(2) as (lab, (ours, _theirs)):
        found: dict[int, throughput.Score] = {}
        for _ in range(turns.runs):
            for streams in (1, 16, 256):
                score = found.setdefault(streams, throughput.Score())
                score.add(lab, ours, Load(turns.seconds, streams=streams))
    yield from _growth("streams", found)


def _links(turns: Turns) -> Iterator[Bar]:
    """More links, against one."""
    found: dict[int, throughput.Score] = {}
    for links in (1, 2, 4, 8):
        with rivals(links) as (lab, (ours, _theirs)):
            score = found.setdefault(links, throughput.Score())
            for _ in range(turns.runs):
                score.add(lab, ours, Load(turns.seconds))
    yield from _growth("links", found)


def _growth(what: str, found: dict[int, throughput.Score]) -> Iterator[Bar]:
    one = found.pop(1)
    for number, score in found.items():
        for name, wanted, values, base, scale, unit in (
            ("throughput", "", score.bits_per_second, one.bits_per_second, 1e9, "Gbit/s"),
            ("CPU time of a byte", "flat", score.cpu_ns_per_byte, one.cpu_ns_per_byte, 1.0, "ns"),
        ):
            yield Bar(
                f"{number} {what} against 1: {name}",
                wanted,
                _ratio(values, base),
                _range(values, scale, unit),
                _range(base, scale, unit),
            )


def _slow(turns: Turns) -> Iterator[Bar]:
    """Each daemon on a quarter of a core, with the cipher of machines without AES."""
    load = Load(turns.seconds)
    scores = [throughput.Score(), throughput.Score()]
    with rivals(2, "1", "chacha20-poly1305") as (lab, both):
        pids = [daemon.pid for rival in both for daemon in rival.daemons]
        with slow_core.limited(pids, SLOW_SHARE):
            for _ in range(turns.runs):
                for rival, score in zip(both, scores, strict=True):
                    score.add(lab, rival, load)
    rates = [score.bits_per_second for score in scores]
    said = [_range(one, 1e6, "Mbit/s", 0) for one in rates]
    yield Bar(f"{SLOW_SHARE:.0%} of a core each, ChaCha20", "", _ratio(*rates), *said)


BARS: Final[dict[str, Callable[[Turns], Iterator[Bar]]]] = {
    "one": partial(_against, "one TCP stream", ">= 6", cpu="<= 0.20"),
    "given": partial(_against, f"the same, {GIVEN} given for each link", ">= 5.5", given=GIVEN),
    "streams": partial(_against, "16 streams", ">= 8", streams=16),
    "both": partial(_against, "both directions, their sum", ">= 5", both=True),
    "udp64": partial(_datagrams, 64, ">= 3"),
    "udp1300": partial(_datagrams, 1300, ">= 4"),
    "ping": _ping,
    "idle": _idle,
    "crowd": _crowd,
    "flows": _flows,
    "links": _links,
    "slow": _slow,
}


def main() -> None:
    """Read options, measure, print a table line by line as it comes, and all of it at the end."""
    parser = argparse.ArgumentParser(prog="python -m bench.bars", description=__doc__)
    parser.add_argument("bar", nargs="*", help=f"{', '.join(BARS)} (default: all)")
    parser.add_argument("--runs", type=int, default=5, help="turns of each (default: 5)")
    parser.add_argument("--seconds", type=float, default=3.0, help="per turn (default: 3)")
    options = parser.parse_args()
    unknown = set(options.bar) - set(BARS)
    if unknown:
        parser.error(f"there is no bar {', '.join(sorted(unknown))}")
    if os.geteuid() != 0:
        sys.exit("The measurements make network namespaces: run them as root.")
    table = Table("bar", "wanted", "found", "ours", "against")
    try:
        for name in options.bar or BARS:
            for bar in BARS[name](Turns(options.runs, options.seconds)):
                print(f"{bar.name}: {bar.found}", flush=True)
                table.add_row(bar.name, bar.wanted, bar.found, bar.ours, bar.theirs)
    except (ProcessError, TrafficError, OSError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        Console().print(table)


if __name__ == "__main__":
    main()
