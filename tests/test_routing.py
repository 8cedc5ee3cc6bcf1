"""Which routes, rules and filters a tunnel wants, on plain values."""

from ipaddress import ip_address, ip_interface, ip_network

import pytest

from wrrtun.config import RoutingConfig
from wrrtun.linux.firewall_rules import ACCEPT, DROP, From, Mark, OutDevice, Port, To, Verdict
from wrrtun.linux.route_messages import Route, Rule
from wrrtun.linux.routes import MAIN_TABLE, Default
from wrrtun.routing import (
    LAST_METRIC,
    MARK,
    Line,
    Tunnel,
    Way,
    client_firewall,
    client_routes,
    kill_switch,
    server_firewall,
    server_routes,
    ways,
)

ALL = ip_network("0.0.0.0/0")
OFFICE = ip_network("192.168.50.0/24")
INSIDE = ip_address("10.9.0.1")
DSL, LTE = ip_interface("192.168.1.2/24"), ip_interface("192.168.2.2/24")
DSL_GATEWAY, LTE_GATEWAY = ip_address("192.168.1.1"), ip_address("192.168.2.1")
LINES = [
    Line(0, "eth0", (DSL,), (Way(4, DSL_GATEWAY),), by_device=True),
    Line(1, "eth1", (LTE,), (Way(4, LTE_GATEWAY),), by_device=False),
]


def tunnel(
    *networks: object, present: bool = True, carrying: bool = True, block: bool = False
) -> Tunnel:
    routing = RoutingConfig(tuple(ip_network(str(one)) for one in networks), (INSIDE,))
    return Tunnel("wrr0", routing, present, carrying, block)


def test_everything_goes_through_a_table_of_its_own() -> None:
    routes, rules = client_routes(tunnel(ALL), [])
    assert routes == {Route(ALL, 7700, "wrr0", INSIDE)}
    assert rules == {Rule(4, 7710, MAIN_TABLE, specific=True), Rule(4, 7730, 7700, unmarked=MARK)}


def test_a_network_goes_through_the_main_table() -> None:
    assert client_routes(tunnel(OFFICE), []) == (
        {Route(OFFICE, MAIN_TABLE, "wrr0", INSIDE)},
        set(),
    )


def test_each_line_has_a_table_for_our_datagrams_and_for_its_own_address() -> None:
    routes, rules = client_routes(tunnel(), LINES)
    assert routes == {
        Route(ALL, 7701, "eth0", DSL_GATEWAY, DSL.ip),
        Route(DSL.network, 7701, "eth0", source=DSL.ip),
        Route(ALL, 7702, "eth1", LTE_GATEWAY, LTE.ip),
        Route(LTE.network, 7702, "eth1", source=LTE.ip),
    }
    assert rules == {
        Rule(4, 7701, 7701, device="eth0", mark=MARK),
        Rule(4, 7720, 7701, source=DSL.ip),
        Rule(4, 7700, 7702, source=LTE.ip, mark=MARK),
        Rule(4, 7720, 7702, source=LTE.ip),
    }


@pytest.mark.parametrize("when", [{"carrying": False}, {"present": False}])
def test_a_tunnel_that_is_down_gets_nothing(when: dict[str, bool]) -> None:
    assert client_routes(tunnel(ALL, OFFICE, **when), []) == (set(), set())


@pytest.mark.parametrize("when", [{"carrying": False}, {"present": False}])
def test_with_a_kill_switch_what_cannot_go_into_the_tunnel_is_unreachable(
    when: dict[str, bool],
) -> None:
    routes, rules = client_routes(tunnel(ALL, OFFICE, block=True, **when), [])
    assert routes == {
        Route(ALL, 7700, None, metric=LAST_METRIC),
        Route(OFFICE, MAIN_TABLE, None, metric=LAST_METRIC),
    }
    assert {rule.priority for rule in rules} == {7710, 7730}


def default(
    device: str, gateway: str | None, source: str | None = None, metric: int = 0
) -> Default:
    version = ip_address(gateway or source or "0.0.0.0").version
    return Default(
        device,
        version,
        ip_address(gateway) if gateway else None,
        ip_address(source) if source else None,
        metric,
    )


@pytest.mark.parametrize(
    ("defaults", "alone", "gateway"),
    [
        ([default("eth0", "192.168.1.1")], False, "192.168.1.1"),
        ([default("eth1", "192.168.1.1")], True, None),
        ([default("eth0", "192.168.9.1"), default("eth0", "192.168.1.9")], False, "192.168.1.9"),
        (
            [default("eth0", "10.0.0.1"), default("eth0", "10.0.0.2", "192.168.1.2")],
            False,
            "10.0.0.2",
        ),
        ([default("eth0", "10.0.0.1")], True, "10.0.0.1"),
        ([default("eth0", "10.0.0.1")], False, None),
        ([default("eth0", "fe80::1")], True, None),
    ],
)
def test_a_lines_gateway_is_that_of_its_default_route(
    defaults: list[Default], alone: bool, gateway: str | None
) -> None:
    found = ways("eth0", [DSL], defaults, None, alone=alone)
    assert [str(way.gateway) for way in found] == ([gateway] if gateway else [])


def test_a_line_may_have_a_gateway_of_each_family_or_none_at_all() -> None:
    both = [DSL, ip_interface("2001:db8::2/64"), ip_interface("fe80::2/64")]
    defaults = [default("eth0", "192.168.1.1"), default("eth0", "fe80::1")]
    assert ways("eth0", both, defaults, None, alone=True) == (
        Way(4, DSL_GATEWAY),
        Way(6, ip_address("fe80::1")),
    )
    assert ways("ppp0", [DSL], [Default("ppp0", 4, None, None, 0)], None, alone=True) == (
        Way(4, None),
    )
    named = ip_address("192.168.1.77")
    assert ways("eth0", [DSL], defaults, named, alone=True) == (Way(4, named),)


def test_a_server_routes_what_is_behind_its_clients() -> None:
    routing = RoutingConfig((OFFICE, ip_network("fd00::/64")), (INSIDE, ip_address("fd01::2")))
    assert server_routes({"wrr3": routing}) == {
        Route(OFFICE, MAIN_TABLE, "wrr3", INSIDE),
        Route(ip_network("fd00::/64"), MAIN_TABLE, "wrr3", ip_address("fd01::2")),
    }


def test_nat_spares_what_is_the_machines_own() -> None:
    (clamp,) = client_firewall(tunnel(ALL), LINES, nat=False)
    assert len(clamp.rules) == 2
    _, nat = client_firewall(tunnel(ALL), LINES, nat=True)
    places = {rule[0]: place for place, rule in enumerate(nat.rules)}
    assert places[OutDevice("wrr0")] < places[From(ip_network(DSL.ip))] < places[OutDevice("eth0")]

    assert server_firewall([], [], nat=True) == ()
    _, nat = server_firewall(["wrr0"], [OFFICE], nat=True)
    assert [rule[0] for rule in nat.rules] == [OutDevice("wrr0"), From(OFFICE)]


def test_a_kill_switch_lets_out_our_datagrams_and_what_is_local() -> None:
    output, forward = kill_switch(LINES)
    assert output.rules[0] == (OutDevice("eth0"), Mark(MARK), Verdict(ACCEPT))
    assert all(not isinstance(rule[1], Mark) for rule in forward.rules)
    for device, own in (("eth0", DSL), ("eth1", LTE)):
        rules = [rule[1:] for rule in forward.rules if rule[0] == OutDevice(device)]
        assert rules[-1] == (Verdict(DROP),)
        assert (To(own.network), Verdict(ACCEPT)) in rules
        name_server = rules.index((Port(17, 53), Verdict(DROP)))
        assert name_server < rules.index((To(own.network), Verdict(ACCEPT)))
