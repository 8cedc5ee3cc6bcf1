"""Bonding tunnels that Debian does not package: used when such a program is on PATH.

Both are set up as their manuals say, with what they are told about a line: MLVPN each line's rate
as its weight and a reorder buffer, glorytun each line's rates as fixed. No test runs them, as no
system that the tests know has them.
"""

import contextlib
import functools
import os
import secrets
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contenders import Way
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import Process, ProcessError, missing
from bench.profiles import Line, Profile
from bench.traffic import ping

CLIENT_INSIDE: Final = "10.5.0.2"
SERVER_INSIDE: Final = "10.5.0.1"
MLVPN_PORT: Final = 5080  # and the line's number
GLORYTUN_SERVER: Final = ("addr", SERVER_ADDRESS, "port", "5000")
REORDERED_PACKETS: Final = 64  # MLVPN's manual: a good start
ROLES: Final = ("server", "client")  # in the order in which they start
READY_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.1


@dataclass(frozen=True)
class Mlvpn:
    """MLVPN over all lines, a port for each."""

    name: str = "mlvpn"
    about: str = "MLVPN, told each line's rate as its weight"

    def available(self, lab: Lab) -> str | None:
        del lab
        return missing("mlvpn")

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        password = secrets.token_hex(16)
        with tempfile.TemporaryDirectory(prefix="mlvpn-") as name, contextlib.ExitStack() as stack:
            ends = {}
            for role in ROLES:
                file = Path(name, f"{role}.conf")
                file.touch(mode=0o600)
                file.write_text(_mlvpn_configuration(role, password, lab, profile))
                argv = ["mlvpn", "--config", str(file), "--yes-run-as-root"]
                ends[role] = _end(stack, lab, role, argv, f"mlvpn{role[0]}", Path(name))
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
        return missing("glorytun")

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
            ends = {}
            for role in ROLES:
                # Its control sockets are named after devices, and all namespaces share them.
                device = f"gt{role[0]}{os.getpid()}"
                argv = ["glorytun", "bind", "dev", device, "keyfile", str(key)]
                argv += ["from" if role == "server" else "to", *GLORYTUN_SERVER]
                ends[role] = _end(stack, lab, role, argv, device, Path(name))
            for line, each in zip(lab.lines, profile.lines, strict=True):
                self._add_path(lab, f"gtc{os.getpid()}", line.address, each)
            yield _reached(lab, ends)

    def _add_path(self, lab: Lab, device: str, address: str, line: Line) -> None:
        rates = ["tx", f"{line.up.rate_bits_per_second / 8:.0f}"]
        rates += ["rx", f"{line.down.rate_bits_per_second / 8:.0f}"]
        words = ["dev", device, "addr", address, "to", *GLORYTUN_SERVER]
        words += ["set", "up", "rate", "fixed", *rates]
        done = lab.client.run(["glorytun", "path", *words], READY_SECONDS)
        if done.returncode != 0:
            raise ProcessError(f"glorytun path: {done.stdout}{done.stderr}")


def _end(
    stack: contextlib.ExitStack, lab: Lab, role: str, argv: list[str], device: str, room: Path
) -> Process:
    """Start an end for as long as the stack; give its device an address once it is there."""
    namespace, inside = (
        (lab.client, CLIENT_INSIDE) if role == "client" else (lab.server, SERVER_INSIDE)
    )
    process = stack.enter_context(Process(namespace, argv, room / f"{role}.log"))
    there = functools.partial(namespace.iproute.link_lookup, ifname=device)
    process.wait_until(lambda: bool(there()), "there", READY_SECONDS, POLL_SECONDS)
    namespace.take_up(device, inside)
    return process


def _reached(lab: Lab, ends: dict[str, Process]) -> Way:
    """Wait until a ping comes through."""
    client = ends["client"]
    client.wait_until(
        lambda: ping(lab.client, SERVER_INSIDE, 0.1).lost < 1.0, "up", READY_SECONDS, POLL_SECONDS
    )
    return Way(lab.client, lab.server, SERVER_INSIDE, None, (client, ends["server"]))


ALL: Final = (Mlvpn(), Glorytun())
