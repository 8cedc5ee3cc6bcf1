"""The command `wrrtun speedtest`."""

import contextlib
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from threading import Thread
from typing import Final

import click

from .cli_watch import SOCKET, ask_all
from .config import IPAddress, IPInterface, Role, default_control_socket
from .core.errors import WrrtunError
from .core.link_state import CARRYING
from .speedtest import PORT, Speed, measure, serve
from .status import Snapshot, scaled, table

SKIP_SHARE: Final = 0.5  # of the measured time, before it: to find the rates
RESTORE_MARGIN_SECONDS: Final = 30.0


@click.command()
@SOCKET
@click.option("--serve", "serving", is_flag=True, help="On the server: answer tests until Ctrl-C.")
@click.option(
    "--server",
    metavar="ADDRESS",
    help="The server's address in the tunnel.  [default: the first other one of its network]",
)
@click.option("--port", type=click.IntRange(1, 65535), default=PORT, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(1.0, 60.0),
    default=8.0,
    show_default=True,
    help="How long to measure each direction of each line.",
)
def speedtest(
    socket: Path | None, serving: bool, server: str | None, port: int, seconds: float
) -> None:
    """Measure each line alone, and all together, through the tunnel.

    First `wrrtun speedtest --serve` on the server, then `wrrtun speedtest` on the client. Other
    traffic goes on, over the line that is being measured, and takes its part.
    """
    role: Role = "server" if serving else "client"
    path = socket or default_control_socket(role)
    (answer,) = ask_all(path, "status")[0] or [b""]
    if not answer:
        raise WrrtunError(f"no {role} answers at {path}")
    snapshot = Snapshot.from_json(answer)
    if serving:
        _serve(snapshot, port)
        return
    if snapshot.role != "client":
        raise WrrtunError("measure from the client; here, wrrtun speedtest --serve answers it")
    own = _address_of(snapshot.peers[0].device.name)
    other = ip_address(server) if server else _other_end(own)
    _measure_all(path, snapshot, (str(other), port), seconds)


def _serve(snapshot: Snapshot, port: int) -> None:
    threads = []
    for peer in snapshot.peers:
        device = peer.device.name
        own = _address_of(device)
        click.echo(f"Answering {peer.name} on {own.ip} port {port}, through {device}")
        threads.append(Thread(target=serve, args=(own.ip, device, port), daemon=True))
    click.echo("Ctrl-C ends")
    for thread in threads:
        thread.start()
    with contextlib.suppress(KeyboardInterrupt):
        for thread in threads:
            thread.join()


def _measure_all(path: Path, snapshot: Snapshot, server: tuple[str, int], seconds: float) -> None:
    skip = seconds * SKIP_SHARE
    names = {
        link.number: link.name or str(link.number)
        for link in snapshot.peers[0].links
        if link.state in CARRYING
    }
    found: dict[str, Speed] = {}
    # Twice both directions, and the daemon's own way back should we be killed.
    limit = 2 * (seconds + skip) + RESTORE_MARGIN_SECONDS
    try:
        for number, name in names.items():
            click.echo(f"measuring {name} ...", err=True)
            _tell(path, f"only {number} {limit:.0f}")
            found[name] = measure(server, skip, seconds)
    finally:
        _tell(path, "only all")
    click.echo("measuring all together ...", err=True)
    together = measure(server, skip, seconds)
    click.echo("\n".join(report(found, together)))


def report(found: dict[str, Speed], together: Speed) -> Iterator[str]:
    """Write what was found, and what to configure, as lines."""
    total = Speed(sum(one.down for one in found.values()), sum(one.up for one in found.values()))
    rows = [(name, *_rates(speed)) for name, speed in found.items()]
    rows += [("sum", *_rates(total)), ("together", *_rates(together))]
    yield from table(("line", "down", "up"), rows, left=1)
    if total.down and total.up:
        down, up = together.down / total.down, together.up / total.up
        yield f"together is {down:.0%} of the sum down, {up:.0%} up"
    links = ", ".join(
        f'"{name}:{_weight(speed.down)}/{_weight(speed.up)}"' for name, speed in found.items()
    )
    yield f"as weights: link = [{links}]"


def _rates(speed: Speed) -> tuple[str, str]:
    return scaled(speed.down, "bit/s"), scaled(speed.up, "bit/s")


def _weight(bits_per_second: float) -> str:
    """Write a weight: Mbit/s with two digits that mean something."""
    return f"{max(0.001, float(f'{bits_per_second / 1e6:.2g}')):g}"


def _tell(path: Path, request: str) -> None:
    (answer,) = ask_all(path, request)[0] or [b""]
    if not answer.startswith(b"now "):
        said = answer.decode(errors="replace").strip() or "it does not answer"
        raise WrrtunError(f"the client cannot use a single link: {said}")


def _address_of(device: str) -> IPInterface:
    from .linux.netlink import Netlink  # noqa: PLC0415

    with Netlink() as netlink:
        found = netlink.find_link(device)
    own = [one for one in found.addresses if not one.ip.is_link_local] if found else []
    if not own:
        raise WrrtunError(f"{device} has no address; give it one with `address`")
    return own[0]


def _other_end(own: IPInterface) -> IPAddress:
    other = next((host for host in own.network.hosts() if host != own.ip), None)
    if other is None:
        raise WrrtunError(f"which address has the other end? {own} does not tell: --server")
    return other
