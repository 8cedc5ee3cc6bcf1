"""wrrtun as its users run it, in a lab: two daemons with keys of their own, started and stopped."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import Process
from wrrtun.core.errors import WrrtunError
from wrrtun.keys import encode_key, generate_key, parse_key, public_key_of, write_key_file
from wrrtun.linux.control_socket import fetch
from wrrtun.status import Snapshot

PORT: Final = 51820
DEVICE: Final = "wrr0"
CLIENT_INSIDE: Final = "10.9.0.2"
SERVER_INSIDE: Final = "10.9.0.1"
READY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1


class Daemon(Process):
    """One running end of the tunnel."""

    def __init__(
        self,
        namespace: Namespace,
        room: Path,
        role: str,
        options: Sequence[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.socket = room / f"{role}.sock"
        argv = ["env", *(f"{name}={value}" for name, value in (environment or {}).items())]
        argv += [sys.executable, "-m", "wrrtun", role, "--socket", str(self.socket), *options]
        super().__init__(namespace, argv, room / f"{role}.log")

    def status(self) -> Snapshot:
        """Ask the daemon, as `wrrtun status` does; OSError when it does not answer."""
        return Snapshot.from_json(fetch(self.socket, "status", timeout_seconds=5.0))

    def answers(self) -> bool:
        """Tell whether it has started."""
        try:
            self.status()
        except OSError:
            return False
        return True

    def is_up(self) -> bool:
        """Tell whether it has its device and a session."""
        try:
            peers = self.status().peers
            self.namespace.index(DEVICE)
        except (OSError, LookupError, WrrtunError):
            return False
        return any(peer.session.up for peer in peers)


@dataclass(frozen=True)
class Tunnel:
    """Both ends of a tunnel that is up."""

    client: Daemon
    server: Daemon
    server_key: str  # public


@contextlib.contextmanager
def tunnel(
    lab: Lab,
    links: Sequence[str],
    client_options: Sequence[str] = (),
    server_options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    ready_seconds: float = READY_SECONDS,
) -> Iterator[Tunnel]:
    """Run a tunnel over `links` (options as `wrrtun client --link` takes them) until the end.

    `environment` is added to that of both daemons.

    Raises ProcessError when it is not up within `ready_seconds`, with what the daemons said.
    """
    with tempfile.TemporaryDirectory(prefix="wrrtun-") as name, contextlib.ExitStack() as stack:
        room = Path(name)
        public = {role: _make_key(room / f"{role}.key") for role in ("client", "server")}

        def daemon(namespace: Namespace, role: str, inside: str, *options: str) -> Daemon:
            key = str(room / f"{role}.key")
            common = ["--key-file", key, "--dev", DEVICE, "--address", f"{inside}/24"]
            words = [*common, *options]
            return stack.enter_context(Daemon(namespace, room, role, words, environment))

        server = daemon(
            lab.server,
            "server",
            SERVER_INSIDE,
            *("--listen", str(PORT), "--peer", f"home={public['client']}"),
            *server_options,
        )
        # A client that is refused tries again only seconds later: that is not what we measure.
        server.wait_until(server.answers, "there", ready_seconds, POLL_SECONDS)
        client = daemon(
            lab.client,
            "client",
            CLIENT_INSIDE,
            *("--server", f"{SERVER_ADDRESS}:{PORT}", "--server-key", public["server"]),
            *(word for link in links for word in ("--link", link)),
            *client_options,
        )
        for end in (server, client):
            end.wait_until(end.is_up, "up", ready_seconds, POLL_SECONDS)
        yield Tunnel(client, server, public["server"])


def _make_key(path: Path) -> str:
    """Write a new private key to `path`, as `wrrtun genkey --out` does; return the public key."""
    key = generate_key()
    write_key_file(path, key)
    return encode_key(public_key_of(parse_key(key)))
