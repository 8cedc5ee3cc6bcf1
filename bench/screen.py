"""What a person in front of the screen sees: a line for each result, tables at the end."""

from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import micro, summary
from bench.profiles import PROFILES
from bench.results import Costs, Folder, Result

FILE_COLUMNS: Final = 240  # what is no terminal has no width: nothing shall be cut


def console() -> Console:
    """Make a console for stdout, as wide as a table may be where there is no terminal."""
    made = Console()
    return made if made.is_terminal else Console(width=FILE_COLUMNS)


def line(result: Result) -> str:
    """Write a result as one line of progress."""
    row = result.row
    what = f"{row.profile:16} {row.contender:18} {row.traffic:14} run {row.run}: "
    if result.error is not None:
        return what + f"failed: {result.error.splitlines()[-1]}"
    (entry,) = summary.entries([msgspec.structs.replace(result, void=None)])
    goodput = summary.one(entry.goodput_bits_per_second, 1e-6, 2)
    pings = entry.ping_percentiles_seconds
    says = [f"{goodput} Mbit/s"] if goodput else []
    says += [f"ping {pings[50] * 1e3:.1f} ms, 99 % {pings[99] * 1e3:.1f}"] if pings else []
    says += [f"{name} {each.median:g}" for name, each in entry.figures.items()]
    says += ["the CPU was busy"] if (result.idle_share or 0) < 0.2 else []
    says += [f"VOID: {result.void}"] if result.void else []
    return what + ", ".join(says)


def show(folder: Folder, to: Console) -> None:
    """Print a table for each profile."""
    found = summary.entries(folder.results())
    for profile in summary.profiles(found):
        table = Table()
        mine = [summary.cells(entry) for entry in found if entry.key[0] == profile]
        used = [index for index in range(len(summary.HEAD)) if any(row[index] for row in mine)]
        for index in used:
            table.add_column(summary.HEAD[index], overflow="fold")
        for row in mine:
            table.add_row(*(escape(row[index]) for index in used))
        to.print(f"[bold]{profile}[/bold]: {escape(PROFILES[profile].about)}", table, sep="\n")
    for record in folder.records():
        if isinstance(record, Costs):
            micro.show(record, to)
    to.print(f"All of it: {folder.path}", soft_wrap=True)
