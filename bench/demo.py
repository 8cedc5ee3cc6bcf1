"""Two emulated lines, bare and through the tunnel: what adds up, and what a ping feels of it.

Runs on real netem: in this kernel, or where it has none in user-mode Linux. With the usual 30
seconds for each of the three transfers it takes about two minutes.
"""

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NoReturn

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.lab.anywhere import ensure_netem
from bench.lab.topology import SERVER_ADDRESS, Lab, shaped
from bench.processes import ProcessError
from bench.profiles import PROFILES, Line, Profile
from bench.traffic import CpuMeter, Load, Pings, TrafficError, ping, start_load, start_ping
from bench.tunnel import SERVER_INSIDE, tunnel

IDLE_PING_SECONDS: Final = 5.0
FIRST_PING_SECONDS: Final = 0.3
SETUP_SECONDS: Final = 60.0  # for everything but the three transfers and the idle pings

Step = Callable[[str], contextlib.AbstractContextManager[None]]


@dataclasses.dataclass(frozen=True)
class PingFigures:
    """Round trips of one ping run, in seconds; loss as a fraction."""

    mean_seconds: float
    maximum_seconds: float
    lost: float

    @staticmethod
    def of(pings: Pings) -> "PingFigures":
        """Sum a run up."""
        return PingFigures(pings.mean_seconds, pings.maximum_seconds, pings.lost)


@dataclasses.dataclass(frozen=True)
class Figures:
    """What the demo measured: goodput in bits per second, one cubic stream each."""

    direction: str
    seconds: float
    bare_bits_per_second: dict[str, float]
    tunnel_bits_per_second: float
    ping_fast_line: PingFigures
    ping_idle: PingFigures
    ping_loaded: PingFigures
    least_idle_cpu: float
    intervals: tuple[float, ...]

    @property
    def sum_bits_per_second(self) -> float:
        """What the bare lines carry, one after the other."""
        return sum(self.bare_bits_per_second.values())

    @property
    def share(self) -> float:
        """How much of that one stream gets through the tunnel."""
        return self.tunnel_bits_per_second / self.sum_bits_per_second


def measure(
    lab: Lab, profile: Profile, step: Step, *, seconds: float, down: bool, find_rates: bool
) -> Figures:
    """Measure the bare lines, then the tunnel over all of them."""
    load = Load(seconds, down=down)
    idle: list[float] = []

    def transfer(address: str, device: str | None = None) -> tuple[float, tuple[float, ...]]:
        with CpuMeter() as cpu:
            bound = dataclasses.replace(load, device=device)
            seen = start_load(lab.client, lab.server, address, bound).result()
        idle.append(cpu.idle_share)
        return seen.bits_per_second, seen.intervals

    lines = list(zip(lab.lines, profile.lines, strict=True))
    fast, fast_profile = min(lines, key=lambda pair: pair[1].round_trip_seconds)
    with step(f"ping over the idle {fast_profile.name} line"):
        ping_fast_line = ping(lab.client, SERVER_ADDRESS, IDLE_PING_SECONDS, device=fast.device)
    bare = {}
    for line, each in lines:
        with step(f"one TCP stream over the bare {each.name} line"):
            bare[each.name], _ = transfer(SERVER_ADDRESS, line.device)
    links = [line.device if find_rates else f"{line.device}:{_rates(each)}" for line, each in lines]
    with contextlib.ExitStack() as stack:
        with step(f"tunnel over {' and '.join(links)}"):
            stack.enter_context(tunnel(lab, links))
        with step("ping through the idle tunnel"):
            # The first one also asks for the other end's MAC address, as on any new Ethernet.
            ping(lab.client, SERVER_INSIDE, FIRST_PING_SECONDS)
            ping_idle = ping(lab.client, SERVER_INSIDE, IDLE_PING_SECONDS)
        with step("one TCP stream through the tunnel, and ping beside it"):
            running = start_ping(lab.client, SERVER_INSIDE, seconds)
            through, intervals = transfer(SERVER_INSIDE)
            ping_loaded = running.result()
    return Figures(
        direction="down" if down else "up",
        seconds=seconds,
        bare_bits_per_second=bare,
        tunnel_bits_per_second=through,
        ping_fast_line=PingFigures.of(ping_fast_line),
        ping_idle=PingFigures.of(ping_idle),
        ping_loaded=PingFigures.of(ping_loaded),
        least_idle_cpu=min(idle),
        intervals=intervals,
    )


def _rates(line: Line) -> str:
    """A line's part of the tunnel's --link option."""
    down, up = (
        f"{direction.rate_bits_per_second / 1e6:g}mbit" for direction in (line.down, line.up)
    )
    return down if down == up else f"{down}/{up}"


def show(figures: Figures, profile: Profile) -> Table:
    """Lay the figures out as a table."""

    def milliseconds(pings: PingFigures) -> str:
        return (
            f"{pings.mean_seconds * 1e3:.1f} ms on average, {pings.maximum_seconds * 1e3:.1f} at "
            f"most, {pings.lost:.1%} lost"
        )

    def megabits(bits_per_second: float) -> str:
        return f"{bits_per_second / 1e6:5.2f} Mbit/s"

    way = "download" if figures.direction == "down" else "upload"
    table = Table(title=f"One TCP stream, {way} of {figures.seconds:g} s", title_justify="left")
    table.add_column("what")
    table.add_column("measured")
    for line in profile:
        rate = (line.down if figures.direction == "down" else line.up).rate_bits_per_second
        what = f"{line.name}: {rate / 1e6:g} Mbit/s, {line.round_trip_seconds * 1e3:.0f} ms"
        table.add_row(what, megabits(figures.bare_bits_per_second[line.name]))
    table.add_row("sum of the bare lines", megabits(figures.sum_bits_per_second))
    through = f"{megabits(figures.tunnel_bits_per_second)}, {figures.share:.1%} of the sum"
    table.add_row("[bold]through the tunnel[/bold]", f"[bold]{through}[/bold]")
    table.add_section()
    table.add_row("ping, idle fast line", milliseconds(figures.ping_fast_line))
    table.add_row("ping, idle tunnel", milliseconds(figures.ping_idle))
    table.add_row("ping, tunnel under load", milliseconds(figures.ping_loaded))
    table.add_section()
    table.add_row("CPU idle, at least", f"{figures.least_idle_cpu:.0%}")
    return table


@contextlib.contextmanager
def _steps(console: Console) -> Iterator[Step]:
    """Show each step while it lasts: a moving line on a terminal, else a plain one."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=console, refresh_per_second=2)

    @contextlib.contextmanager
    def step(what: str) -> Iterator[None]:
        if not console.is_terminal:
            print(what, flush=True)
        task = progress.add_task(what, total=1)
        yield
        progress.advance(task)

    with progress if console.is_terminal else contextlib.nullcontext():
        yield step


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="per transfer (default: 30)")
    parser.add_argument("--direction", choices=("down", "up"), default="down")
    parser.add_argument(
        "--find-rates",
        action="store_true",
        help="tell the tunnel nothing about the lines: it finds what they carry",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    return parser.parse_args()


def _out_of_time(*_signal: object) -> NoReturn:
    raise TimeoutError("the demo took longer than it should, and was stopped")


def main() -> None:
    """Run the demo; every end, Ctrl-C too, takes down what was set up."""
    options = _arguments()
    limit_seconds = 3 * options.seconds + 2 * IDLE_PING_SECONDS + SETUP_SECONDS
    signal.signal(signal.SIGTERM, lambda *_signal: sys.exit(143))
    console = Console()
    profile = PROFILES["adsl-mobile"]
    try:
        ensure_netem(limit_seconds, ends_here=True)
        signal.signal(signal.SIGALRM, _out_of_time)
        signal.alarm(round(limit_seconds))
        with _steps(console) as step, contextlib.ExitStack() as stack:
            with step("two lines between a client and a server"):
                lab = stack.enter_context(shaped(profile))
            figures = measure(
                lab,
                profile,
                step,
                seconds=options.seconds,
                down=options.direction == "down",
                find_rates=options.find_rates,
            )
    except (ProcessError, TrafficError, TimeoutError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)
    console.print(show(figures, profile))
    if figures.least_idle_cpu < CpuMeter.ENOUGH_IDLE:
        console.print("The CPU was busy: it set these figures, not the lines.")
    if options.json is not None:
        document = dataclasses.asdict(figures) | {
            "sum_bits_per_second": figures.sum_bits_per_second,
            "share": figures.share,
        }
        options.json.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
