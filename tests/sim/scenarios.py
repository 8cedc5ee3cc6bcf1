"""Lines as they really are, to see how their rates are found: each a World and what happens to it.

`SCENARIOS[name]` makes a Run; `measure` lets it pass and says what came of it. The figures are
shares of what the lines could carry alone at each moment, TCP payload against TCP payload.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean
from typing import NamedTuple

from tests.sim.lines import Line, both
from tests.sim.tcp import BARE_SHARE, Flow
from tests.sim.world import Lines, World

WARM_UP = 2.0
PING_SECONDS = 0.05


@dataclass
class Run:
    """A download over `lines`; `changes` are (seconds, link, Mbit/s) after its beginning."""

    lines: Lines
    changes: list[tuple[float, int, float]] = field(default_factory=list)
    delays: list[tuple[float, int, float]] = field(default_factory=list)  # seconds, both directions
    seconds: float = 30.0
    rates: list[float] | None = None
    flows: int = 1
    stalls: bool = False  # of the host, 20 to 80 ms, twice a second


class Result(NamedTuple):
    """Shares, and a ping during the download, in seconds."""

    whole: float
    later: float  # after 5 s
    ping: float
    ping_99: float
    world: World
    flow: Flow
    start: float


def measure(run: Run, seed: int = 1) -> Result:
    """Let a run pass."""
    world = World(run.lines, rates=run.rates, seed=seed)
    world.run(WARM_UP)
    start = world.now
    flows = [Flow(world, "server", port=5001 + each) for each in range(run.flows)]
    for when, link, mbits in run.changes:
        world.at(start + when, partial(setattr, run.lines[link][1], "rate", mbits * 1e6))
    for when, link, delay in run.delays:
        for line in run.lines[link]:
            world.at(start + when, partial(setattr, line, "delay", delay))
    for step in range(int(run.seconds / PING_SECONDS)):
        for end in ("client", "server"):
            send = partial(world.send, end, step, express=True)
            world.at(start + step * PING_SECONDS, send)
    rng = random.Random(seed)
    for half in range(int(run.seconds * 2) if run.stalls else 0):
        end = rng.choice(("client", "server"))
        world.at(
            start + half / 2 + rng.random() / 2, partial(world.stall, end, rng.uniform(0.02, 0.08))
        )
    capacity = Capacity(run)
    world.run(run.seconds)
    pings = sorted(_pings(world))
    return Result(
        share(flows, capacity, 0.0, run.seconds),
        share(flows, capacity, min(5.0, run.seconds / 2), run.seconds),
        fmean(pings),
        pings[int(len(pings) * 0.99)],
        world,
        flows[0],
        start,
    )


class Capacity:
    """What the lines could carry at each moment."""

    def __init__(self, run: Run) -> None:
        self._changes = sorted(run.changes)
        self._rates = [down.rate or 0.0 for _, down in run.lines]

    def mean(self, start: float, end: float) -> float:
        """Return bits/s of TCP payload over a while, in seconds since the beginning."""
        rates, bits, at = list(self._rates), 0.0, 0.0
        for when, link, mbits in [*self._changes, (end, 0, 0.0)]:
            bits += sum(rates) * max(0.0, min(when, end) - max(at, start))
            at, rates[link] = when, mbits * 1e6
        return bits / (end - start) * BARE_SHARE


def share(flows: list[Flow], capacity: Capacity, start: float, end: float) -> float:
    """Return what flows got of what there was."""
    return sum(flow.goodput(start, end) for flow in flows) / capacity.mean(start, end)


def _pings(world: World) -> list[float]:
    delays: dict[str, dict[int, float]] = {}
    for end, sender in (("client", "server"), ("server", "client")):
        sent = world.submitted_at[sender]
        got = zip(world.numbers(end), world.read_at[end], strict=True)
        delays[end] = {number: at - sent[number] for number, at in got}
    common = delays["client"].keys() & delays["server"].keys()
    return [delays["client"][number] + delays["server"][number] for number in common]


def two(**mobile: float) -> Lines:
    """Make the usual lines: 10 Mbit/s, 22 ms, and 3 Mbit/s, 120 ms."""
    down = {"delay": 0.060, "rate": 3e6, **mobile}
    return [both(delay=0.011, rate=10e6), both(**down)]


def line(mbits: float, delay: float, **kind: float) -> tuple[Line, Line]:
    """Make a line."""
    return both(rate=mbits * 1e6, delay=delay, **kind)


def lte(seconds: float, least: float, most: float, seed: int) -> list[float]:
    """Make a rate for each second: a random walk."""
    rng = random.Random(seed)
    rate, rates = (least + most) / 2, []
    for _ in range(int(seconds)):
        rate = min(max(rate * rng.uniform(0.6, 1.6), least), most)
        rates.append(rate)
    return rates


def trace(link: int, rates: list[float]) -> list[tuple[float, int, float]]:
    """Make changes of a rate for each second."""
    return [(float(second), link, rate) for second, rate in enumerate(rates)]


def starlink(seconds: float, seed: int) -> list[tuple[float, int, float]]:
    """Make steps of delay every 15 s."""
    rng = random.Random(seed)
    return [(at, 0, rng.uniform(0.012, 0.030)) for at in range(2, int(seconds), 15)]


SCENARIOS: dict[str, Callable[[], Run]] = {
    "two": lambda: Run(two()),
    "two, rates given": lambda: Run(two(), rates=[10e6, 3e6]),
    "falls 3 to 1": lambda: Run(two(), changes=[(10.0, 1, 1.0)], seconds=20.0),
    "rises 1 to 8": lambda: Run(
        [line(10, 0.011), line(1, 0.060)], changes=[(10.0, 1, 8.0)], seconds=20.0, flows=4
    ),
    "3 to 1 to 8, given 8": lambda: Run(
        two(), changes=[(10.0, 1, 1.0), (20.0, 1, 8.0)], rates=[10e6, 8e6]
    ),
    "loss 3 % mobile": lambda: Run(two(loss=0.03)),
    "loss 1 % both": lambda: Run([line(10, 0.011, loss=0.01), line(3, 0.060, loss=0.01)]),
    "jitter 10 both": lambda: Run([line(10, 0.011, jitter=0.01), line(3, 0.060, jitter=0.01)]),
    "jitter 20 mobile": lambda: Run(two(jitter=0.02)),
    "two equal": lambda: Run([line(6, 0.020), line(6, 0.020)]),
    "eight": lambda: Run([line(0.5 * (1 + k), 0.005 * (1 + k)) for k in range(8)]),
    "1 s buffers": lambda: Run(
        [line(10, 0.011, buffer_seconds=1), line(3, 0.06, buffer_seconds=1)]
    ),
    "20 ms buffers": lambda: Run(
        [line(10, 0.011, buffer_seconds=0.02), line(3, 0.06, buffer_seconds=0.02)]
    ),
    "10 + LTE": lambda: Run([line(10, 0.011), line(7, 0.030)], changes=trace(1, lte(30, 2, 12, 1))),
    "1 + LTE": lambda: Run([line(1, 0.011), line(7, 0.030)], changes=trace(1, lte(30, 2, 12, 2))),
    "Starlink + LTE": lambda: Run(
        [line(20, 0.020), line(7, 0.030)],
        changes=trace(1, lte(30, 2, 12, 3)),
        delays=starlink(30, 1),
    ),
    "host stalls": lambda: Run(two(), stalls=True),
    "60 + 30": lambda: Run([line(60, 0.008), line(30, 0.025)], seconds=12.0),
}
