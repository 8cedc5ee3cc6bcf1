"""Debian's OpenVPN in a lab, set up as it should be: TLS, AES-256-GCM, a TAP on both ends."""

import contextlib
import functools
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bench.certificates import self_signed
from bench.lab.topology import SERVER_ADDRESS, Lab, LabLine
from bench.processes import Process

PORT: Final = 1194
DEVICE: Final = "ovpn"  # and the line's number
CLIENT_INSIDE: Final = "10.8.0.2"
SERVER_INSIDE: Final = "10.8.0.1"
READY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1

_COMMON: Final = (*("--dev-type", "tap", "--verb", "1", "--disable-dco"),)

Transport = Literal["udp", "tcp"]


@dataclass(frozen=True)
class OpenVpn:
    """Both ends of an OpenVPN that is up, and what their TAPs are called."""

    client: Process
    server: Process
    device: str


@contextlib.contextmanager
def openvpn(
    lab: Lab,
    line: LabLine | None = None,
    transport: Transport = "udp",
    *,
    addressed: bool = True,
    cipher: str = "AES-256-GCM",
) -> Iterator[OpenVpn]:
    """Run an OpenVPN between client and server over a line, or over the client's preferred one.

    Its TAPs have addresses and are up, unless they are not to be `addressed`. Peers know each other
    by fingerprint. (Two shared-secret peers would be simpler, but OpenVPN has no AEAD cipher for
    those.) Raises ProcessError when it is not up within READY_SECONDS.
    """
    number = line.number if line is not None else 0
    device, port = f"{DEVICE}{number}", str(PORT + number)
    with tempfile.TemporaryDirectory(prefix="openvpn-") as name, contextlib.ExitStack() as stack:
        room = Path(name)
        fingerprint = {role: _make_certificate(room, role) for role in ("client", "server")}

        def end(role: str, peer: str, inside: str, options: Sequence[str]) -> Process:
            argv = ["openvpn", *_COMMON, "--dev", device, "--port", port, *options]
            argv += ["--data-ciphers", cipher]
            argv += ["--ifconfig", inside, "255.255.255.0"] if addressed else []
            argv += ["--cert", str(room / f"{role}.crt"), "--key", str(room / f"{role}.key")]
            argv += ["--peer-fingerprint", fingerprint[peer]]
            namespace = lab.client if role == "client" else lab.server
            return stack.enter_context(Process(namespace, argv, room / f"{role}.log"))

        serving = ["--tls-server", "--dh", "none", "--local", SERVER_ADDRESS]
        calling = ["--tls-client", "--nobind", "--remote", SERVER_ADDRESS]
        calling += ["--bind-dev", line.device] if line is not None else []
        serving += ["--proto", "udp" if transport == "udp" else "tcp-server"]
        calling += ["--proto", "udp" if transport == "udp" else "tcp-client"]
        server = end("server", "client", SERVER_INSIDE, serving)
        client = end("client", "server", CLIENT_INSIDE, calling)
        for process in (server, client):
            ready = functools.partial(_is_up, process)
            process.wait_until(ready, "up", READY_SECONDS, POLL_SECONDS)
        yield OpenVpn(client, server, device)


def _is_up(process: Process) -> bool:
    return "Initialization Sequence Completed" in process.output()


def _make_certificate(room: Path, role: str) -> str:
    """Write a self-signed certificate for a day and its key; return its SHA-256 fingerprint."""
    key, certificate = self_signed(role)
    private = room / f"{role}.key"
    private.touch(mode=0o600)
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (room / f"{role}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
