"""The command line: read options, call one function, print.

What goes wrong on the operator's side ends in one sentence and exit code 1, a wrong option in
click's usage message and exit code 2; neither in a traceback.
"""

import sys
from pathlib import Path
from typing import Any

import click

from . import __version__
from .cli_enrol import (
    client_join,
    client_unblock,
    server_init,
    server_invite,
    server_list,
    server_revoke,
)
from .cli_options import end_options, given
from .cli_speedtest import speedtest
from .cli_watch import SOCKET, ask_all, doctor, status, top
from .config import (
    ClientConfig,
    ServerConfig,
    default_config_path,
)
from .config_file import role_of
from .core.errors import WrrtunError
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

# The daemon's and the socket's rooms are imported where they are used: --help need not wait for
# numpy, pyroute2 and uvloop.


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


@main.group(invoke_without_command=True)
@end_options("server")
@click.pass_context
def server(context: click.Context, /, config: Path | None, **options: Any) -> None:
    """Serve clients on one address.

    \b
    wrrtun server init            # writes /etc/wrrtun/server.toml
    wrrtun server invite home     # prints the line that the client joins with
    wrrtun server

    Or all of it by options:

    \b
    wrrtun server --listen 51820 --key-file server.key \\
        --peer home=PUBKEY --address 10.9.0.1/24
    """
    if context.invoked_subcommand is not None:
        return

    def read() -> ServerConfig:
        return load_server(config, given(options))

    configuration = read()
    from .daemon import run_server  # noqa: PLC0415

    sys.exit(run_server(configuration, read))


@main.group(invoke_without_command=True)
@end_options("client")
@click.pass_context
def client(context: click.Context, /, config: Path | None, **options: Any) -> None:
    """Connect to a server over all the links.

    \b
    wrrtun client join --link eth0:10mbit/1mbit --link eth1:3mbit
    wrrtun client

    Or all of it by options:

    \b
    wrrtun client --server vps.example.net:51820 --server-key PUBKEY \\
        --key-file client.key --address 10.9.0.2/24 \\
        --link eth0:10mbit/1mbit --link eth1:3mbit

    \b
    eth0:10            interface eth0, weight 10 both ways
    eth0:0:10          alias label eth0:0, weight 10
    eth0:10mbit/1mbit  10 Mbit/s down and 1 up; the weights are 10 and 1
    192.0.2.7:3        the line that has this address
    """
    if context.invoked_subcommand is not None:
        return

    def read() -> ClientConfig:
        return load_client(config, given(options))

    configuration = read()
    from .daemon import run_client  # noqa: PLC0415

    sys.exit(run_client(configuration, read))


for subcommand in (server_init, server_invite, server_list, server_revoke):
    server.add_command(subcommand)
for subcommand in (client_join, client_unblock):
    client.add_command(subcommand)


@main.command("check-config")
@click.argument("file", required=False, type=click.Path(path_type=Path))
def check_config(file: Path | None) -> None:
    """Read a configuration as the daemon would, and start nothing.

    Without FILE: those in /etc/wrrtun that are there.
    """
    files = [file] if file is not None else [path for path in default_files() if path.exists()]
    if not files:
        raise WrrtunError(f"there is neither {default_files()[0]} nor {default_files()[1]}")
    for path in files:
        click.echo(f"{path}: {check_file(path)}")


main.add_command(status)
main.add_command(top)
main.add_command(doctor)
main.add_command(speedtest)


@main.command()
@SOCKET
def reload(socket: Path | None) -> None:
    """Have the daemons of this machine read their configuration again.

    Links, weights, peers and routes are applied without losing a session; when something else has
    changed, nothing is applied, and it says what needs a restart.
    """
    answers, failures = ask_all(socket, "reload")
    refused = [answer for answer in answers if not answer.startswith(b"reloaded: ")]
    for answer in answers:
        if answer not in refused:
            click.echo(answer.rstrip(b"\n"))
    failures += [answer.decode(errors="replace").strip() for answer in refused]
    if failures:
        raise WrrtunError("; ".join(failures))


def default_files() -> list[Path]:
    """Return the files that the daemons read when none is named."""
    return [default_config_path("client"), default_config_path("server")]


def check_file(path: Path) -> str:
    """Read a client's or a server's file; return what it is in a few words."""
    if role_of(path) == "server":
        server = load_server(path, {})
        return f"a server for {_count(len(server.peers), 'client')}; no mistake found"
    client = load_client(path, {})
    return f"a client with {_count(len(client.links), 'link')}; no mistake found"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
