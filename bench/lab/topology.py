"""Client, lines and server as namespaces.

                    home  +--------+  net
          lineA  +--------| line A |--------+  ispA
    +--------+   |        +--------+        |   +--------+
    | client |---+                          +---| server |  198.51.100.1, fd00:ffff::1
    +--------+   |        +--------+        |   +--------+
          lineB  +--------| line B |--------+  ispB
                    home  +--------+  net

Each line is a router with netem on both of its devices: down on home, up on net. It has a
namespace of its own because netem must see packets, not super-packets: with offloads off on the
ends' devices a super-packet is cut before it leaves the end, and netem comes after that.
Unshaped, there is no router, the two ends are joined by plain veths, and offloads stay on.

The client's devices are in 10.1.N.0/24 and fd00:1:N::/64 (N from 1), it is .2, its gateway .1; it
has a default route per device (the first line's is preferred) and one per source address. Every
neighbour is entered for good, as a modem answers ARP whatever its line does: a line that was cut
must swallow packets, not make the kernel say that there is no route.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Final

from pyroute2.ethtool import Ethtool

from bench.lab import netem
from bench.lab.namespace import Namespace
from bench.profiles import Direction, Line, Profile

SERVER_ADDRESS: Final = "198.51.100.1"
SERVER_ADDRESS6: Final = "fd00:ffff::1"
LETTERS: Final = "ABCDEFGH"

_SYSCTL: Final = {
    "ipv4/ip_forward": 1,
    "ipv4/conf/all/rp_filter": 0,
    "ipv4/conf/default/rp_filter": 0,
    "ipv6/conf/all/forwarding": 1,
    "ipv6/conf/default/accept_dad": 0,
    "ipv6/conf/default/accept_ra": 0,
}
_CLIENT_TABLE: Final = 100  # plus the line's number: routes for packets from its address


@dataclasses.dataclass(frozen=True)
class End:
    """One end of a wire."""

    namespace: Namespace
    device: str
    address: str
    address6: str
    mac: str


class LabLine:
    """A line of a running lab; it can be changed, cut and restored while traffic flows."""

    def __init__(self, number: int, router: Namespace | None, profile: Line | None) -> None:
        self.number = number
        self.device = f"line{LETTERS[number - 1]}"  # the client's
        self.address = f"10.1.{number}.2"
        self.address6 = f"fd00:1:{number}::2"
        self.profile = profile
        self.router = router

    def set(self, down: Direction | None = None, up: Direction | None = None) -> None:
        """Change what the line is like, in one direction or both, from the next packet on."""
        assert self.router is not None, "an unshaped line has nothing to set"
        for device, direction in (("home", down), ("net", up)):
            if direction is not None:
                netem.shape(self.router.iproute, self.router.index(device), direction)

    def cut(self, *, down: bool = True, up: bool = True) -> None:
        """Lose every packet that enters the line from now on; carrier stays, as with a modem."""
        assert self.profile is not None
        self.set(
            down=dataclasses.replace(self.profile.down, loss=1.0) if down else None,
            up=dataclasses.replace(self.profile.up, loss=1.0) if up else None,
        )

    def restore(self) -> None:
        """Make the line what its profile says."""
        assert self.profile is not None
        self.set(self.profile.down, self.profile.up)


@dataclasses.dataclass(frozen=True)
class Lab:
    """A running lab. What is started in its namespaces ends with it."""

    client: Namespace
    server: Namespace
    lines: tuple[LabLine, ...]


@contextlib.contextmanager
def shaped(profile: Profile) -> Iterator[Lab]:
    """Make a lab with emulated lines; needs netem (see `ensure_netem`)."""
    with _lab(len(profile), profile) as lab:
        yield lab


@contextlib.contextmanager
def unshaped(lines: int) -> Iterator[Lab]:
    """Make a lab whose 1 to 8 lines are plain wires, with offloads, as fast as the CPU."""
    with _lab(lines, None) as lab:
        yield lab


@contextlib.contextmanager
def _lab(count: int, profile: Profile | None) -> Iterator[Lab]:
    with contextlib.ExitStack() as stack:

        def namespace(role: str) -> Namespace:
            made = stack.enter_context(Namespace.create(role))
            made.sysctl(_SYSCTL)
            return made

        client, server = namespace("client"), namespace("server")
        for address, bits in ((SERVER_ADDRESS, 32), (SERVER_ADDRESS6, 128)):
            server.iproute.addr("add", index=1, address=address, prefixlen=bits)
        lines = []
        for number in range(1, count + 1):
            router = namespace(LETTERS[number - 1]) if profile else None
            line = LabLine(number, router, profile[number - 1] if profile else None)
            _lay(line, client, server)
            if profile:
                line.restore()
            lines.append(line)
        yield Lab(client, server, tuple(lines))


def _lay(line: LabLine, client: Namespace, server: Namespace) -> None:
    """Wire a line's devices up and enter the routes over it."""
    n = line.number
    home = End(client, line.device, line.address, line.address6, f"02:01:00:00:{n:02x}:02")
    isp = f"isp{LETTERS[n - 1]}"
    if line.router is None:
        gateway = End(server, isp, f"10.1.{n}.1", f"fd00:1:{n}::1", f"02:01:00:00:{n:02x}:01")
        _wire(home, gateway, offloads=True)
    else:
        gateway = End(
            line.router, "home", f"10.1.{n}.1", f"fd00:1:{n}::1", f"02:01:00:00:{n:02x}:01"
        )
        out = End(line.router, "net", f"10.2.{n}.1", f"fd00:2:{n}::1", f"02:02:00:00:{n:02x}:01")
        far = End(server, isp, f"10.2.{n}.2", f"fd00:2:{n}::2", f"02:02:00:00:{n:02x}:02")
        _wire(home, gateway, offloads=False)
        _wire(out, far, offloads=False)
        _route(out, f"{SERVER_ADDRESS}/32", far.address)
        _route(out, f"{SERVER_ADDRESS6}/128", far.address6)
        _route(far, f"10.1.{n}.0/24", out.address, prefsrc=SERVER_ADDRESS)
        _route(far, f"fd00:1:{n}::/64", out.address6, prefsrc=SERVER_ADDRESS6)
    for anywhere, via, source, bits in (
        ("0.0.0.0/0", gateway.address, home.address, 32),
        ("::/0", gateway.address6, home.address6, 128),
    ):
        _route(home, anywhere, via, priority=1000 + n)
        _route(home, anywhere, via, table=_CLIENT_TABLE + n)
        client.iproute.rule("add", src=source, src_len=bits, table=_CLIENT_TABLE + n, priority=n)


def _wire(one: End, other: End, *, offloads: bool) -> None:
    """Join two ends by a veth pair, up, addressed and knowing each other."""
    one.namespace.iproute.link(
        "add",
        ifname=one.device,
        kind="veth",
        address=one.mac,
        peer={"ifname": other.device, "address": other.mac, "net_ns_fd": other.namespace.name},
    )
    for end, far in ((one, other), (other, one)):
        iproute, index = end.namespace.iproute, end.namespace.index(end.device)
        for address, bits in ((end.address, 24), (end.address6, 64)):
            iproute.addr("add", index=index, address=address, prefixlen=bits)
        iproute.link("set", index=index, state="up")
        for address in (far.address, far.address6):
            iproute.neigh("add", ifindex=index, dst=address, lladdr=far.mac, state="permanent")
        if not offloads:
            _switch_offloads_off(end)


def _route(end: End, destination: str, gateway: str, **more: str | int) -> None:
    index = end.namespace.index(end.device)
    end.namespace.iproute.route("add", dst=destination, gateway=gateway, oif=index, **more)


def _switch_offloads_off(end: End) -> None:
    """Make a device carry packets as a wire does: no larger than its MTU.

    Checksum offload stays: the kernel refuses UDP_SEGMENT on a device without it.
    """
    with end.namespace.entered():
        ethtool = Ethtool()
    try:
        features = ethtool.get_features(end.device)
        for name, feature in features.features.items():
            if "segmentation" in name or name in ("rx-gro", "rx-gro-list", "rx-lro"):
                feature.enable = False
        ethtool.set_features(end.device, features)
    finally:
        ethtool.close()
