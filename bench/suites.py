"""Which rows each suite measures. Bare lines are added by themselves wherever shares are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.group import Group
from bench.profiles import PROFILES, Profile
from bench.results import Row
from bench.workloads.all import WORKLOADS

YARDSTICK: Final = {"down": ("tcp-down",), "up": ("tcp-up",), "both": ("tcp-down", "tcp-up")}


@dataclass(frozen=True)
class Part:
    """Every contender with every workload over every profile."""

    profiles: tuple[str, ...]
    contenders: tuple[str, ...]
    traffic: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """Parts, how often and for how long each.

    A bare line is what netem makes of it, proved before and the same within 0.3 % from run to run:
    once is enough where it is no row that people look at.
    """

    about: str
    parts: tuple[Part, ...]
    runs: int = 3
    bare_runs: int = 1
    seconds: float = 30.0


_TOLD = ("adsl-mobile", "asymmetric", "vdsl-lte", "mobile-loss-0-5", "mobile-loss-3", "both-loss-1")
_HARD = ("mobile-loss-30", "jitter", "reorder", "buffer-1s", "buffer-20ms", "near-far")
_CHANGING = ("starlink-lte", "adsl-lte")
_OTHERS = (
    "openvpn",
    "wireguard-go",
    "bond-udp",
    "bond-tcp",
    "bond-delayed",
    "mptcp",
    "mlvpn",
    "glorytun",
)
_FAULTS = ("mobile-cut", "adsl-cut", "unplugged", "address", "rate-change")

SUITES: Final = {
    "story": Suite(
        "what the story tried, and wrrtun, over its two lines",
        (Part(("adsl-mobile",), (*_OTHERS, "wrrtun-rates", "wrrtun-found"), ("tcp-down",)),),
        bare_runs=3,
        seconds=15.0,
    ),
    "netem": Suite(
        "goodput over every kind of line",
        (
            Part(_TOLD, ("wrrtun-rates", "wrrtun-found"), ("tcp-down",)),
            Part(("two-equal", "eight", *_HARD, *_CHANGING), ("wrrtun-found",), ("tcp-down",)),
            Part(("asymmetric",), ("wrrtun-rates", "wrrtun-found"), ("tcp-up",)),
            Part(("adsl-mobile",), ("wrrtun-weights",), ("tcp-down",)),
            Part(("both-loss-10",), ("wrrtun-rates", "wrrtun-redundant"), ("voice",)),
        ),
        seconds=20.0,
    ),
    "latency": Suite(
        "ping, idle and under load",
        (
            Part(
                ("adsl-mobile",),
                ("wrrtun-rates", "wrrtun-found"),
                ("ping", "page", "voice-tcp"),
            ),
        ),
        seconds=20.0,
    ),
    "faults": Suite(
        "lines that die, move, come back and change",
        (
            Part((*_FAULTS, "flap"), ("wrrtun-found",), ("tcp-down",)),
            Part(("rate-change",), ("wrrtun-found",), ("tcp-down-4",)),
        ),
        seconds=20.0,
    ),
    "reorder": Suite(
        "cubic, BBR and reno through frames sprayed over two lines, with and without order",
        (
            Part(
                ("skew-0", "skew-10", "skew-40", "skew-100", "skew-200"),
                ("wrrtun-rates", "wrrtun-unordered"),
                ("tcp-down", "tcp-down-bbr", "tcp-down-reno"),
            ),
        ),
        seconds=10.0,
    ),
    "cpu": Suite(
        "no limit but the CPU",
        (
            Part(("wire",), ("openvpn", "wireguard-go", "wrrtun-weights"), ("tcp-down",)),
            Part(("two-wires",), ("wrrtun-weights",), ("tcp-down",)),
        ),
        runs=5,
        seconds=5.0,
    ),
    "micro": Suite("each step of the data path: time a datagram, calls a megabyte", ()),
    "scale": Suite(
        "more streams, more lines",
        (
            Part(("adsl-mobile", "eight"), ("wrrtun-rates",), ("tcp-down-16",)),
            Part(
                ("adsl-mobile",), ("wrrtun-rates",), ("tcp-down-4", "tcp-both", "download", "quic")
            ),
            Part(("wire",), ("wrrtun-weights",), ("tcp-down-4", "tcp-down-16")),
        ),
        seconds=12.0,
    ),
}


@dataclass(frozen=True)
class Choice:
    """What the command line made of a suite: None is what the suite says."""

    profiles: Sequence[str] = ()
    contenders: Sequence[str] = ()
    traffic: Sequence[str] = ()
    runs: int | None = None
    seconds: float | None = None
    seed: int = 1
    prove: bool = True


def groups(suite: Suite, choice: Choice) -> list[Group]:
    """Lay out what is to be measured, profile by profile, run by run, bare lines first.

    A choice of profiles, contenders or traffic filters the suite; what the suite does not have at
    all is measured all the same, with whatever else was chosen.
    """
    wanted: dict[str, dict[tuple[str, str], None]] = {}
    known = {
        name
        for part in suite.parts
        for names in (part.profiles, part.contenders, part.traffic)
        for name in names
    }
    for part in suite.parts:
        for name in _chosen(part.profiles, choice.profiles, known):
            pairs = wanted.setdefault(name, {})
            for contender in _chosen(part.contenders, choice.contenders, known):
                for traffic in _chosen(part.traffic, choice.traffic, known):
                    pairs[contender, traffic] = None
    return [
        _group(PROFILES[name], list(pairs), suite, choice)
        for name, pairs in wanted.items()
        if pairs
    ]


def _chosen(offered: Sequence[str], choice: Sequence[str], known: set[str]) -> Sequence[str]:
    """What a part offers of the choice, and what no part of the suite knows."""
    if not choice:
        return offered
    return [name for name in choice if name in offered or name not in known]


def _group(profile: Profile, pairs: list[tuple[str, str]], suite: Suite, choice: Choice) -> Group:
    seconds = choice.seconds or suite.seconds
    if profile.seconds is not None:
        seconds = max(seconds, profile.seconds)
    runs = choice.runs or suite.runs
    bare = dict.fromkeys(_bare(profile, pairs), min(runs, suite.bare_runs))
    others = dict.fromkeys((pair for pair in pairs if not pair[0].startswith("bare")), runs)
    rows = tuple(
        Row(profile=profile.name, contender=contender, traffic=traffic, run=run, seconds=seconds)
        for run in range(1, runs + 1)
        for (contender, traffic), times in {**bare, **others}.items()
        if run <= times
    )
    return Group(profile=profile.name, rows=rows, seed=choice.seed, prove=choice.prove)


def _bare(profile: Profile, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The bare lines that a profile's shares are held against, and those that were asked for."""
    asked = [pair for pair in pairs if pair[0].startswith("bare")]
    if not any(not event.traced for event in profile.events):
        kinds: dict[str, None] = {}
        for _contender, traffic in pairs:
            direction = WORKLOADS[traffic].direction
            kinds.update(dict.fromkeys(YARDSTICK[direction] if direction else (traffic,)))
        numbers = range(1, len(profile.lines) + 1)
        asked = [*((f"bare-{number}", kind) for kind in kinds for number in numbers), *asked]
    return list(dict.fromkeys(asked))
