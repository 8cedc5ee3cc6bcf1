"""The commands that look: status, top, doctor."""

import contextlib
import sys
import time
from pathlib import Path
from typing import Final

import click

from .config import (
    RUN_DIRECTORY,
    STATUS_TIMEOUT_SECONDS,
    default_config_path,
    default_control_socket,
)
from .core.errors import WrrtunError
from .status import Snapshot

TOP_SECONDS: Final = 1.0

SOCKET: Final = click.option(
    "--socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"The daemon's control socket.  [default: every one in {RUN_DIRECTORY}]",
)


@click.command()
@SOCKET
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one line for each daemon.")
@click.option(
    "--watch",
    "every",
    type=click.FloatRange(0.1, 3600.0),
    is_flag=False,
    flag_value=2.0,
    metavar="[SECONDS]",
    help="Print it again and again, every 2 or so many seconds.",
)
def status(socket: Path | None, as_json: bool, every: float | None) -> None:
    """Show the tunnels of this machine and their links.

    The JSON is described in docs/STATUS.md.
    """
    if every is None:
        _show_status(socket, as_json, clear=False)
        return
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            _show_status(socket, as_json, clear=not as_json)
            time.sleep(every)


def _show_status(socket: Path | None, as_json: bool, *, clear: bool) -> None:
    answers, failures = ask_all(socket, "status")
    if not answers:
        raise WrrtunError(failures[0])
    if clear:
        click.clear()
    for failure in failures:
        click.echo(f"Warning: {failure}", err=True)
    if as_json:
        for answer in answers:
            click.echo(answer.rstrip(b"\n"))
    else:
        texts = [Snapshot.from_json(answer).to_text() for answer in answers]
        click.echo("\n".join(texts), nl=False)


@click.command()
@SOCKET
def top(socket: Path | None) -> None:
    """Follow the tunnels of this machine: what each link carries, now and in the last minute."""
    # Rich takes 50 ms to load, which no other command need wait for.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from .watch.top import Top  # noqa: PLC0415

    console = Console()
    if not console.is_terminal:
        raise WrrtunError("wrrtun top needs a terminal; wrrtun status does not")
    view = Top()
    with (
        contextlib.suppress(KeyboardInterrupt),
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        while True:
            answers, failures = ask_all(socket, "status")
            view.update([Snapshot.from_json(answer) for answer in answers], failures)
            live.update(view.render(console.width), refresh=True)
            time.sleep(TOP_SECONDS)


@click.command()
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A client's or a server's file.  [default: those in /etc/wrrtun that exist]",
)
@click.option(
    "--ntp",
    default="pool.ntp.org",
    show_default=True,
    metavar="HOST",
    help="The clock to compare with; none: do not ask.",
)
def doctor(config: Path | None, ntp: str) -> None:
    """Find out what is wrong, line by line, and say what to change.

    Looks at rights, TUN, kernel, clock, routes, filters, gateways, and asks the server over each
    line with a real handshake. Nothing is changed. Exit code 1: something keeps the tunnel or a
    line from working.
    """
    from .doctor.examine import examine  # noqa: PLC0415
    from .doctor.finding import Level  # noqa: PLC0415

    usual = [default_config_path("client"), default_config_path("server")]
    files: list[Path | None] = [path for path in usual if path.exists()]
    if config is not None:
        files = [config]
    is_ill = False
    for file in files or [None]:
        if file is not None:
            click.echo(f"{file}:")
        for finding in examine(file, None if ntp == "none" else ntp, is_running):
            click.echo("\n".join(finding.to_lines()))
            is_ill = is_ill or finding.level is Level.BAD
    sys.exit(is_ill)


def is_running(socket: Path) -> bool:
    """Tell whether a daemon answers at a control socket."""
    return bool(ask([socket], "status")[0])


def ask_all(socket: Path | None, request: str) -> tuple[list[bytes], list[str]]:
    """Ask the daemon at `socket`, or all of this machine; WrrtunError when there is none."""
    paths = control_sockets() if socket is None else [socket]
    if not paths:
        raise WrrtunError(f"no daemon runs here: there is no socket in {RUN_DIRECTORY}")
    return ask(paths, request)


def control_sockets() -> list[Path]:
    """Find the control sockets of the daemons on this machine, the usual ones first."""
    usual = [default_control_socket("client"), default_control_socket("server")]
    found = [*usual, *sorted(path for path in RUN_DIRECTORY.glob("*.sock") if path not in usual)]
    return [path for path in found if path.exists()]


def ask(paths: list[Path], request: str) -> tuple[list[bytes], list[str]]:
    """Ask each daemon for something; return the answers, and a sentence for each without one."""
    from .linux.control_socket import fetch  # noqa: PLC0415

    answers: list[bytes] = []
    failures: list[str] = []
    for path in paths:
        try:
            answers.append(fetch(path, request, STATUS_TIMEOUT_SECONDS))
        except OSError as error:
            failures.append(f"no daemon answers at {path}: {error.strerror or error}")
    return answers, failures
