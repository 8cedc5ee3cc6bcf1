"""Debian's wireguard-go in a lab: WireGuard in userspace, in Go, on both ends.

It is configured over its Unix socket, in the text of WireGuard's cross-platform interface. Sockets
are named after devices and all namespaces share them, so no two ends' devices are called alike.
"""

import contextlib
import functools
import os
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import Process, ProcessError

PORT: Final = 51821
CLIENT_INSIDE: Final = "10.6.0.2"
SERVER_INSIDE: Final = "10.6.0.1"
DEVICES: Final = {role: f"wg{role[0]}{os.getpid()}" for role in ("client", "server")}
SOCKETS: Final = Path("/var/run/wireguard")
MTU: Final = 1420  # what 1500 leaves, as wg-quick has it
READY_SECONDS: Final = 20.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class WireGuard:
    """Both ends of a WireGuard that is up."""

    client: Process
    server: Process


@contextlib.contextmanager
def wireguard(lab: Lab) -> Iterator[WireGuard]:
    """Run wireguard-go between client and server, over the client's preferred line.

    Raises ProcessError when it is not up within READY_SECONDS.
    """
    keys = {role: X25519PrivateKey.generate() for role in DEVICES}
    with tempfile.TemporaryDirectory(prefix="wireguard-") as name, contextlib.ExitStack() as stack:

        def end(namespace: Namespace, role: str, peer: str, inside: str, *about: str) -> Process:
            argv = ["wireguard-go", "--foreground", DEVICES[role]]
            process = stack.enter_context(Process(namespace, argv, Path(name, role)))
            where = SOCKETS / f"{DEVICES[role]}.sock"
            stack.callback(where.unlink, missing_ok=True)
            ready = functools.partial(_is_there, namespace, DEVICES[role], where)
            process.wait_until(ready, "there", READY_SECONDS, POLL_SECONDS)
            known = keys[peer].public_key().public_bytes_raw().hex()
            own = keys[role].private_bytes_raw().hex()
            _tell(where, f"private_key={own}", *about[:1], f"public_key={known}", *about[1:])
            namespace.take_up(DEVICES[role], inside, mtu=MTU)
            return process

        listening = f"listen_port={PORT}"
        server = end(
            *(lab.server, "server", "client", SERVER_INSIDE),
            *(listening, f"allowed_ip={CLIENT_INSIDE}/32"),
        )
        client = end(
            *(lab.client, "client", "server", CLIENT_INSIDE),
            *("listen_port=0", f"endpoint={SERVER_ADDRESS}:{PORT}"),
            f"allowed_ip={SERVER_INSIDE}/32",
        )
        yield WireGuard(client, server)


def _is_there(namespace: Namespace, device: str, where: Path) -> bool:
    return where.exists() and bool(namespace.iproute.link_lookup(ifname=device))


def _tell(where: Path, *settings: str) -> None:
    """Configure a device; ProcessError when it does not take it."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(READY_SECONDS)
        sock.connect(str(where))
        sock.sendall("\n".join(("set=1", *settings, "", "")).encode())
        answer = sock.recv(1024).decode(errors="replace").strip()
    if answer != "errno=0":
        raise ProcessError(f"wireguard-go does not take its configuration: {answer}")
