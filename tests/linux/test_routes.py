"""Routes and rules carry our tag: made, found again and removed, and nobody else's touched."""

from ipaddress import ip_address, ip_network

import pytest

from tests.conftest import Namespace
from tests.linux.conftest import Wire
from wrrtun.linux.route_messages import Route, Rule
from wrrtun.linux.routes import MAIN_TABLE, Default, Routes

pytestmark = pytest.mark.root

ANYWHERE, ANYWHERE6 = ip_network("0.0.0.0/0"), ip_network("::/0")
LAN = ip_network("192.168.5.0/24")
ROUTES = {
    Route(ANYWHERE, 7701, "a", ip_address("10.1.0.9"), ip_address("10.1.0.1")),
    Route(ip_network("10.1.0.0/24"), 7701, "a", source=ip_address("10.1.0.1")),
    Route(ANYWHERE6, 7701, "a", ip_address("fe80::1"), ip_address("fd01::1")),
    Route(ANYWHERE, 7700, None, metric=4_000_000_000),
    Route(ANYWHERE6, 7700, None, metric=4_000_000_000),
    Route(LAN, MAIN_TABLE, "a", ip_address("10.1.0.9")),
    Route(LAN, MAIN_TABLE, None, metric=4_000_000_000),
}
RULES = {
    Rule(4, 7701, 7701, device="a", mark=0x7772),
    Rule(4, 7700, 7701, source=ip_address("10.1.0.1"), mark=0x7772),
    Rule(4, 7710, MAIN_TABLE, specific=True),
    Rule(6, 7710, MAIN_TABLE, specific=True),
    Rule(4, 7730, 7700, unmarked=0x7772),
    Rule(6, 7720, 7701, source=ip_address("fd01::1")),
}


def test_what_is_made_is_found_again_and_taken_away(wire: Wire) -> None:
    with wire.here, Routes(tag=119) as routes, Routes(tag=120) as others:
        assert routes.sync(ROUTES, RULES) == []
        assert (routes.own_routes(), routes.own_rules()) == (ROUTES, RULES)
        assert routes.sync(ROUTES, RULES) == []  # nothing to do
        assert (others.own_routes(), others.own_rules()) == (set(), set())
        assert others.sync((), ()) == []

        fewer = {route for route in ROUTES if route.table == 7700}
        assert routes.sync(fewer, ()) == []
        assert (routes.own_routes(), routes.own_rules()) == (fewer, set())
        assert routes.sync((), ()) == []
        assert routes.own_routes() == set()


def test_the_machines_default_routes_are_known_the_preferred_first(wire: Wire) -> None:
    with wire.here, Routes(tag=119) as routes:
        assert routes.defaults() == []
        wire.ip_here.route("add", dst="0.0.0.0/0", gateway="10.1.0.2", priority=200)
        wire.ip_here.route(
            "add", dst="0.0.0.0/0", gateway="10.1.0.3", prefsrc="10.1.0.1", priority=100
        )
        assert routes.defaults() == [
            Default("a", 4, ip_address("10.1.0.3"), ip_address("10.1.0.1"), 100),
            Default("a", 4, ip_address("10.1.0.2"), None, 200),
        ]
        routes.sync([Route(ANYWHERE, MAIN_TABLE, "a", ip_address("10.1.0.2"))], ())
        assert len(routes.defaults()) == 2  # ours is none of the machine's
        assert ip_network("10.1.0.0/24") in routes.networks()


def test_what_cannot_be_made_is_a_sentence_and_the_rest_is_made(namespace: Namespace) -> None:
    good = Route(ANYWHERE, 7700, None, metric=9)
    with Routes(tag=119) as routes:
        (failure,) = routes.sync([good, Route(LAN, 7700, "nowhere")], ())
        assert failure == (
            "cannot make the route to 192.168.5.0/24 dev nowhere in table 7700: No such device"
        )
        assert routes.own_routes() == {good}
