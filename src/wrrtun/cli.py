"""The command line: read options, call one function, print.

What goes wrong on the operator's side ends in one sentence and exit code 1, a wrong option in
click's usage message and exit code 2; neither in a traceback.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from . import __version__
from .config import (
    DEFAULT_CIPHER,
    DEFAULT_DEVICE,
    MAX_MTU,
    MIN_MTU,
    RATE_UNITS,
    RUN_DIRECTORY,
    STATUS_TIMEOUT_SECONDS,
    Role,
    default_config_path,
    default_control_socket,
)
from .core.errors import WrrtunError
from .core.wire import MAX_LINKS
from .keys import (
    MAX_KEY_FILE_BYTES,
    encode_key,
    generate_key,
    parse_key_content,
    public_key_of,
    read_key_file,
    write_key_file,
)
from .load import load_client, load_server
from .status import Snapshot

# The daemon's and the socket's rooms are imported where they are used: --help need not wait for
# numpy, pyroute2 and uvloop.

Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """Turns every expected failure of a command into one sentence."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except WrrtunError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wrrtun", message="%(prog)s %(version)s")
def main() -> None:
    """Bond several internet lines into one tunnel, weighted and in order.

    The client has the lines and runs at home; the server has one address and serves many clients.
    Each end needs a key (wrrtun genkey) and the other end's public key (wrrtun pubkey).
    """


@main.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Create FILE, readable by its owner only; an existing file is left alone.",
)
def genkey(out: Path | None) -> None:
    """Make a private key, or a pre-shared key for --psk-file.

    Without --out it goes to standard output; a file made from that must be chmod 600 before it is
    of use.
    """
    key = generate_key()
    if out is None:
        click.echo(key)
    else:
        write_key_file(out, key)


@main.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
def pubkey(file: Path | None) -> None:
    """Print the public key of a private key.

    The private key is read from FILE, or from standard input.

    The public key is what the other end is given: it is no secret.
    """
    if file is None:
        content = sys.stdin.buffer.read(MAX_KEY_FILE_BYTES)
        private_key = parse_key_content("standard input", content)
    else:
        private_key = read_key_file(file)
    click.echo(encode_key(public_key_of(private_key)))


def end_options(role: Role) -> Callable[[Command], Command]:
    """Give a command the options that both ends have."""
    options: tuple[Callable[[Any], Any], ...] = (
        click.option(
            "--config",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help=f"TOML file with the same names, - written _; options win over it. "
            f"[default: {default_config_path(role)}, if it exists]",
        ),
        click.option(
            "--key-file",
            metavar="FILE",
            help="Our private key, as wrrtun genkey --out makes it: readable by its owner only.",
        ),
        click.option(
            "--psk-file",
            metavar="FILE",
            help="A second secret that both ends have: it keeps today's traffic safe should X25519 "
            "be broken one day. Made by wrrtun genkey --out, copied to the other end.",
        ),
        click.option(
            "--dev",
            metavar="NAME",
            help="The network device to create."
            + (" Several peers get names counted up from it." if role == "server" else "")
            + f"  [default: {DEFAULT_DEVICE}]",
        ),
        click.option(
            "--address",
            multiple=True,
            metavar="ADDRESS/PREFIX",
            help="The device's own address in the tunnel, such as 10.9.0."
            + ("1/24" if role == "server" else "2/24")
            + "; may be repeated (IPv4 and IPv6)."
            + (" With several peers: the first one's." if role == "server" else ""),
        ),
        click.option(
            "--mtu",
            type=click.IntRange(MIN_MTU, MAX_MTU),
            metavar="BYTES",
            help="The device's MTU.  [default: what fits the links]",
        ),
        click.option("--bridge", metavar="NAME", help="Make the device a port of this bridge."),
        click.option(
            "--socket",
            metavar="PATH",
            help=f"Where wrrtun status asks.  [default: {default_control_socket(role)}]",
        ),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


@main.command()
@click.option(
    "--listen",
    metavar="[ADDRESS:]PORT",
    help="The UDP port, on every address or on one (192.0.2.1:51820, [2001:db8::1]:51820).",
)
@click.option(
    "--peer",
    multiple=True,
    metavar="NAME=PUBKEY",
    help="A client that may connect, by its public key; may be repeated. NAME is for you.",
)
@end_options("server")
def server(config: Path | None, **options: Any) -> None:
    """Serve clients on one address.

    \b
    wrrtun genkey --out /etc/wrrtun/server.key
    wrrtun server --listen 51820 --key-file /etc/wrrtun/server.key \\
        --peer home=PUBKEY --address 10.9.0.1/24

    In /etc/wrrtun/server.toml each peer is a table:

    \b
    listen = 51820
    key_file = "server.key"
    [[peer]]
    name = "home"
    public_key = "..."
    address = "10.9.0.1/24"
    """
    configuration = load_server(config, given(options))
    from .daemon import run_server  # noqa: PLC0415

    sys.exit(run_server(configuration))


@main.command()
@click.option("--server", metavar="HOST:PORT", help="Where the server listens.")
@click.option("--server-key", metavar="PUBKEY", help="The server's public key.")
@click.option(
    "--link",
    multiple=True,
    metavar="WHERE:DOWN[/UP]",
    help=f"One internet line; repeat it for each, up to {MAX_LINKS}. WHERE is an interface (eth0), "
    "an alias label (eth0:0) or a source address (192.0.2.7, [2001:db8::7]). DOWN and UP are its "
    "weights, its share of the bytes from and to the server. A weight with a unit "
    f"({', '.join(RATE_UNITS)}: bits per second) is also the line's rate, and traffic is kept just "
    "below it.",
)
@click.option(
    "--cipher",
    type=click.Choice(["auto", "aes-256-gcm", "chacha20-poly1305"]),
    help=f"auto: AES where the processor has it.  [default: {DEFAULT_CIPHER}]",
)
@end_options("client")
def client(config: Path | None, **options: Any) -> None:
    """Connect to a server over all the links.

    \b
    wrrtun genkey --out /etc/wrrtun/client.key
    wrrtun client --server vps.example.net:51820 --server-key PUBKEY \\
        --key-file /etc/wrrtun/client.key --address 10.9.0.2/24 \\
        --link eth0:10mbit/1mbit --link eth1:3mbit

    \b
    eth0:10            interface eth0, weight 10 both ways
    eth0:0:10          alias label eth0:0, weight 10
    eth0:10mbit/1mbit  10 Mbit/s down and 1 up; the weights are 10 and 1
    192.0.2.7:3        the line that has this address
    """
    configuration = load_client(config, given(options))
    from .daemon import run_client  # noqa: PLC0415

    sys.exit(run_client(configuration))


@main.command()
@click.option(
    "--socket",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"The daemon's control socket.  [default: every one in {RUN_DIRECTORY}]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one line for each daemon.")
def status(socket: Path | None, as_json: bool) -> None:
    """Show the tunnels of this machine and their links."""
    paths = control_sockets() if socket is None else [socket]
    if not paths:
        raise WrrtunError(f"no daemon runs here: there is no socket in {RUN_DIRECTORY}")
    answers, failures = ask(paths)
    if not answers:
        raise WrrtunError(failures[0])
    for failure in failures:
        click.echo(f"Warning: {failure}", err=True)
    if as_json:
        for answer in answers:
            click.echo(answer.rstrip(b"\n"))
    else:
        click.echo("\n".join(Snapshot.from_json(answer).to_text() for answer in answers), nl=False)


def given(options: dict[str, Any]) -> dict[str, object]:
    """Keep the options that the command line has; what may be repeated becomes a list."""
    return {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in options.items()
        if value not in (None, ())
    }


def control_sockets() -> list[Path]:
    """Find the control sockets of the daemons on this machine, the usual ones first."""
    usual = [default_control_socket("client"), default_control_socket("server")]
    found = [*usual, *sorted(path for path in RUN_DIRECTORY.glob("*.sock") if path not in usual)]
    return [path for path in found if path.exists()]


def ask(paths: list[Path]) -> tuple[list[bytes], list[str]]:
    """Ask each daemon for its status; return the answers, and a sentence for each without one."""
    from .linux.control_socket import fetch  # noqa: PLC0415

    answers: list[bytes] = []
    failures: list[str] = []
    for path in paths:
        try:
            answers.append(fetch(path, "status", STATUS_TIMEOUT_SECONDS))
        except OSError as error:
            failures.append(f"no daemon answers at {path}: {error.strerror or error}")
    return answers, failures
