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
Where this kernel has no netem, each router is two, with a cable between them that has (cable.py):

    home  +--------+ wan                                       wan +--------+  net
     -----| line A |---- 10.3.N.1 ~~~~~~~ guest ~~~~~~~ 10.3.N.2 ----| far A  |-----
          +--------+                                               +--------+

The client's devices are in 10.1.N.0/24 and fd00:1:N::/64 (N from 1), it is .2, its gateway .1; it
has a default route per device (the first line's is preferred) and one per source address. Every
neighbour is entered for good, as a modem answers ARP whatever its line does: a line that was cut
must swallow packets, not make the kernel say that there is no route.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from bench.lab import netem, uml
from bench.lab.cable import Cables, Side
from bench.lab.namespace import Namespace
from bench.lab.wires import End, add_neighbour, add_route, join, switch_off
from bench.profiles import Direction, Line

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


class LabLine:
    """A line of a running lab; it can be changed, cut and restored while traffic flows."""

    def __init__(
        self,
        number: int,
        client: Namespace,
        router: Namespace | None,
        profile: Line | None,
        cables: Cables | None = None,
    ) -> None:
        self.number = number
        self._client = client
        self._cables = cables
        self._unplugged = False
        self.device = f"line{LETTERS[number - 1]}"  # the client's
        self.address = _address(number, 2)
        self.address6 = _address6(number, 2)
        self.profile = profile
        self.router = router

    def set(self, down: Direction | None = None, up: Direction | None = None) -> None:
        """Change what the line is like, in one direction or both, from the next packet on."""
        assert self.router is not None, "an unshaped line has nothing to set"
        if down is not None:
            self._shape("home", "near", down)
        if up is not None:
            self._shape("net", "far", up)

    def _shape(self, device: str, side: Side, direction: Direction) -> None:
        assert self.router is not None
        if self._cables is not None:
            self._cables.shape(self.number - 1, side, direction)
        else:
            netem.shape(self.router.iproute, self.router.index(device), direction)

    def cut(self, *, down: bool = True, up: bool = True) -> None:
        """Lose every packet that enters the line from now on; carrier stays, as with a modem."""
        assert self.profile is not None
        self.set(
            down=dataclasses.replace(self.profile.down, loss=1.0) if down else None,
            up=dataclasses.replace(self.profile.up, loss=1.0) if up else None,
        )

    def unplug(self) -> None:
        """Take the carrier from the client's device."""
        assert self.router is not None
        self.router.iproute.link("set", index=self.router.index("home"), state="down")
        self._unplugged = True

    def move(self) -> None:
        """Give the client another address on this line, as a mobile network does now and then."""
        self._readdress(self.address, _address(self.number, 3))

    def restore(self) -> None:
        """Make the line what its profile says: its rate, its carrier, its first address."""
        assert self.profile is not None
        self.set(self.profile.down, self.profile.up)
        if self._unplugged:
            self._plug()
        self._readdress(self.address, _address(self.number, 2))

    def _plug(self) -> None:
        """Give the carrier back, and what the kernel forgot when the router's device went down."""
        assert self.router is not None
        iproute, index = self.router.iproute, self.router.index("home")
        iproute.link("set", index=index, state="up")
        iproute.addr("add", index=index, address=_address6(self.number, 1), prefixlen=64)
        for address in (self.address, self.address6):
            add_neighbour(self.router, index, address, _home_mac(self.number))
        self._unplugged = False

    def _readdress(self, before: str, after: str) -> None:
        if before == after:
            return
        assert self.router is not None
        iproute, table = self._client.iproute, _CLIENT_TABLE + self.number
        index = self._client.index(self.device)
        add_neighbour(self.router, self.router.index("home"), after, _home_mac(self.number))
        rule = {"src_len": 32, "table": table, "priority": self.number}
        iproute.addr("del", index=index, address=before, prefixlen=24)
        iproute.rule("del", src=before, **rule)
        iproute.addr("add", index=index, address=after, prefixlen=24)
        iproute.rule("add", src=after, **rule)
        # With a device's last IPv4 address the kernel forgets its routes and neighbours too.
        gateway = _address(self.number, 1)
        add_neighbour(self._client, index, gateway, _gateway_mac(self.number))
        for more in ({"priority": 1000 + self.number}, {"table": table}):
            iproute.route("replace", dst="0.0.0.0/0", gateway=gateway, oif=index, **more)
        self.address = after


@dataclasses.dataclass(frozen=True)
class Lab:
    """A running lab. What is started in its namespaces ends with it."""

    client: Namespace
    server: Namespace
    lines: tuple[LabLine, ...]


@contextlib.contextmanager
def shaped(profile: Iterable[Line]) -> Iterator[Lab]:
    """Make a lab with emulated lines; needs netem, see `ensure_netem`."""
    lines = tuple(profile)
    with _lab(len(lines), lines) as lab:
        yield lab


@contextlib.contextmanager
def unshaped(lines: int) -> Iterator[Lab]:
    """Make a lab whose 1 to 8 lines are plain wires, with offloads, as fast as the CPU."""
    with _lab(lines, None) as lab:
        yield lab


@contextlib.contextmanager
def _lab(count: int, profile: tuple[Line, ...] | None) -> Iterator[Lab]:
    with contextlib.ExitStack() as stack:

        def namespace(role: str) -> Namespace:
            made = stack.enter_context(Namespace.create(role))
            made.sysctl(_SYSCTL)
            return made

        cables = None
        if profile and not uml.inside() and not netem.available():
            cables = stack.enter_context(Cables())
        client, server = namespace("client"), namespace("server")
        for address, bits in ((SERVER_ADDRESS, 32), (SERVER_ADDRESS6, 128)):
            server.iproute.addr("add", index=1, address=address, prefixlen=bits)
        lines = []
        for number in range(1, count + 1):
            router = namespace(LETTERS[number - 1]) if profile else None
            told = profile[number - 1] if profile else None
            lines.append(LabLine(number, client, router, told, cables))
            if cables is None:
                _lay(lines[-1], client, server, router)
            else:
                far = namespace(f"{LETTERS[number - 1]}-far")
                _lay(lines[-1], client, server, far)
                _split(lines[-1], far, cables)
        if cables is not None:
            cables.start()
        for line in lines if profile else ():
            line.restore()
        yield Lab(client, server, tuple(lines))


def _lay(line: LabLine, client: Namespace, server: Namespace, far_router: Namespace | None) -> None:
    """Wire a line's devices up and enter the routes over it."""
    n = line.number
    home = End(client, line.device, line.address, line.address6, _home_mac(n))
    isp = f"isp{LETTERS[n - 1]}"
    if line.router is None or far_router is None:
        gateway = End(server, isp, _address(n, 1), _address6(n, 1), _gateway_mac(n))
        join(home, gateway, offloads=True)
    else:
        gateway = End(line.router, "home", _address(n, 1), _address6(n, 1), _gateway_mac(n))
        out = End(far_router, "net", f"10.2.{n}.1", f"fd00:2:{n}::1", f"02:02:00:00:{n:02x}:01")
        far = End(server, isp, f"10.2.{n}.2", f"fd00:2:{n}::2", f"02:02:00:00:{n:02x}:02")
        join(home, gateway, offloads=False)
        join(out, far, offloads=False)
        add_route(out, f"{SERVER_ADDRESS}/32", far.address)
        add_route(out, f"{SERVER_ADDRESS6}/128", far.address6)
        add_route(far, f"10.1.{n}.0/24", out.address, prefsrc=SERVER_ADDRESS)
        add_route(far, f"fd00:1:{n}::/64", out.address6, prefsrc=SERVER_ADDRESS6)
    for anywhere, via, source, bits in (
        ("0.0.0.0/0", gateway.address, home.address, 32),
        ("::/0", gateway.address6, home.address6, 128),
    ):
        add_route(home, anywhere, via, priority=1000 + n)
        add_route(home, anywhere, via, table=_CLIENT_TABLE + n)
        client.iproute.rule("add", src=source, src_len=bits, table=_CLIENT_TABLE + n, priority=n)


def _split(line: LabLine, far_router: Namespace, cables: Cables) -> None:
    """Lay a cable between the two halves of a router, and enter the routes over it."""
    assert line.router is not None
    n = line.number
    near = End(line.router, "wan", f"10.3.{n}.1", f"fd00:3:{n}::1", f"02:03:00:00:{n:02x}:01")
    far = End(far_router, "wan", f"10.3.{n}.2", f"fd00:3:{n}::2", f"02:03:00:00:{n:02x}:02")
    join(near, far, offloads=False, cables=cables)
    for end in (near, far):  # what goes to a packet socket must be whole
        switch_off(end.namespace, end.device, "tx-checksum")
    add_route(near, f"{SERVER_ADDRESS}/32", far.address)
    add_route(near, f"{SERVER_ADDRESS6}/128", far.address6)
    add_route(far, f"10.1.{n}.0/24", near.address)
    add_route(far, f"fd00:1:{n}::/64", near.address6)


def _address(line: int, host: int) -> str:
    return f"10.1.{line}.{host}"


def _address6(line: int, host: int) -> str:
    return f"fd00:1:{line}::{host}"


def _home_mac(line: int) -> str:
    """The client's MAC address on a line."""
    return f"02:01:00:00:{line:02x}:02"


def _gateway_mac(line: int) -> str:
    """The MAC address that the client sends a line's packets to."""
    return f"02:01:00:00:{line:02x}:01"
