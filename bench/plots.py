"""Pictures of results, as PNG: what each line carried, delays, shares, CPU.

Every picture has its figures in a table beside it; one that has nothing to show is left out.
"""

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench import summary
from bench.pictures import EVENT, GROUND, INK, LINES, OURS, THEIRS, figure, png
from bench.profiles import PROFILES
from bench.results import HELD_SECONDS, Result
from bench.summary import Entry, Spread

SMOOTH: Final = 5  # samples in one step of a curve: half a second
BAR_INCHES: Final = 0.3
MANY_PINGS: Final = 20  # a distribution of fewer is none
FEW_ROWS: Final = 3  # fewer are read in the table


def plots(
    results: Sequence[Result], folder: Path, stem: str, *, over_time: bool = True
) -> list[str]:
    """Draw what a profile's results have to show; return Markdown that shows the pictures.

    `over_time`: each tunnel's typical run second by second, too.
    """
    found = [entry for entry in summary.entries(results) if not _is_bare(entry.key[1])]
    drawn = {
        "share": _bars(found, share, "goodput, % of the bare lines' sum", 100.0),
        "ping": _pings(results),
    }
    if PROFILES[results[0].row.profile].unshaped:  # else the lines set the pace, not the CPU
        drawn["cpu"] = _bars(found, lambda each: each.cpu_ns_per_byte, "CPU time, ns a byte", 1.0)
    for result in _typical(results) if over_time else ():
        name = f"{result.row.contender}-{result.row.traffic}"
        drawn[name] = _over_time(result)
        drawn[f"{name}-delay"] = _delay(result)
    return [
        save(drawing, folder, f"{stem}-{name}")
        for name, drawing in drawn.items()
        if drawing is not None
    ]


def save(drawing: Figure, folder: Path, stem: str) -> str:
    """Write a picture into a folder; return Markdown that shows it from the folder above."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{stem}.png"
    path.write_bytes(png(drawing))
    return f"![{stem}]({folder.name}/{path.name})\n"


def _is_bare(contender: str) -> bool:
    return contender.startswith("bare")


def share(entry: Entry) -> Spread | None:
    """Share of the bare lines' sum, or of what was offered where lines change."""
    return entry.share_of_bare or entry.share_of_offered


def _names(keys: Sequence[tuple[str, str, str]]) -> list[str]:
    """Name rows by contender, and by traffic where that differs."""
    several = len({traffic for _, _, traffic in keys}) > 1
    return [f"{name}, {traffic}" if several else name for _, name, traffic in keys]


def _colour(contender: str) -> str:
    return OURS if contender.startswith("wrrtun") else THEIRS


def _rows(axes: Axes, names: Sequence[str]) -> None:
    """Name horizontal rows, the first one on top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _bars(
    entries: Sequence[Entry], value: Callable[[Entry], Spread | None], what: str, unit: float
) -> Figure | None:
    """One bar for each contender and workload."""
    there = [(entry, found) for entry in entries if (found := value(entry)) is not None]
    if len(there) < FEW_ROWS:
        return None
    names = _names([entry.key for entry, _ in there])
    rows = [(_colour(entry.key[1]), spread) for entry, spread in there]
    return bars(f"{there[0][0].key[0]}: {what}", names, rows, unit)


def bars(
    title: str, names: Sequence[str], found: Sequence[tuple[str, Spread]], unit: float
) -> Figure:
    """One bar for each colour and spread: the median, and a line from least to most."""
    drawing, (axes,) = figure(title, 0.9 + BAR_INCHES * len(names))
    _rows(axes, names)
    most = max(spread.most for _, spread in found) * unit
    for y, (colour, spread) in enumerate(found):
        middle = spread.median * unit
        axes.barh(y, middle, height=0.62, color=colour)
        if spread.runs > 1:
            axes.plot([spread.least * unit, spread.most * unit], [y, y], color=INK, linewidth=1.4)
        end = max(middle, spread.most * unit)
        axes.text(end + most * 0.012, y, f"{middle:.1f}", va="center", fontsize=9, color=INK)
    axes.set_xlim(0, most * 1.1)
    return drawing


def _pings(results: Sequence[Result]) -> Figure | None:
    """How the pings of each contender and workload are spread, on a logarithmic scale."""
    trips: dict[tuple[str, str, str], list[float]] = {}
    for result in summary.good(results):
        row = result.row
        seen = result.outcome.round_trips_seconds if result.outcome else ()
        trips.setdefault((row.profile, row.contender, row.traffic), []).extend(seen)
    there = {key: [1e3 * trip for trip in each] for key, each in trips.items()}
    there = {key: each for key, each in there.items() if len(each) >= MANY_PINGS}
    if len(there) < FEW_ROWS:
        return None
    profile = next(iter(there))[0]
    title = f"{profile}: ping meanwhile, ms (median, 99 % below)"
    drawing, (axes,) = figure(title, 0.9 + BAR_INCHES * len(there))
    boxes = axes.boxplot(
        list(there.values()), positions=range(len(there)), orientation="horizontal", widths=0.55,
        whis=(1, 99), showfliers=False, patch_artist=True, manage_ticks=False,
    )  # fmt: skip
    for box, (_, name, _) in zip(boxes["boxes"], there, strict=True):
        box.set(facecolor=_colour(name), edgecolor="none")
    for part in ("whiskers", "caps"):
        for drawn in boxes[part]:
            drawn.set(color=THEIRS)
    for drawn in boxes["medians"]:
        drawn.set(color=GROUND, linewidth=2)
    ends = [summary.percentile(sorted(each), 99) for each in there.values()]
    for y, (each, end) in enumerate(zip(there.values(), ends, strict=True)):
        words = f" {statistics.median(each):.0f}, {end:.0f}"
        axes.text(end * 1.02, y, words, va="center", fontsize=9, color=INK)
    _rows(axes, _names(list(there)))
    axes.set_xscale("log")
    axes.set_xlim(min(map(min, there.values())) * 0.9, max(ends) * 1.5)
    marks = [m for m in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000) if m < max(ends) * 1.5]
    axes.set_xticks([m for m in marks if m > axes.get_xlim()[0]])
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    return drawing


def _typical(results: Sequence[Result]) -> list[Result]:
    """Of each tunnel's runs that have intervals, the one with the middle goodput."""
    runs: dict[tuple[str, str], list[Result]] = {}
    for result in summary.good(results):
        over_time = result.lines and result.outcome is not None and result.outcome.intervals
        if over_time and result.row.contender.startswith("wrrtun"):
            runs.setdefault((result.row.contender, result.row.traffic), []).append(result)
    return [sorted(each, key=_goodput)[len(each) // 2] for each in runs.values()]


def _goodput(result: Result) -> float:
    return (result.outcome.goodput_bits_per_second or 0.0) if result.outcome else 0.0


def _mark_events(axes: Axes, result: Result, *, named: bool = True) -> None:
    """Show when a line was cut or changed; say what, if it is to be `named`."""
    events = [event for event in PROFILES[result.row.profile].events if not event.traced]
    few = len(events) <= 4
    assert result.outcome is not None
    for event in events:
        at = event.at_seconds - result.outcome.lead_seconds
        axes.axvline(at, color=EVENT, linestyle=":", linewidth=1.2, alpha=1.0 if few else 0.4)
        if few and named:
            rate = event.down.rate_bits_per_second / 1e6 if event.down else 0.0
            what = event.state or (f"{rate:g} Mbit/s" if rate else "changes")
            axes.annotate(
                f" {event.line} {what}", (at, 0.79), color=EVENT, fontsize=8,
                xycoords=("data", "axes fraction"),
            )  # fmt: skip


def _over_time(result: Result) -> Figure | None:
    """Goodput over time, stacked by line in proportion to what each carried; events are marked."""
    assert result.outcome is not None
    row, goodput = result.row, result.outcome.intervals
    smooth = max(round(SMOOTH * 0.1 / result.outcome.interval_seconds), 1)
    per_step = round(smooth * result.outcome.interval_seconds / result.lines[0].interval_seconds)
    lead = round(result.outcome.lead_seconds / result.lines[0].interval_seconds)
    carried = [
        (line.up_bytes if row.traffic.endswith("-up") else line.down_bytes)[lead:]
        for line in result.lines
    ]
    count = min(len(goodput) // smooth, *(len(each) // per_step for each in carried))
    if count < 4:
        return None
    rates = [
        statistics.fmean(goodput[step * smooth : (step + 1) * smooth]) / 1e6
        for step in range(count)
    ]
    sums = [
        [sum(each[step * per_step : (step + 1) * per_step]) for step in range(count)]
        for each in carried
    ]
    totals = [sum(each[step] for each in sums) or 1 for step in range(count)]
    stacked = [
        [rate * own / total for rate, own, total in zip(rates, each, totals, strict=True)]
        for each in sums
    ]
    seconds = [(step + 0.5) * smooth * result.outcome.interval_seconds for step in range(count)]
    title = f"{row.profile}: {row.contender}, {row.traffic}, goodput in Mbit/s by line"
    drawing, (axes,) = figure(title, 2.6)
    names = [line.line for line in result.lines]
    axes.stackplot(seconds, stacked, labels=names, colors=LINES, linewidth=0)
    _mark_events(axes, result)
    axes.set_xlim(0, count * smooth * result.outcome.interval_seconds)
    axes.set_ylim(0, max(rates) * 1.4)
    axes.legend(
        loc="upper left", ncols=8, fontsize=8, frameon=False, labelcolor=INK, handlelength=1.0,
        columnspacing=1.2, borderaxespad=0.1,
    )  # fmt: skip
    axes.xaxis.set_major_formatter("{x:g} s")
    return drawing


def _delay(result: Result) -> Figure | None:
    """What frames of the transfer waited for, and how many waited for others, over time."""
    assert result.outcome is not None
    trips, held = result.outcome.tcp_round_trips_seconds, result.held_frames
    if not trips or not any(held):
        return None
    row = result.row
    title = f"{row.profile}: {row.contender}, {row.traffic}: delay of the transfer, and its order"
    drawing, (delay, waiting) = figure(title, 3.4, panels=2)
    step = result.outcome.interval_seconds
    delay.plot([(n + 1) * step for n in range(len(trips))], [1e3 * each for each in trips],
               color=OURS, linewidth=1.4)  # fmt: skip
    delay.set_ylabel("TCP's round trip, ms", fontsize=9)
    delay.set_ylim(bottom=0)
    delay.tick_params(labelbottom=False)
    said = [(n, each) for n, each in enumerate(held, 1) if each is not None]
    at = [n * HELD_SECONDS - result.outcome.lead_seconds for n, _ in said]
    waiting.bar(at, [each for _, each in said], width=HELD_SECONDS * 0.8,
                color=LINES[1])  # fmt: skip
    waiting.set_ylabel("frames held", fontsize=9)
    waiting.set_xlim(0, len(trips) * step)
    waiting.xaxis.set_major_formatter("{x:g} s")
    _mark_events(delay, result)
    _mark_events(waiting, result, named=False)
    return drawing
