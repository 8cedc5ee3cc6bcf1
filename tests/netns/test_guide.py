"""README's ten-minute guide, its commands taken from the page, on machines that know nothing yet.

Each machine has an /etc and a /run of its own; `sudo` is left out, as everything here is root.
"""

import dataclasses
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.lab.namespace import Namespace
from tests.netns.ends import eventually
from tests.netns.household import FILE_BYTES, VPS, Household
from wrrtun.linux.control_socket import fetch
from wrrtun.status import LinkStatus, Snapshot

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
UNIT = (ROOT / "packaging" / "wrrtun.service.in").read_text()
OWN = 'mount --bind "$0/etc" /etc && mount --bind "$0/run" /run && exec "$@"'
KNOWN_FILES = ("passwd", "group", "nsswitch.conf", "hosts")
COMMAND_SECONDS = 30.0
BOOT_SECONDS = 60.0


def commands(heading: str) -> list[str]:
    """Return the commands below a heading of the README, without sudo and comments."""
    _, _, rest = (ROOT / "README.md").read_text().partition(f"\n### {heading}\n")
    section = re.split(r"\n##", rest, maxsplit=1)[0]
    lines = "".join(re.findall(r"```sh\n(.*?)```", section, re.DOTALL)).splitlines()
    bare = (line.partition("#")[0].strip().removeprefix("sudo ") for line in lines)
    return [line for line in bare if line]


@dataclasses.dataclass
class Machine:
    """A namespace with its own files, where `wrrtun` is a command."""

    space: Namespace
    room: Path

    def __post_init__(self) -> None:
        for name in ("etc", "run", "bin"):
            (self.room / name).mkdir()
        for name in KNOWN_FILES:
            if Path("/etc", name).exists():
                shutil.copy(Path("/etc", name), self.room / "etc")
        command = self.room / "bin" / "wrrtun"
        command.write_text(f'#!/bin/sh\nexec {sys.executable} -m wrrtun "$@"\n')
        command.chmod(0o755)

    def start(self, line: str, **pipes: Any) -> "subprocess.Popen[Any]":
        """Start what somebody has typed."""
        shell = f'PATH="{self.room}/bin:$PATH"; exec {line}'
        own = ["unshare", "--mount", "sh", "-c", OWN, str(self.room)]
        return self.space.popen([*own, "sh", "-c", shell], **pipes)

    def type(self, line: str, answer: str = "") -> str:
        """Type a command and an answer to what it asks; return what was printed."""
        pipe = subprocess.PIPE
        process = self.start(line, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        out, _ = process.communicate(answer, COMMAND_SECONDS)
        assert process.returncode == 0, f"{line}: {out}"
        return str(out)

    def boot(self, role: str) -> "subprocess.Popen[Any]":
        """Start what the systemd unit starts."""
        (line,) = re.findall(r"^ExecStart=@PREFIX@/bin/(.*)$", UNIT, re.MULTILINE)
        return self.start(line.replace("@ROLE@", role))

    def links(self) -> list[LinkStatus]:
        """Return the links that the machine's daemon has, once there is a session."""
        try:
            (socket,) = (self.room / "run" / "wrrtun").glob("*.sock")
            (peer,) = Snapshot.from_json(fetch(socket, "status", COMMAND_SECONDS)).peers
        except (OSError, ValueError):
            return []
        return peer.links if peer.session.up else []

    def is_bonded(self) -> bool:
        """Tell whether both links are up."""
        return [link.state for link in self.links()] == ["up", "up"]


def plug(home: Namespace, device: str, *gateway: str) -> None:
    """Bring a line up as DHCP does; without a gateway, as one that forgets its default route."""
    home.iproute.link("set", index=home.index(device), state="up")
    for address in gateway:
        metric = 100 if device == "eth0" else 200
        home.iproute.route(
            "replace", dst="0.0.0.0/0", gateway=address, oif=home.index(device), priority=metric
        )


def test_the_guide_leads_to_a_bonded_home_that_outlives_a_line_and_a_reboot(
    house: Household,
) -> None:
    for old, new in (("dsl", "eth0"), ("lte", "eth1"), ("lan0", "eth2")):
        index = house.home.index(old)
        house.home.iproute.link("set", index=index, state="down")
        house.home.iproute.link("set", index=index, ifname=new)
    plug(house.home, "eth0", "192.168.1.1")
    plug(house.home, "eth1")
    plug(house.home, "eth2")
    vps, home = (Machine(house.spaces[name], house.room / name) for name in ("vps", "home"))

    init, invite, serve = commands("1. The server")
    assert init.endswith(f"--public {VPS}")
    vps.type(init)
    invitation = vps.type(invite).splitlines()[0]
    running = [vps.start(serve)]

    show, add, join, connect = commands("2. The router")
    assert "192.168.2.1" not in home.type(show)
    home.type(add)
    eventually((vps.room / "run/wrrtun/server.sock").exists)
    said = home.type(join, invitation + "\n")
    assert said.count("the server answers, in") == 2, said
    running.append(home.start(connect))

    ping, status, curl = commands("3. Look")
    eventually(lambda: home.is_bonded() and vps.is_bonded())
    (gateway,) = re.findall(
        r"(10\.\d+\.\d+)\.2/30", (home.room / "etc/wrrtun/client.toml").read_text()
    )
    assert re.fullmatch(r"ping 10\.[\d.]+", ping)
    assert " 0% packet loss" in home.type(f"ping -c 3 {gateway}.1")
    for machine in (home, vps):
        assert machine.type(status).count("is up: ") == 2
    assert curl.startswith("curl https://")
    assert house.loads("lan") == VPS

    before = [link.received_bytes for link in home.links()]
    download = house.download("lan")
    assert download.stdout is not None
    assert download.stdout.readline() == "half\n"
    grown = [link.received_bytes - old for link, old in zip(home.links(), before, strict=True)]
    assert min(grown) > FILE_BYTES / 20
    house.ispA.iproute.link("set", index=house.ispA.index("out"), state="down")
    assert download.communicate(timeout=COMMAND_SECONDS)[0] == f"{FILE_BYTES}\n"
    house.ispA.iproute.link("set", index=house.ispA.index("out"), state="up")
    house.ispA.iproute.route("replace", dst="0.0.0.0/0", gateway="100.64.1.1")

    for process in running:
        process.kill()
        process.wait()
    for machine in (home, vps):
        shutil.rmtree(machine.room / "run")
        (machine.room / "run").mkdir()
        machine.space.sysctl({"ipv4/ip_forward": 0})
    for device in ("eth0", "eth1"):
        house.home.iproute.link("set", index=house.home.index(device), state="down")
    home.boot("client")
    vps.boot("server")
    plug(house.home, "eth1", "192.168.2.1")  # lines come when they come
    eventually(lambda: house.loads("lan") == VPS, BOOT_SECONDS)
    plug(house.home, "eth0", "192.168.1.1")
    eventually(lambda: home.is_bonded() and vps.is_bonded(), BOOT_SECONDS)
    assert house.loads("lan") == VPS
