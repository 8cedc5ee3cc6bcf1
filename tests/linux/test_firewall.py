"""Tables of nftables do to packets what their rules say, and go without a trace."""

import socket
from ipaddress import ip_network
from pathlib import Path

import pytest

from tests.conftest import Namespace
from tests.linux.conftest import PORT, Wire
from wrrtun.core.errors import ConfigError
from wrrtun.linux.firewall import let_forward, replace_table
from wrrtun.linux.firewall_rules import (
    ACCEPT,
    DROP,
    RETURN,
    Chain,
    ClampSegments,
    FirewallRule,
    From,
    InDevice,
    Mark,
    Masquerade,
    OutDevice,
    Port,
    To,
    Verdict,
)

pytestmark = pytest.mark.root


def outgoing(*rules: FirewallRule) -> tuple[Chain, ...]:
    return (Chain("output", "filter", "output", 0, rules),)


def may_send(wire: Wire, host: str, port: int = PORT, mark: int = 0) -> bool:
    """Tell whether the kernel lets a datagram out."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with wire.here, socket.socket(family, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        try:
            sender.sendto(b"x", (host, port))
        except PermissionError:
            return False
        return True


@pytest.mark.parametrize(
    ("rule", "refused", "passed"),
    [
        ((OutDevice("a"),), "10.1.0.2", None),
        ((OutDevice("b"),), None, "10.1.0.2"),
        ((To(ip_network("10.1.0.2/31")),), "10.1.0.3", "fd01::2"),
        ((To(ip_network("10.1.0.2/32")),), "10.1.0.2", "10.1.0.3"),
        ((To(ip_network("fd01::2/127")),), "fd01::3", "10.1.0.2"),
        ((To(ip_network("::/0")),), "fd01::2", "10.1.0.2"),
        ((From(ip_network("10.1.0.0/24")),), "10.1.0.2", "fd01::2"),
        ((From(ip_network("fd01::1/128")), OutDevice("a")), "fd01::2", "10.1.0.2"),
        ((Port(17, PORT),), "10.1.0.2", None),
        ((Port(6, PORT),), None, "10.1.0.2"),
        ((Port(17, PORT + 1),), None, "fd01::2"),
    ],
)
def test_a_rule_holds_for_what_it_says(
    wire: Wire, rule: FirewallRule, refused: str | None, passed: str | None
) -> None:
    with wire.here:
        replace_table("wrrtun-test", outgoing((*rule, Verdict(DROP))))
    assert refused is None or not may_send(wire, refused)
    assert passed is None or may_send(wire, passed)


def test_the_first_rule_that_holds_decides(wire: Wire) -> None:
    with wire.here:
        replace_table(
            "wrrtun-test",
            outgoing((Mark(0x7772), Verdict(ACCEPT)), (OutDevice("a"), Verdict(DROP))),
        )
    assert may_send(wire, "10.1.0.2", mark=0x7772)
    assert not may_send(wire, "10.1.0.2", mark=0x7773)
    with wire.here:
        replace_table("wrrtun-test", outgoing((OutDevice("a"), Verdict(RETURN))))
        assert may_send(wire, "10.1.0.2")
        replace_table("wrrtun-test", outgoing((Verdict(DROP),)))
        assert not may_send(wire, "10.1.0.2")
        replace_table("wrrtun-test", ())
        replace_table("wrrtun-test", ())
    assert may_send(wire, "10.1.0.2")


def test_the_kernel_takes_what_a_router_needs(namespace: Namespace) -> None:
    clamp = Chain("f", "filter", "forward", -150, ((InDevice("wrr0"), ClampSegments()),))
    nat = Chain("p", "nat", "postrouting", 100, ((OutDevice("wrr0"), Masquerade()),))
    replace_table("wrrtun-test", (clamp, nat))
    with pytest.raises(ConfigError, match="cannot set nftables' rules"):
        replace_table("wrrtun-test", (Chain("x", "nonsense", "forward", 0, ()),))


def test_forwarding_leaves_a_machine_its_router_advertisements(namespace: Namespace) -> None:
    settings = Path("/proc/sys/net/ipv6/conf")
    (settings / "lo" / "accept_ra").write_text("1")
    (settings / "default" / "accept_ra").write_text("0")
    let_forward(4)
    let_forward(6)
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert (settings / "all" / "forwarding").read_text() == "1\n"
    assert (settings / "lo" / "accept_ra").read_text() == "2\n"
    assert (settings / "default" / "accept_ra").read_text() == "0\n"
