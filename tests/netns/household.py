"""A household: a LAN client behind a router with two lines, a rented server, and a web site.

    lan --- home ===+--- ispA ---+--- internet ---+--- vps
    192.168.10.2    +--- ispB ---+                +--- web

Both ISPs hide their customers (NAT) as ISPs do, the router's reverse path filter is strict, and
nobody but the internet knows a way to anybody. Every namespace has IPv4; home, vps and web have
IPv6 too. Nothing is shaped: the wires are as fast as the machine.
"""

import contextlib
import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path
from typing import Any

from bench.lab.namespace import Namespace
from tests.netns.ends import PATIENCE_SECONDS, eventually
from wrrtun.linux.control_socket import fetch
from wrrtun.linux.firewall import replace_table
from wrrtun.linux.firewall_rules import Chain, Masquerade, OutDevice
from wrrtun.status import Snapshot

VPS, VPS6 = "203.0.113.10", "2001:db8:ff::10"
WEB, WEB6 = "198.51.100.80", "2001:db8:80::80"

SYSCTL: dict[str, str | int] = {
    "ipv4/conf/all/rp_filter": 1,
    "ipv4/conf/default/rp_filter": 1,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/all/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
}
PAGE_BYTES = 300_000
FILE_BYTES = 5_000_000
FILE_PORT = 81

# From, its device and addresses, to, its device and addresses.
WIRES = [
    ("lan eth0 192.168.10.2/24 fd10::2/64", "home lan0 192.168.10.1/24 fd10::1/64"),
    ("home dsl 192.168.1.2/24 2001:db8:1::2/64", "ispA in 192.168.1.1/24 2001:db8:1::1/64"),
    ("home lte 192.168.2.2/24 2001:db8:2::2/64", "ispB in 192.168.2.1/24 2001:db8:2::1/64"),
    ("ispA out 100.64.1.2/24 2001:db8:a::2/64", "internet a 100.64.1.1/24 2001:db8:a::1/64"),
    ("ispB out 100.64.2.2/24 2001:db8:b::2/64", "internet b 100.64.2.1/24 2001:db8:b::1/64"),
    (f"vps eth0 {VPS}/24 {VPS6}/64", "internet vps 203.0.113.1/24 2001:db8:ff::1/64"),
    (f"web eth0 {WEB}/24 {WEB6}/64", "internet web 198.51.100.1/24 2001:db8:80::1/64"),
]
# Namespace, destination, gateway, metric.
ROUTES = [
    ("lan", "0.0.0.0/0", "192.168.10.1", 0),
    ("lan", "::/0", "fd10::1", 1024),
    ("home", "0.0.0.0/0", "192.168.1.1", 100),
    ("home", "0.0.0.0/0", "192.168.2.1", 200),
    ("home", "::/0", "2001:db8:1::1", 100),
    ("home", "::/0", "2001:db8:2::1", 200),
    ("ispA", "0.0.0.0/0", "100.64.1.1", 0),
    ("ispB", "0.0.0.0/0", "100.64.2.1", 0),
    ("ispA", "::/0", "2001:db8:a::1", 1024),
    ("ispB", "::/0", "2001:db8:b::1", 1024),
    ("internet", "2001:db8:1::/64", "2001:db8:a::2", 1024),
    ("internet", "2001:db8:2::/64", "2001:db8:b::2", 1024),
    ("vps", "0.0.0.0/0", "203.0.113.1", 0),
    ("web", "0.0.0.0/0", "198.51.100.1", 0),
    ("vps", "::/0", "2001:db8:ff::1", 1024),
    ("web", "::/0", "2001:db8:80::1", 1024),
]
ROUTERS = ["ispA", "ispB", "internet"]


@dataclasses.dataclass
class Household:
    """The namespaces by name, and a directory for each machine's files."""

    spaces: dict[str, Namespace]
    room: Path

    def __getattr__(self, name: str) -> Namespace:
        return self.spaces[name]

    def wrrtun(self, machine: str, *words: str, stdin: str | None = None) -> str:
        """Run a command of wrrtun on a machine to its end; return what it printed."""
        process = self.spaces[machine].popen(
            [sys.executable, "-m", "wrrtun", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        out, _ = process.communicate(stdin, PATIENCE_SECONDS)
        assert process.returncode == 0, out
        return str(out)

    def config(self, machine: str) -> Path:
        """Return where a machine keeps its configuration."""
        role = "server" if machine == "vps" else "client"
        return self.room / machine / f"{role}.toml"

    def write(self, machine: str, *lines: str) -> None:
        """Put lines before a machine's configuration."""
        path = self.config(machine)
        path.write_text("".join(f"{line}\n" for line in lines) + path.read_text())

    def start(self, machine: str) -> "subprocess.Popen[Any]":
        """Start a machine's daemon; its log is in its directory."""
        role = self.config(machine).stem
        with (self.room / machine / "log").open("a") as log:
            return self.spaces[machine].popen(
                [sys.executable, "-m", "wrrtun", role, "--config", str(self.config(machine))],
                stdout=log,
                stderr=log,
            )

    def log(self, machine: str) -> str:
        """Return what a machine's daemon has said."""
        return (self.room / machine / "log").read_text()

    def status(self, machine: str) -> Snapshot | None:
        """Ask a machine's daemon; None while it does not answer."""
        try:
            return Snapshot.from_json(fetch(self.room / machine / "sock", "status", 3.0))
        except OSError:
            return None

    def up(self, machine: str = "home", links: int = 2) -> bool:
        """Tell whether a machine's tunnel has a session and so many links that carry."""
        seen = self.status(machine)
        if seen is None or not seen.peers:
            return False
        peer = seen.peers[0]
        return peer.session.up and sum(link.state == "up" for link in peer.links) >= links

    def routes(self, machine: str) -> list[str]:
        """Return the routes and rules of a machine, without those that the kernel makes itself."""
        lines: list[str] = []
        for words in (["rule"], ["-6", "rule"], ["route", "show", "table", "all"]):
            lines += self.spaces[machine].run(["ip", *words], 5.0).stdout.splitlines()
        return [line for line in lines if "proto kernel" not in line]

    def loads(self, machine: str = "lan", host: str = WEB, seconds: float = 3.0) -> str | None:
        """Load the page from a machine: the address that the web site saw; None: nothing came."""
        code = (
            "import socket,sys\n"
            f"s=socket.create_connection(({host!r},80),{seconds})\n"
            "data=b''\n"
            "while (part:=s.recv(65536)): data+=part\n"
            f"assert len(data)>{PAGE_BYTES}\n"
            "print(data.split(b' ',1)[0].decode())"
        )
        done = self.spaces[machine].run([sys.executable, "-c", code], PATIENCE_SECONDS)
        return done.stdout.strip() if done.returncode == 0 else None

    def download(self, machine: str) -> "subprocess.Popen[str]":
        """Start to load the file: it prints a line when half of it is there, and then its size."""
        code = (
            "import socket\n"
            f"s=socket.create_connection(({WEB!r},{FILE_PORT}),20)\n"
            "size=0; told=False\n"
            "while (part:=s.recv(65536)):\n"
            "    size+=len(part)\n"
            f"    if size>{FILE_BYTES // 2} and not told: told=True; print('half',flush=True)\n"
            "print(size)"
        )
        return self.spaces[machine].popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )


# Says who asks, and sends a page; on the other port a file, over a few seconds.
SITE = f"""
import socket, socketserver, threading, time
class Page(socketserver.BaseRequestHandler):
    def handle(self):
        who = self.client_address[0].removeprefix("::ffff:")
        self.request.sendall(who.encode() + b" " + bytes({PAGE_BYTES}))
class File(socketserver.BaseRequestHandler):
    def handle(self):
        for _ in range(100):
            self.request.sendall(bytes({FILE_BYTES} // 100))
            time.sleep(0.04)
class Site(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = daemon_threads = True
threading.Thread(target=Site(("::", {FILE_PORT}), File).serve_forever, daemon=True).start()
Site(("::", 80), Page).serve_forever()
"""


@contextlib.contextmanager
def household(room: Path) -> Iterator[Household]:
    """Build it; what was started in it ends with it."""
    with contextlib.ExitStack() as stack:
        spaces: dict[str, Namespace] = {}
        for name in ("lan", "home", "ispA", "ispB", "internet", "vps", "web"):
            spaces[name] = stack.enter_context(Namespace.create(name))
            spaces[name].sysctl(SYSCTL)
            (room / name).mkdir()
        for near, far in (map(str.split, wire) for wire in WIRES):
            spaces[near[0]].iproute.link(
                "add",
                ifname=near[1],
                kind="veth",
                peer={"ifname": far[1], "net_ns_fd": spaces[far[0]].name},
            )
            for name, device, *addresses in (near, far):
                equip(spaces[name], device, addresses)
        for name in ROUTERS:
            spaces[name].sysctl({"ipv4/ip_forward": 1, "ipv6/conf/all/forwarding": 1})
        for name, destination, gateway, metric in ROUTES:
            spaces[name].iproute.route("add", dst=destination, gateway=gateway, priority=metric)
        for isp in ("ispA", "ispB"):
            with spaces[isp].entered():
                hide = Chain("c", "nat", "postrouting", 100, ((OutDevice("out"), Masquerade()),))
                replace_table("isp", (hide,))
        made = Household(spaces, room)
        spaces["web"].popen([sys.executable, "-c", SITE])
        eventually(lambda: made.loads("vps"))
        yield made


def equip(space: Namespace, device: str, addresses: list[str]) -> None:
    """Set a device up and give it addresses."""
    index = space.index(device)
    for address in map(ip_interface, addresses):
        space.iproute.addr(
            "add", index=index, address=str(address.ip), prefixlen=address.network.prefixlen
        )
    space.iproute.link("set", index=index, state="up")
