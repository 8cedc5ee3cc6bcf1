"""Bonding tunnels that Debian does not package: used when such a program is on PATH.

Both are set up as their manuals say, with what they are told about a line: MLVPN each line's rate
as its weight and a reorder buffer, glorytun each line's rates as fixed. No test runs them, as no
system that the tests know has them.
"""

import contextlib
import functools
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contenders import Way
from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import Process, ProcessError
from bench.profiles import Line, Profile
from bench.traffic import ping

CLIENT_INSIDE: Final = "10.5.0.2"
SERVER_INSIDE: Final = "10.5.0.1"
MLVPN_PORT: Final = 5080  # and the line's number
GLORYTUN_PORT: Final = 5000
REORDERED_PACKETS: Final = 64  # MLVPN's manual: a good start
READY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Mlvpn:
    """MLVPN over all lines, a port for each."""

    name: str = "mlvpn"
    about: str = "MLVPN, told each line's rate as its weight"

    def available(self, lab: Lab) -> str | None:
        del lab
        return None if shutil.which("mlvpn") else "no mlvpn on PATH"

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        password = secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="mlvpn-") as name, contextlib.ExitStack() as stack:
            ends = []
            for role, namespace in (("server", lab.server), ("client", lab.client)):
                file = Path(name, f"{role}.conf")
                file.touch(mode=0o600)
                file.write_text(_mlvpn_configuration(role, password, lab, profile))
                argv = ["mlvpn", "--config", str(file), "--yes-run-as-root"]
                ends.append(
                    stack.enter_context(Process(namespace, argv, Path(name, f"{role}.log")))
                )
                _address(ends[-1], namespace, f"mlvpn{role[0]}", role)
            yield _reached(lab, ends)


def _mlvpn_configuration(role: str, password: str, lab: Lab, profile: Profile) -> str:
    """One end's file: all of what both ends share, then a section for each line."""
    lines = [
        "[general]",
        'statuscommand = "/bin/true"',
        f'mode = "{role}"',
        'tuntap = "tun"',
        f'interface_name = "mlvpn{role[0]}"',
        f'password = "{password}"',
        f"reorder_buffer_size = {REORDERED_PACKETS}",
    ]
    for line, each in zip(lab.lines, profile.lines, strict=True):
        port = MLVPN_PORT + line.number
        sending = each.down if role == "server" else each.up
        lines += [f"[line{line.number}]"]
        lines += [f"bandwidth_upload = {sending.rate_bits_per_second / 8:.0f}"]
        if role == "server":
            lines += [f'bindhost = "{SERVER_ADDRESS}"', f"bindport = {port}"]
        else:
            lines += [f'bindhost = "{line.address}"']
            lines += [f'remotehost = "{SERVER_ADDRESS}"', f"remoteport = {port}"]
    return "\n".join([*lines, ""])


@dataclass(frozen=True)
class Glorytun:
    """glorytun over all lines, a path for each."""

    name: str = "glorytun"
    about: str = "glorytun, told each line's rates"

    def available(self, lab: Lab) -> str | None:
        del lab
        return None if shutil.which("glorytun") else "no glorytun on PATH"

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        with (
            tempfile.TemporaryDirectory(prefix="glorytun-") as name,
            contextlib.ExitStack() as stack,
        ):
            key = Path(name, "key")
            key.touch(mode=0o600)
            made = lab.server.run(["glorytun", "keygen"], READY_SECONDS)
            key.write_text(made.stdout)
            ends = []
            for role, namespace in (("server", lab.server), ("client", lab.client)):
                # Its control sockets are named after devices, and all namespaces share them.
                device = f"gt{role[0]}{os.getpid()}"
                words = ["dev", device, "keyfile", str(key)]
                if role == "server":
                    words += ["from", "addr", SERVER_ADDRESS, "port", str(GLORYTUN_PORT)]
                else:
                    words += ["to", "addr", SERVER_ADDRESS, "port", str(GLORYTUN_PORT)]
                argv = ["glorytun", "bind", *words]
                ends.append(
                    stack.enter_context(Process(namespace, argv, Path(name, f"{role}.log")))
                )
                _address(ends[-1], namespace, device, role)
            for line, each in zip(lab.lines, profile.lines, strict=True):
                self._add_path(lab.client, f"gtc{os.getpid()}", line.address, each)
            yield _reached(lab, ends)

    def _add_path(self, client: Namespace, device: str, address: str, line: Line) -> None:
        rates = ["tx", f"{line.up.rate_bits_per_second / 8:.0f}"]
        rates += ["rx", f"{line.down.rate_bits_per_second / 8:.0f}"]
        words = ["dev", device, "addr", address, "to", "addr", SERVER_ADDRESS]
        words += ["port", str(GLORYTUN_PORT), "set", "up", "rate", "fixed", *rates]
        done = client.run(["glorytun", "path", *words], READY_SECONDS)
        if done.returncode != 0:
            raise ProcessError(f"glorytun path: {done.stdout}{done.stderr}")


def _address(process: Process, namespace: Namespace, device: str, role: str) -> None:
    """Wait for an end's device, give it its address and take it up."""
    there = functools.partial(namespace.iproute.link_lookup, ifname=device)
    process.wait_until(lambda: bool(there()), "there", READY_SECONDS, POLL_SECONDS)
    inside = CLIENT_INSIDE if role == "client" else SERVER_INSIDE
    namespace.iproute.addr("add", index=namespace.index(device), address=inside, prefixlen=24)
    namespace.iproute.link("set", index=namespace.index(device), state="up")


def _reached(lab: Lab, ends: list[Process]) -> Way:
    """Wait until a ping comes through."""
    client = ends[1]
    client.wait_until(
        lambda: ping(lab.client, SERVER_INSIDE, 0.1).lost < 1.0, "up", READY_SECONDS, POLL_SECONDS
    )
    return Way(lab.client, lab.server, SERVER_INSIDE, None, (client, ends[0]))


ALL: Final = (Mlvpn(), Glorytun())
