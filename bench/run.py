"""The benchmark command: run a suite, show it as it goes, leave a folder with everything.

Rows that the folder already has are not measured again: stopped by Ctrl-C, the same command goes on
where it was. Each profile is measured by a child process (bench/group.py), in this kernel if it has
netem, else in user-mode Linux.
"""

import argparse
import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import compare, micro, report, screen, summary
from bench.contenders.all import CONTENDERS
from bench.group import Group, Step, said
from bench.lab.ending import end
from bench.lab.uml import BOOT_SECONDS, OTHERS_SHARE
from bench.others import Others
from bench.profiles import PROFILES
from bench.results import Environment, Folder, Proof, Result, Row, environment, now
from bench.suites import SUITES, Choice, groups
from bench.workloads.all import WORKLOADS

REPOSITORY: Final = Path(__file__).parents[1]
OUT: Final = REPOSITORY / "bench" / "out"
END_SECONDS: Final = 15.0
REPEATS: Final = 2  # of rows that others disturbed


def main() -> None:
    """Read options, measure, sum up."""
    options = _arguments()
    if options.list:
        _list()
        return
    if options.compare:
        old, new = options.compare
        sys.exit(compare.main(old, new, options.loss))
    if options.publish:
        report.publish(options.out or OUT, REPOSITORY)
        return
    choice = Choice(
        options.profile, options.contender, options.traffic, options.runs, options.seconds,
        options.seed, not options.no_proof,
    )  # fmt: skip
    names = list(SUITES) if options.suite == "all" else [options.suite]
    console = screen.console()
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(143))
    for name in names:
        path = (options.out or OUT) / name if options.suite == "all" else options.out or OUT / name
        folder = Folder(path)
        chosen = groups(SUITES[name], choice)
        if SUITES[name].parts and not chosen:
            if options.suite == "all":
                continue
            sys.exit(
                f"Suite {name} does not measure that together: leave out --profile, --contender or"
                " --traffic."
            )
        todo = [_left(group, folder) for group in chosen]
        try:
            _run(todo, folder, console, options.seed)
            if name == "micro":
                folder.add(micro.measure())
        except KeyboardInterrupt:
            console.print(f"Stopped. The same command goes on from {folder.path}.")
            sys.exit(130)
        screen.show(folder, console)
        (folder.path / "RESULTS.md").write_text(report.suite(name, folder, folder.path))


def _left(group: Group, folder: Folder) -> Group:
    """Leave out rows that are there, did not fail and are not void."""
    done = {result.row for result in summary.good(folder.results())}
    return msgspec.structs.replace(group, rows=tuple(row for row in group.rows if row not in done))


def _run(todo: Sequence[Group], folder: Folder, console: Console, seed: int) -> None:
    here = environment(seed)
    known = [record.commit for record in folder.records() if isinstance(record, Environment)]
    if known[-1:] != [here.commit]:
        folder.add(here)
    if not todo:
        return
    columns = (
        BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}")
    )  # fmt: skip
    with Progress(*columns, console=console, refresh_per_second=2) as progress:
        task = progress.add_task("", total=sum(len(group.rows) for group in todo))

        def tell(what: Step | Proof | Result) -> None:
            if isinstance(what, Step):
                progress.update(task, description=what.what)
                if not console.is_terminal:
                    print(what.what, flush=True)
                return
            folder.add(what)
            if isinstance(what, Result):
                progress.advance(task)
                console.print(escape(screen.line(what)), highlight=False, soft_wrap=True)
            elif what.void:
                console.print(f"void: {escape(what.void)}")

        for group in todo:
            rows: Sequence[Row] = group.rows
            for repeat in range(1 + REPEATS):
                if rows:
                    rows = _measure(msgspec.structs.replace(group, rows=tuple(rows)), tell)
                if repeat < REPEATS:
                    progress.update(task, total=(progress.tasks[task].total or 0) + len(rows))


def _measure(group: Group, tell: Callable[[Step | Proof | Result], None]) -> list[Row]:
    """Start the child and hand on what it says; give the rows that are void.

    Rows that it did not get to have failed. A row is void when the lab was kept from its CPU for
    more than OTHERS_SHARE of its time.
    """
    left = dict.fromkeys(group.rows)
    void = []
    argv = [sys.executable, "-m", "bench.group", msgspec.json.encode(group).decode()]
    deadline = time.monotonic() + group.limit_seconds() + 2 * BOOT_SECONDS
    with _child(argv) as child, Others(child.pid) as others:
        assert child.stdout is not None
        for line in child.stdout:
            what = said(line)
            taken = others.look()
            if isinstance(what, Result):
                left.pop(what.row, None)
                if what.error is None and taken is not None and taken > OTHERS_SHARE:
                    why = f"the lab was kept from its CPU for {taken:.0%} of the time"
                    what = msgspec.structs.replace(what, void=what.void or why)
                if what.void is not None:
                    void.append(what.row)
            tell(what)
            if time.monotonic() > deadline:
                break
    for row in left:
        error = f"the lab ended before it got there (exit code {child.returncode})"
        tell(Result(row=row, began=now(), error=error))
    return void


@contextlib.contextmanager
def _child(argv: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program; ask it to end when the block ends, and see to it that it does."""
    # A session of its own: Ctrl-C shall reach the lab through us, once, and not in mid-clean-up.
    child = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        yield child
        child.wait(END_SECONDS)
    finally:
        end(child, END_SECONDS)


def _list() -> None:
    for title, named in (
        ("suites", {name: suite.about for name, suite in SUITES.items()}),
        ("profiles", {name: profile.about for name, profile in PROFILES.items()}),
        ("contenders", {name: contender.about for name, contender in CONTENDERS.items()}),
        ("traffic", {name: workload.about for name, workload in WORKLOADS.items()}),
    ):
        print(title)
        for name, about in named.items():
            print(f"  {name:18} {about}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("suite", nargs="?", choices=(*SUITES, "all"), default="story")
    for option, known in (
        ("profile", PROFILES), ("contender", CONTENDERS), ("traffic", WORKLOADS)
    ):  # fmt: skip
        parser.add_argument(
            f"--{option}", action="append", default=[], choices=known, metavar="NAME",
            help="instead of the suite's; may be given more than once",
        )  # fmt: skip
    parser.add_argument("--runs", type=int, help="of each row (default: the suite's)")
    parser.add_argument("--seconds", type=float, help="of each transfer (default: the suite's)")
    parser.add_argument(
        "--out", type=Path,
        help="results folder (default: bench/out/SUITE); with `all` and --publish, the folder of"
        " the suites' folders (default: bench/out)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1, help="for whatever is drawn by lot")
    parser.add_argument(
        "--no-proof", action="store_true", help="do not check first what the lines carry"
    )
    parser.add_argument(
        "--compare", nargs=2, type=Path, metavar=("OLD", "NEW"),
        help="measure nothing: print what became of each row from one folder to another",
    )  # fmt: skip
    parser.add_argument(
        "--loss", type=float, default=0.05, metavar="FRACTION",
        help="with --compare: fail when a row lost more than that (default: 0.05)",
    )  # fmt: skip
    parser.add_argument(
        "--publish", action="store_true",
        help="measure nothing: write bench/RESULTS.md, its pictures and README's table from the"
        " suites' folders that are there, such as `all` leaves",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="show all names, and measure nothing")
    return parser.parse_args()


if __name__ == "__main__":
    main()
