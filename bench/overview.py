"""A suite at a glance: one row for each profile, one column for each contender and its traffic."""

from collections.abc import Sequence
from typing import Final

from matplotlib.figure import Figure

from bench import pictures, plots, summary
from bench.summary import Entry, Spread

FEW_PROFILES: Final = 3  # fewer are read one by one
FLAGSHIP: Final = ("wrrtun-found", "tcp-down")
WITH: Final = {"wrrtun-rates": ("in order", "-"), "wrrtun-unordered": ("as they come", ":")}
CONTROLS: Final = {"tcp-down": "cubic", "tcp-down-bbr": "BBR", "tcp-down-reno": "reno"}
SKEW: Final = "skew-"  # and milliseconds: what such profiles are called


def rows(found: Sequence[Entry]) -> tuple[tuple[str, ...], list[tuple[str, ...]]] | None:
    """Head and rows of a table of shares in percent; None when there are too few profiles."""
    shown = [each for each in found if plots.share(each) and not each.key[1].startswith("bare")]
    profiles = summary.profiles(shown)
    columns = list(dict.fromkeys(entry.key[1:] for entry in shown))
    if len(profiles) < FEW_PROFILES:
        return None
    shares = {entry.key: summary.spread(plots.share(entry), 100, 1) for entry in shown}
    head = ("share, %", *(", ".join(column) for column in columns))
    return head, [
        (profile, *(shares.get((profile, *column), "") for column in columns))
        for profile in profiles
    ]


def shares(found: Sequence[Entry]) -> Figure | None:
    """What wrrtun makes of each kind of line, told nothing: of what bare TCP could get of them."""
    there = {
        entry.key[0]: (pictures.OURS, entry.share_of_offered)
        for entry in found
        if entry.key[1:] == FLAGSHIP and entry.share_of_offered
    }
    if len(there) < FEW_PROFILES:
        return None
    title = "wrrtun, told nothing, one TCP stream: % of what the lines offered"
    return plots.bars(title, list(there), list(there.values()), 100.0)


def skews(found: Sequence[Entry]) -> Figure | None:
    """What each congestion control makes of lines ever more unequal, with order and without."""
    points: dict[tuple[str, str], list[tuple[int, Spread]]] = {}
    for entry in found:
        profile, contender, traffic = entry.key
        share = plots.share(entry)
        if profile.startswith(SKEW) and contender in WITH and traffic in CONTROLS and share:
            skew = int(profile.removeprefix(SKEW))
            points.setdefault((contender, traffic), []).append((skew, share))
    marks = sorted({skew for each in points.values() for skew, _ in each})
    if len(marks) < FEW_PROFILES:
        return None
    title = "one TCP stream over two lines of 4 Mbit/s, % of their sum, by skew"
    figure, (axes,) = pictures.figure(title, 3.4)
    for (contender, traffic), each in sorted(points.items()):
        how, style = WITH[contender]
        colour = pictures.LINES[list(CONTROLS).index(traffic)]
        ordered = sorted(each, key=lambda point: point[0])
        axes.plot(
            [marks.index(skew) for skew, _ in ordered],
            [share.median * 100 for _, share in ordered],
            linestyle=style, marker="o", markersize=4, color=colour, linewidth=1.8,
            label=f"{CONTROLS[traffic]}, {how}",
        )  # fmt: skip
    axes.set_xticks(range(len(marks)), [f"{skew} ms" for skew in marks])
    axes.set_ylim(0, 100)
    axes.legend(
        loc="lower left", ncols=2, fontsize=8, frameon=False, labelcolor=pictures.INK,
        handlelength=2.6,
    )  # fmt: skip
    return figure
