"""The commands that make a server, its clients, and a client: init, invite, list, revoke, join."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .config import (
    STATUS_TIMEOUT_SECONDS,
    WHEN_DOWN,
    ClientConfig,
    IPAddress,
    IPNetwork,
    default_config_path,
)
from .core.errors import ConfigError
from .keys import encode_key, parse_public_key
from .load import load_client, load_server
from .options import parse_listen, parse_network, parse_server
from .status import Snapshot

if TYPE_CHECKING:
    from .config_edit import Value

# enrol and what it needs are imported where they are used: the daemons need none of it.

CONFIG = click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Another file than the usual."
)


@click.command("init")
@CONFIG
@click.option(
    "--public",
    metavar="HOST[:PORT]",
    help="Where clients reach this machine.  [default: its own address, if that is a public one]",
)
@click.option("--listen", metavar="[ADDRESS:]PORT", default="51820", help="The UDP port.")
@click.option(
    "--network",
    multiple=True,
    metavar="NETWORK",
    help="Where tunnel addresses come from.  [default: drawn from 10.0.0.0/8, and fd00::/8 if "
    "this machine has IPv6]",
)
@click.option(
    "--nat/--no-nat", default=True, help="Give the clients internet through this machine."
)
def server_init(
    config: Path | None, public: str | None, listen: str, network: tuple[str, ...], nat: bool
) -> None:
    """Write a server's configuration with fresh keys, and say what to do next."""
    path = config or default_config_path("server")
    _address, port = parse_listen(listen)
    from .enrol import NewServer, init, pick_networks  # noqa: PLC0415
    from .linux.machine import addresses, networks_in_use  # noqa: PLC0415

    own = addresses()
    host = public or _public_address(own)
    if not host.rpartition(":")[2].isdecimal() or (
        host.count(":") > 1 and not host.startswith("[")
    ):
        host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    parse_server(host)
    has_ipv6 = any(address.version == 6 and address.is_global for address in own)
    networks: tuple[IPNetwork, ...] = tuple(parse_network(text) for text in network)
    if not networks:
        networks = pick_networks(networks_in_use(), os.urandom, ipv6=has_ipv6)
    key = init(path, NewServer(listen, host, networks, nat))
    click.echo(
        f"{path} is written; the server's public key is {key}\n"
        f"Clients will reach it at {host} and get addresses of "
        f"{' and '.join(map(str, networks))}.\n\n"
        f"Next: open UDP port {port} in this machine's firewall, then\n\n"
        "    wrrtun server invite home     # prints the line for the client\n"
        "    wrrtun server                 # or: systemctl enable --now wrrtun-server"
    )


def _public_address(own: list[IPAddress]) -> str:
    for version in (4, 6):
        for address in own:
            if address.version == version and address.is_global:
                return str(address)
    raise ConfigError(
        "this machine has no public address of its own (it is behind a NAT): say where clients "
        "reach it with --public HOST"
    )


@click.command("invite")
@click.argument("name")
@CONFIG
@click.option(
    "--key",
    metavar="PUBKEY",
    help="The client's public key, which it made itself (wrrtun genkey, wrrtun pubkey). The line "
    "then is of no use to anybody else.",
)
@click.option(
    "--route",
    multiple=True,
    metavar="NETWORK",
    help="A network behind the client that this side shall reach; may be repeated.",
)
def server_invite(name: str, config: Path | None, key: str | None, route: tuple[str, ...]) -> None:
    """Let a client in, and print the line that it joins with.

    Who has the line can join with it: hand it over like a password. It is shown once.
    """
    path = config or default_config_path("server")
    if key is not None:
        parse_public_key(key)
    from .enrol import invite  # noqa: PLC0415
    from .invitation import encode  # noqa: PLC0415

    invitation = invite(path, name, os.urandom, key, route)
    click.echo(encode(invitation))
    click.echo(f"\nOn the client: wrrtun client join, then this line. {_tell(path)}", err=True)


@click.command("revoke")
@click.argument("name")
@CONFIG
def server_revoke(name: str, config: Path | None) -> None:
    """Send a client away; its keys are worth nothing from then on."""
    path = config or default_config_path("server")
    from .enrol import revoke  # noqa: PLC0415

    revoke(path, name)
    click.echo(f"{name} is out. {_tell(path)}")


@click.command("list")
@CONFIG
def server_list(config: Path | None) -> None:
    """Show the clients that may connect, and which of them are connected."""
    server = load_server(config or default_config_path("server"), {})
    sessions = _sessions(server.control_socket)
    for peer in server.peers:
        inside = ", ".join(str(address) for address in peer.addresses) or "-"
        state = sessions.get(peer.name, "-")
        click.echo(f"{peer.name:16} {state:12} {inside:24} {encode_key(peer.public_key)}")


def _sessions(socket: Path) -> dict[str, str]:
    from .linux.control_socket import fetch  # noqa: PLC0415

    try:
        snapshot = Snapshot.from_json(fetch(socket, "status", STATUS_TIMEOUT_SECONDS))
    except OSError:
        return {}
    return {peer.name: "up" if peer.session.up else "away" for peer in snapshot.peers}


def _tell(path: Path) -> str:
    """Have a running server read its file again; say what came of it."""
    from .linux.control_socket import fetch  # noqa: PLC0415

    try:
        socket = load_server(path, {}).control_socket
        answer = fetch(socket, "reload", STATUS_TIMEOUT_SECONDS).decode().strip()
    except OSError:
        return "The server is not running; it will know when it starts."
    return f"The running server: {answer}"


@click.command("join")
@click.argument("invitation", required=False)
@click.option(
    "--link",
    multiple=True,
    required=True,
    metavar="WHERE[:DOWN[/UP]]",
    help="One internet line, as for wrrtun client; repeat it for each.",
)
@CONFIG
@click.option(
    "--key-file", type=click.Path(path_type=Path), metavar="FILE", help="A key made here before."
)
@click.option(
    "--route",
    multiple=True,
    default=("all",),
    show_default=True,
    metavar="NETWORK|all|none",
    help="What is to go through the tunnel; may be repeated.",
)
@click.option(
    "--when-down",
    type=click.Choice(WHEN_DOWN),
    default="wait",
    show_default=True,
    help="What becomes of it while the tunnel is down.",
)
@click.option(
    "--nat/--no-nat", default=True, help="Let the networks behind this machine use the tunnel."
)
@click.option("--check/--no-check", default=True, help="Ask the server over each line at the end.")
def client_join(
    invitation: str | None,
    link: tuple[str, ...],
    config: Path | None,
    key_file: Path | None,
    route: tuple[str, ...],
    check: bool,
    **more: Any,
) -> None:
    """Make this machine a client of the server that INVITATION is from.

    Without INVITATION it is asked for, so that it does not stay in the shell's history.
    """
    if invitation is None:
        if sys.stdin.isatty():
            click.echo("The invitation, on one line (wrr1:...):", err=True)
        invitation = sys.stdin.readline()
    path = config or default_config_path("client")
    values: dict[str, Value] = {}
    if "none" not in route:
        values["route"] = route[0] if len(route) == 1 else list(route)
    values |= {key: value for key, value in more.items() if value not in (False, "wait")}
    from .enrol import join  # noqa: PLC0415
    from .invitation import decode  # noqa: PLC0415

    join(path, decode(invitation), link, values, key_file)
    client = load_client(path, {})
    inside = ", ".join(str(address) for address in client.addresses)
    click.echo(f"{path} is written; in the tunnel this machine is {inside}.")
    if check:
        _show_check(client, path)
    click.echo(
        "\nNext:\n\n    wrrtun client                 # or: systemctl enable --now wrrtun-client"
    )


def _show_check(client: ClientConfig, path: Path) -> None:
    from .path_check import NO_ANSWER, check  # noqa: PLC0415

    for answer in check(client):
        if answer.seconds is not None:
            said = f"the server answers, in {answer.seconds * 1000:.0f} ms"
        elif answer.trouble == NO_ANSWER:
            said = (
                f"no answer; is the server running, and UDP port {client.server_port} open? "
                "wrrtun doctor looks closer"
            )
        else:
            said = f"{answer.trouble}; correct link in {path}"
        click.echo(f"{answer.where}: {said}")


@click.command("unblock")
def client_unblock() -> None:
    """Lift a kill switch that a daemon with when_down = "block" has left behind."""
    from .router import unblock  # noqa: PLC0415

    unblock()
    click.echo("Packets may go over the lines again.")
