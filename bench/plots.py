"""Plots as SVG, drawn by hand: no library, small, and the same file suits light and dark pages.

Colours follow the reader's setting (prefers-color-scheme). Every plot has its figures in a table
beside it; a plot that has nothing to show is left out.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final

from bench import summary
from bench.profiles import PROFILES
from bench.results import Result
from bench.summary import Entry, Spread

Figure = Callable[[Entry], Spread | None]

WIDTH: Final = 720
LEFT, RIGHT, TOP, BOTTOM = 56, 16, 34, 34
BAR_LEFT: Final = 150
BAR: Final = 24
SMOOTH: Final = 5  # samples in one step of a curve: half a second
STYLE: Final = (
    "text{font:12px sans-serif;fill:#24292f}.title{font-weight:600;font-size:13px}"
    ".axis{stroke:#8c959f;stroke-width:1}.grid{stroke:#d0d7de;stroke-width:.6}"
    ".event{stroke:#cf222e;stroke-dasharray:3 3}"
    ".c0{fill:#0969da}.c1{fill:#bf8700}.c2{fill:#1a7f37}.c3{fill:#8250df}.c4{fill:#cf222e}"
    ".c5{fill:#1b7c83}.c6{fill:#9a6700}.c7{fill:#6e7781}.soft{fill-opacity:.35}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.axis{stroke:#6e7681}"
    ".grid{stroke:#30363d}.event{stroke:#ff7b72}.c0{fill:#58a6ff}.c1{fill:#d29922}"
    ".c2{fill:#3fb950}.c3{fill:#bc8cff}.c4{fill:#ff7b72}.c5{fill:#39c5cf}.c6{fill:#e3b341}"
    ".c7{fill:#8b949e}}"
)


@dataclass
class Drawing:
    """An SVG of WIDTH and some height, growing shape by shape."""

    title: str
    height: int
    shapes: list[str] = field(default_factory=list)

    def text(self, x: float, y: float, words: str, anchor: str = "start") -> None:
        """Write words."""
        self.shapes.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
        )

    def line(self, kind: str, *ends: float) -> None:
        """Draw a line from x1, y1 to x2, y2."""
        x1, y1, x2, y2 = ends
        self.shapes.append(
            f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def box(self, kind: str, x: float, y: float, width: float, height: float) -> None:
        """Fill a rectangle."""
        self.shapes.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" '
            f'height="{height:.1f}"/>'
        )

    def area(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        """Fill a polygon."""
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self.shapes.append(f'<polygon class="{kind}" points="{corners}"/>')

    def svg(self) -> str:
        """The document."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" role="img">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style>"
            f'<text class="title" x="8" y="18">{escape(self.title)}</text>'
            f"{''.join(self.shapes)}</svg>\n"
        )


def plots(results: Sequence[Result], folder: Path, stem: str) -> list[str]:
    """Draw what a profile's results have to show; return Markdown that shows the drawings."""
    found = summary.entries(results)
    drawings = {
        "share": _bars(
            found,
            "goodput, % of the bare lines' sum",
            lambda entry: entry.share_of_bare or entry.share_of_offered,
            100.0,
        ),
        "ping": _pings(found),
        "cpu": _bars(found, "CPU time, ns a byte", lambda entry: entry.cpu_ns_per_byte, 1.0),
    }
    for result in _typical(results):
        drawings[f"{result.row.contender}-{result.row.traffic}"] = _over_time(result)
    shown = []
    for name, drawing in drawings.items():
        if drawing is not None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{stem}-{name}.svg"
            path.write_text(drawing.svg())
            shown.append(f"![{drawing.title}]({folder.name}/{path.name})\n")
    return shown


def _typical(results: Sequence[Result]) -> list[Result]:
    """Of each tunnel's runs that have intervals, the one with the middle goodput."""
    runs: dict[tuple[str, str], list[Result]] = {}
    for result in summary.good(results):
        over_time = result.lines and result.outcome is not None and result.outcome.intervals
        if over_time and not result.row.contender.startswith("bare"):
            runs.setdefault((result.row.contender, result.row.traffic), []).append(result)
    return [sorted(each, key=_goodput)[len(each) // 2] for each in runs.values()]


def _goodput(result: Result) -> float:
    return (result.outcome.goodput_bits_per_second or 0.0) if result.outcome else 0.0


def _over_time(result: Result) -> Drawing | None:
    """Goodput over time, stacked by line in proportion to what each carried; events are marked."""
    row, profile = result.row, PROFILES[result.row.profile]
    assert result.outcome is not None
    goodput = result.outcome.intervals
    carried = [
        line.up_bytes if row.traffic.endswith("-up") else line.down_bytes for line in result.lines
    ]
    count = min(len(goodput), *map(len, carried)) // SMOOTH
    if count < 2:
        return None
    steps = [slice(number * SMOOTH, (number + 1) * SMOOTH) for number in range(count)]
    rates = [statistics.fmean(goodput[step]) / 1e6 for step in steps]
    sums = [[sum(each[step]) for step in steps] for each in carried]
    top = max(*rates, 0.1) * 1.1
    title = f"{row.profile}: {row.contender}, {row.traffic}, Mbit/s by line"
    drawing = Drawing(title, 230)
    y0, height = 230 - BOTTOM, 230 - BOTTOM - TOP - 16
    width = WIDTH - LEFT - RIGHT
    seconds = count * SMOOTH * result.outcome.interval_seconds

    def at(second: float) -> float:
        return LEFT + width * second / seconds

    for mark in range(5):
        y = y0 - height * mark / 4
        drawing.line("grid", LEFT, y, WIDTH - RIGHT, y)
        drawing.text(LEFT - 6, y + 4, f"{top * mark / 4:.1f}", "end")
    below = [0.0] * count
    for number, line in enumerate(result.lines):
        above = []
        for step in range(count):
            total = sum(each[step] for each in sums)
            share = sums[number][step] / total if total else 0.0
            above.append(below[step] + rates[step] * share)
        middles = [at((step + 0.5) * seconds / count) for step in range(count)]
        upper = [(x, y0 - height * v / top) for x, v in zip(middles, above, strict=True)]
        lower = [(x, y0 - height * v / top) for x, v in zip(middles, below, strict=True)]
        drawing.area(f"c{number % 8}", [*upper, *reversed(lower)])
        drawing.box(f"c{number % 8}", LEFT + 84 * number, 26, 10, 10)
        drawing.text(LEFT + 84 * number + 14, 35, line.line)
        below = above
    for event in profile.events:
        if not event.traced and event.at_seconds < seconds:
            drawing.line("event", at(event.at_seconds), TOP + 6, at(event.at_seconds), y0)
    drawing.line("axis", LEFT, y0, WIDTH - RIGHT, y0)
    for mark in range(0, round(seconds) + 1, max(round(seconds / 6), 1)):
        drawing.text(at(mark), y0 + 16, f"{mark} s", "middle")
    return drawing


def _bars(entries: Sequence[Entry], title: str, figure: Figure, unit: float) -> Drawing | None:
    """One bar for each contender and workload: the median, and a line from least to most."""
    values = [
        (entry, value)
        for entry in entries
        if not entry.key[1].startswith("bare") and (value := figure(entry)) is not None
    ]
    if not values:
        return None
    top = max(value.most for _, value in values) * unit * 1.12
    drawing = Drawing(f"{entries[0].key[0]}: {title}", TOP + BAR * len(values) + 8)
    scale = (WIDTH - BAR_LEFT - RIGHT - 60) / top
    for number, (entry, value) in enumerate(values):
        y = TOP + BAR * number
        drawing.text(BAR_LEFT + 66 - 8, y + 14, f"{entry.key[1]}, {entry.key[2]}", "end")
        start = BAR_LEFT + 66
        scaled = value.median * unit * (scale * 0.78)
        ours = "c0" if entry.key[1].startswith("wrrtun") else "c7"
        drawing.box(ours, start, y + 2, scaled, BAR - 8)
        least, most = (start + each * unit * scale * 0.78 for each in (value.least, value.most))
        drawing.line("axis", least, y + BAR / 2 - 2, most, y + BAR / 2 - 2)
        drawing.text(max(most, start + scaled) + 6, y + 14, f"{value.median * unit:.1f}")
    return drawing


def _pings(entries: Sequence[Entry]) -> Drawing | None:
    """Ping of each contender and workload: median, and how far 95 and 99 percent reach."""
    values = [entry for entry in entries if entry.ping_percentiles_seconds]
    if not values:
        return None
    top = max(entry.ping_percentiles_seconds[99] for entry in values) * 1e3 * 1.05
    title = f"{entries[0].key[0]}: ping meanwhile, ms: median, 95 % and 99 % below"
    drawing = Drawing(title, TOP + BAR * len(values) + 8)
    start = BAR_LEFT + 66
    scale = (WIDTH - start - RIGHT - 60) / top
    for number, entry in enumerate(values):
        y = TOP + BAR * number
        p50, p95, p99 = (entry.ping_percentiles_seconds[p] * 1e3 for p in (50, 95, 99))
        ours = "c0" if entry.key[1].startswith("wrrtun") else "c7"
        drawing.text(start - 8, y + 14, f"{entry.key[1]}, {entry.key[2]}", "end")
        drawing.box(ours, start, y + 2, p50 * scale, BAR - 8)
        drawing.box(f"{ours} soft", start + p50 * scale, y + 5, (p95 - p50) * scale, BAR - 14)
        drawing.line("axis", start + p95 * scale, y + BAR / 2 - 2, start + p99 * scale,
                     y + BAR / 2 - 2)  # fmt: skip
        drawing.text(start + p99 * scale + 6, y + 14, f"{p50:.0f} / {p99:.0f}")
    return drawing
