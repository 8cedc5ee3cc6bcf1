"""Two results folders, row by row: ratios with their spread, and a verdict.

A row is worse when the ratio of medians fell by more than the loss that is allowed *and* the new
runs do not reach down and up into the old ones': what the runs of one version differ by is noise.
"""

from pathlib import Path

from rich.table import Table

from bench import screen, summary
from bench.results import Folder
from bench.summary import Entry, Spread


def main(old: Path, new: Path, loss: float) -> int:
    """Print the comparison; return 1 when a row is worse than allowed, or gone, else 0."""
    before = {entry.key: entry for entry in summary.entries(Folder(old).results())}
    after = {entry.key: entry for entry in summary.entries(Folder(new).results())}
    table = Table("profile", "contender", "traffic", "figure", "old", "new", "ratio", "")
    worse = 0
    for key, entry in before.items():
        for name, unit, was, more_is_better in _figures(entry):
            became = {n: value for n, _, value, _ in _figures(after[key])} if key in after else {}
            now = became.get(name)
            verdict = judge(was, now, loss, more_is_better=more_is_better)
            worse += verdict in {"worse", "gone"}
            ratio = f"{now.median / was.median:.3f}" if now and was.median else ""
            old_text, new_text = summary.spread(was, unit, 3), summary.spread(now, unit, 3)
            table.add_row(*key, name, old_text, new_text, ratio, verdict)
    verdict = f"{worse} worse by more than {loss:.0%}" if worse else "none is worse"
    screen.console().print(table, verdict)
    return 1 if worse else 0


def judge(old: Spread, new: Spread | None, loss: float, *, more_is_better: bool) -> str:
    """Say "worse", "better", "gone", or nothing."""
    if new is None:
        return "gone"
    if old.median == 0:
        return ""
    ratio = new.median / old.median
    if not more_is_better:
        ratio = old.median / new.median if new.median else 1.0
    fell = new.most < old.least if more_is_better else new.least > old.most
    rose = new.least > old.most if more_is_better else new.most < old.least
    if ratio < 1 - loss and fell:
        return "worse"
    return "better" if ratio > 1 + loss and rose else ""


def _figures(entry: Entry) -> list[tuple[str, float, Spread, bool]]:
    """Name, unit, value, and whether more of it is better: shares rather than rates if there are.

    A share has the bare lines of its own run in it, so it holds from one machine to the next.
    """
    share = entry.share_of_bare or entry.share_of_offered
    goodput = entry.goodput_bits_per_second
    figures = [
        ("share of the bare sum, %", 100.0, share, True),
        ("goodput, Mbit/s", 1e-6, None if share else goodput, True),
        ("CPU, ns a byte", 1.0, entry.cpu_ns_per_byte, False),
    ]
    figures += [(name, 1.0, value, False) for name, value in entry.figures.items()]
    return [(name, unit, value, more) for name, unit, value, more in figures if value is not None]
