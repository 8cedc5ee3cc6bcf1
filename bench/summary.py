"""From results to figures: shares, medians with their spread, and a table of them."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from bench.profiles import PROFILES
from bench.results import Result
from bench.suites import YARDSTICK
from bench.workloads.all import WORKLOADS

TUNNEL_SHARE: Final = 1382 / 1448  # of a bare TCP's payload, at links of 1500 bytes

Key = tuple[str, str, str]  # profile, contender, traffic


@dataclass(frozen=True)
class Spread:
    """A median of runs, with the least and the most."""

    median: float
    least: float
    most: float
    runs: int

    @staticmethod
    def of(values: Iterable[float | None]) -> "Spread | None":
        """Sum values up, leaving out those that are not there; None when none is."""
        there = [value for value in values if value is not None]
        if not there:
            return None
        return Spread(statistics.median(there), min(there), max(there), len(there))


@dataclass(frozen=True)
class Entry:
    """One line of a table: every run of a contender with a workload over a profile.

    Shares are fractions: of the bare lines' sum in the last run that had them, and of what the
    lines were told to carry over the whole transfer, less a bare TCP's headers; `share_of_ceiling`
    is of what is left of that after a tunnel's own overhead. Pings are percentiles of all runs'
    round trips together, in seconds; `lost_pings` is a fraction. `gap_seconds` is the longest time
    without goodput.
    """

    key: Key
    goodput_bits_per_second: Spread | None
    share_of_bare: Spread | None
    share_of_offered: Spread | None
    share_of_ceiling: Spread | None
    gap_seconds: Spread | None
    retransmits: Spread | None
    ping_percentiles_seconds: dict[int, float]
    lost_pings: float | None
    cpu_ns_per_byte: Spread | None
    memory_bytes: int | None
    figures: dict[str, Spread]
    troubles: tuple[str, ...]


def entries(results: Sequence[Result]) -> list[Entry]:
    """Sum results up, in the order in which their rows first appear."""
    bare = bare_sums(results)
    grouped: dict[Key, list[Result]] = {}
    for result in results:
        row = result.row
        grouped.setdefault((row.profile, row.contender, row.traffic), []).append(result)
    return [_entry(key, runs, bare) for key, runs in grouped.items()]


def bare_sums(results: Sequence[Result]) -> dict[tuple[str, str, int], float]:
    """Goodput of all bare lines of a profile, one after the other, by traffic and run."""
    each: dict[tuple[str, str, int], dict[str, float]] = {}
    for result in good(results):
        row = result.row
        if row.contender.startswith("bare") and result.outcome is not None:
            found = each.setdefault((row.profile, row.traffic, row.run), {})
            found[row.contender] = result.outcome.goodput_bits_per_second or 0.0
    return {
        key: sum(found.values())
        for key, found in each.items()
        if len(found) == len(PROFILES[key[0]].lines)
    }


def good(results: Iterable[Result]) -> list[Result]:
    """Leave out rows that failed or are void."""
    return [each for each in results if each.error is None and each.void is None]


def profiles(found: Iterable[Entry]) -> list[str]:
    """The profiles that entries are of, in the order of profiles.toml."""
    there = {entry.key[0] for entry in found}
    return [name for name in PROFILES if name in there]


def _entry(key: Key, runs: list[Result], bare: dict[tuple[str, str, int], float]) -> Entry:
    usable = good(runs)
    outcomes = [run.outcome for run in usable if run.outcome is not None]
    pings = sorted(seconds for each in outcomes for seconds in each.round_trips_seconds)
    sent = sum(each.pings_sent for each in outcomes)
    troubles = [trouble for run in runs if (trouble := run.error or run.void) is not None]
    names = {name for each in outcomes for name in each.figures}
    return Entry(
        key=key,
        goodput_bits_per_second=Spread.of(each.goodput_bits_per_second for each in outcomes),
        share_of_bare=Spread.of(_share_of_bare(run, bare) for run in usable),
        share_of_offered=Spread.of(map(_share_of_offered, usable)),
        share_of_ceiling=Spread.of(map(_share_of_ceiling, usable)),
        gap_seconds=Spread.of(map(longest_gap_seconds, usable)),
        retransmits=Spread.of(each.retransmits for each in outcomes),
        ping_percentiles_seconds={p: percentile(pings, p) for p in (50, 95, 99, 100)}
        if pings
        else {},
        lost_pings=1 - len(pings) / sent if sent else None,
        cpu_ns_per_byte=Spread.of(map(_cpu_ns_per_byte, usable)),
        memory_bytes=max((run.memory_bytes or 0 for run in usable), default=0) or None,
        figures={
            name: spread
            for name in sorted(names)
            if (spread := Spread.of(each.figures.get(name) for each in outcomes))
        },
        troubles=tuple(dict.fromkeys(troubles)),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many percent of the ordered values do not exceed."""
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def _share_of_bare(run: Result, bare: dict[tuple[str, str, int], float]) -> float | None:
    direction = WORKLOADS[run.row.traffic].direction
    assert run.outcome is not None
    if direction is None or run.outcome.goodput_bits_per_second is None:
        return None
    total = 0.0
    for kind in YARDSTICK[direction]:
        sums = (bare.get((run.row.profile, kind, number)) for number in range(run.row.run, 0, -1))
        last = next(filter(None, sums), None)
        if last is None:
            return None
        total += last
    return run.outcome.goodput_bits_per_second / total


def _share_of_offered(run: Result) -> float | None:
    direction, profile = WORKLOADS[run.row.traffic].direction, PROFILES[run.row.profile]
    assert run.outcome is not None
    if direction is None or profile.unshaped or run.outcome.goodput_bits_per_second is None:
        return None
    ways = {"down": (True,), "up": (False,), "both": (True, False)}[direction]
    offered = sum(profile.offered_bits_per_second(run.row.seconds, down=down) for down in ways)
    return run.outcome.goodput_bits_per_second / offered


def _share_of_ceiling(run: Result) -> float | None:
    """Known of wrrtun, which fills a packet of 1500 bytes with 1382 bytes of a TCP's payload."""
    share = _share_of_offered(run)
    return share / TUNNEL_SHARE if share and run.row.contender.startswith("wrrtun") else None


def longest_gap_seconds(run: Result) -> float | None:
    """The longest time without goodput, after the first second."""
    outcome = run.outcome
    if outcome is None or not outcome.intervals:
        return None
    longest = now = 0
    for bits_per_second in outcome.intervals[round(1 / outcome.interval_seconds) :]:
        now = 0 if bits_per_second else now + 1
        longest = max(longest, now)
    return longest * outcome.interval_seconds


def _cpu_ns_per_byte(run: Result) -> float | None:
    if run.cpu_seconds is None or run.outcome is None:
        return None
    goodput = run.outcome.goodput_bits_per_second
    return run.cpu_seconds * 1e9 / (goodput / 8 * run.row.seconds) if goodput else None


HEAD = (
    *(
        "contender",
        "traffic",
        "goodput Mbit/s",
        "of bare sum",
        "of offered",
        "of ceiling",
        "ping ms 50/95/99/max",
    ),
    *("lost", "gap s", "retrans", "CPU ns/B", "MB", "trouble"),
)


def cells(entry: Entry) -> tuple[str, ...]:
    """Write an entry as the columns of HEAD; what does not apply is blank."""
    ping = "/".join(f"{each * 1e3:.0f}" for each in entry.ping_percentiles_seconds.values())
    figures = "; ".join(f"{name} {one(each, 1, 3)}" for name, each in entry.figures.items())
    return (
        entry.key[1],
        entry.key[2],
        spread(entry.goodput_bits_per_second, 1e-6, 2),
        spread(entry.share_of_bare, 100, 1, " %"),
        spread(entry.share_of_offered, 100, 1, " %"),
        spread(entry.share_of_ceiling, 100, 1, " %"),
        ping,
        "" if entry.lost_pings is None else f"{entry.lost_pings:.1%}",
        spread(entry.gap_seconds, 1, 1),
        one(entry.retransmits, 1, 0),
        one(entry.cpu_ns_per_byte, 1, 1),
        "" if entry.memory_bytes is None else f"{entry.memory_bytes / 1e6:.0f}",
        "; ".join(filter(None, (figures, *(each.splitlines()[-1] for each in entry.troubles)))),
    )


def one(value: Spread | None, unit: float, digits: int) -> str:
    """Write the median."""
    return "" if value is None else f"{value.median * unit:.{digits}f}"


def spread(value: Spread | None, unit: float, digits: int, suffix: str = "") -> str:
    """Write the median, and the least and most of several runs: 11.67 (11.60 to 11.70)."""
    if value is None:
        return ""
    middle = f"{value.median * unit:.{digits}f}{suffix}"
    if value.runs == 1:
        return middle
    return f"{middle} ({value.least * unit:.{digits}f} to {value.most * unit:.{digits}f})"
