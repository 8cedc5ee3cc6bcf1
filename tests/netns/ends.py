"""Ends of tunnels, started and stopped one by one: keys and sockets in directories of their own.

bench.tunnel runs the usual pair; what needs wrong keys, a second client, a configuration file or
an end that dies is put together here.
"""

import contextlib
import socket
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from bench.lab.ending import Held
from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.tunnel import CLIENT_INSIDE, DEVICE, PORT, SERVER_INSIDE, Daemon, Tunnel
from wrrtun.core.errors import WrrtunError
from wrrtun.keys import encode_key, generate_key, parse_key, public_key_of, write_key_file
from wrrtun.status import PeerStatus, Snapshot

PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05
ETH_P_ALL = 3
PACKET_BYTES = 1 << 16
SO_RCVBUFFORCE = 33  # the socket module does not know it
BUFFER_BYTES = 32 << 20

Found = TypeVar("Found")


def eventually(holds: Callable[[], Found], seconds: float = PATIENCE_SECONDS) -> Found:
    """Wait until something is true and return it, failing after `seconds`."""
    give_up_at = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < give_up_at, "it did not come true in time"
        time.sleep(POLL_SECONDS)
    return found


def only_peer(of: Daemon) -> PeerStatus:
    """Return what a daemon says of its one peer."""
    (peer,) = of.status().peers
    return peer


def lost_nothing(of: Daemon) -> bool:
    """Tell whether every bulk frame came out of an end's reorder buffers, nearly all in order.

    A process that has to wait for a CPU longer than a hold gives up gaps whose datagrams already
    wait in a socket: they come out late, not in order.
    """
    return all(
        peer.reorder.gaps_given_up_by_inference == 0
        and peer.reorder.gaps_given_up_by_deadline <= peer.reorder.late
        and peer.reorder.late <= peer.reorder.released / 100
        for peer in of.status().peers
    )


def snapshot(of: Daemon) -> Snapshot | None:
    """Ask a daemon; None while it does not answer."""
    try:
        return of.status()
    except (OSError, WrrtunError):
        return None


def has_device(namespace: Namespace, device: str = DEVICE) -> bool:
    """Tell whether a namespace has a device."""
    return bool(namespace.iproute.link_lookup(ifname=device))


def device_mtu(namespace: Namespace, device: str = DEVICE) -> int:
    """Return a device's MTU, in bytes."""
    (link,) = namespace.iproute.get_links(namespace.index(device))
    mtu: int = link.get_attr("IFLA_MTU")
    return mtu


def set_mtu(namespace: Namespace, device: str, mtu_bytes: int) -> None:
    """Change a device's MTU."""
    namespace.iproute.link("set", index=namespace.index(device), mtu=mtu_bytes)


def link_falls(end: Daemon, link: int) -> list[str]:
    """Return the log's lines on a link that stopped carrying."""
    return [
        line
        for line in end.output().splitlines()
        if f"link={link} " in line and ("after=down" in line or "after=stalled" in line)
    ]


class Identity:
    """A directory with a private key: what one end is started from, again and again."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.directory = directory
        self.key_file = directory / "key"
        key = generate_key()
        write_key_file(self.key_file, key)
        self.public_bytes = public_key_of(parse_key(key))
        self.public_key = encode_key(self.public_bytes)

    def write(self, name: str, text: str) -> str:
        """Write a file into the directory; return its path."""
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)


class Ends(Held):
    """What a test needs to start the daemons of a lab."""

    def __init__(self, lab: Lab, room: Path) -> None:
        self.lab = lab
        self.room = room
        self.home = Identity(room / "client")
        self.vps = Identity(room / "server")
        self._running = contextlib.ExitStack()

    def close(self) -> None:
        self._running.close()

    def start(
        self, namespace: Namespace, identity: Identity, role: str, options: Sequence[str]
    ) -> Daemon:
        """Start one end; it ends with the test, if not before."""
        words = ["--key-file", str(identity.key_file), *options]
        return self._running.enter_context(Daemon(namespace, identity.directory, role, words))

    def server(self, *options: str, peers: Sequence[tuple[str, str]] | None = None) -> Daemon:
        """Start the server and wait until it is there."""
        known = [("home", self.home.public_key)] if peers is None else peers
        words = ["--listen", str(PORT), "--dev", DEVICE, "--address", f"{SERVER_INSIDE}/24"]
        words += [word for name, key in known for word in ("--peer", f"{name}={key}")]
        server = self.start(self.lab.server, self.vps, "server", [*words, *options])
        server.wait_until(server.answers, "there", PATIENCE_SECONDS, POLL_SECONDS)
        return server

    def client(
        self,
        *options: str,
        links: Sequence[str] = ("lineA:10", "lineB:3"),
        server: str = f"{SERVER_ADDRESS}:{PORT}",
        server_key: str | None = None,
        identity: Identity | None = None,
        namespace: Namespace | None = None,
        inside: str = CLIENT_INSIDE,
    ) -> Daemon:
        """Start a client; it may never get through."""
        words = ["--server", server, "--server-key", server_key or self.vps.public_key]
        words += ["--dev", DEVICE, "--address", f"{inside}/24"]
        words += [word for link in links for word in ("--link", link)]
        where = namespace or self.lab.client
        return self.start(where, identity or self.home, "client", [*words, *options])

    def up(self, *ends: Daemon) -> None:
        """Wait until each end has a session and its links have carried something both ways."""
        for end in ends:
            end.wait_until(partial(links_up, end), "up", PATIENCE_SECONDS, POLL_SECONDS)

    def tunnel(self, *client_options: str, **client: Any) -> Tunnel:
        """Start both ends and wait until both are up."""
        server = self.server()
        made = Tunnel(self.client(*client_options, **client), server, self.vps.public_key)
        self.up(made.server, made.client)
        return made


def links_up(of: Daemon) -> bool:
    """Tell whether an end has a session and every link of it is up."""
    seen = snapshot(of)
    return (
        seen is not None
        and all(peer.session.up and peer.links for peer in seen.peers)
        and all(link.state == "up" for peer in seen.peers for link in peer.links)
    )


@contextlib.contextmanager
def ends(lab: Lab) -> Iterator[Ends]:
    """Have keys for a lab; whatever is started from them ends with the block."""
    with tempfile.TemporaryDirectory(prefix="wrrtun-") as name, Ends(lab, Path(name)) as made:
        yield made


class Sniffer(Held):
    """Sees every packet of one device, in both directions, as the device has it (with Ethernet)."""

    def __init__(self, namespace: Namespace, device: str) -> None:
        with namespace.entered():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
        self._socket.bind((device, ETH_P_ALL))
        self._socket.setblocking(False)

    def packets(self) -> list[bytes]:
        """Return what has been seen since the last call."""
        seen = []
        with contextlib.suppress(BlockingIOError):
            while True:
                seen.append(self._socket.recv(PACKET_BYTES))
        return seen

    def close(self) -> None:
        self._socket.close()
