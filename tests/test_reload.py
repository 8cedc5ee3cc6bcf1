"""What a reload changes, what it leaves alone, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from wrrtun.config import ClientConfig, Limits, PeerConfig, RoutingConfig, ServerConfig
from wrrtun.core.errors import ConfigError
from wrrtun.options import parse_link, parse_network
from wrrtun.reload import compare_peers, refuse_restart, renumber

CLIENT = ClientConfig(
    server_host="203.0.113.10",
    server_port=51820,
    server_public_key=bytes(32),
    private_key=bytes(32),
    psk=bytes(32),
    links=(parse_link("eth0:1"),),
    device="wrr0",
    addresses=(),
    bridge=None,
    mtu=None,
    cipher="auto",
    control_socket=Path("sock"),
    limits=Limits(),
)
SERVER = ServerConfig(None, 1, bytes(32), (), Path("sock"), Limits())
HOME = PeerConfig("home", bytes([1]) * 32, bytes(32), "wrr0", (), None, None)
BOAT = PeerConfig("boat", bytes([2]) * 32, bytes(32), "wrr1", (), None, None)


def test_links_keep_their_numbers_by_their_place() -> None:
    before = dict(enumerate(map(parse_link, ("eth0:10", "eth1:3", "eth2:1"))))
    wanted = [parse_link(text) for text in ("wlan0:5", "eth2:7", "eth0:10")]
    assert {number: link.where for number, link in renumber(before, wanted).items()} == {
        0: "eth0",
        1: "wlan0",
        2: "eth2",
    }
    assert renumber(before, wanted)[2].weight_down == 7


def test_links_weights_and_routes_need_no_restart() -> None:
    routing = RoutingConfig((parse_network("0.0.0.0/0"),))
    refuse_restart(CLIENT, replace(CLIENT, links=(), routing=routing, when_down="block", nat=True))
    refuse_restart(SERVER, replace(SERVER, peers=(HOME,), nat=True))


def test_what_needs_a_restart_is_named_as_in_the_file() -> None:
    after = replace(CLIENT, server_host="x", server_port=2, private_key=bytes([1]) * 32, links=())
    with pytest.raises(ConfigError, match=r"^server, key_file changed, which needs a restart$"):
        refuse_restart(CLIENT, after)
    with pytest.raises(ConfigError, match=r"^listen changed"):
        refuse_restart(SERVER, replace(SERVER, listen_port=2))


def test_only_peers_that_changed_lose_their_session() -> None:
    routed = replace(HOME, routing=RoutingConfig((parse_network("192.168.10.0/24"),)))
    assert compare_peers([HOME, BOAT], [routed, BOAT]) == ([], [])
    rekeyed = replace(BOAT, psk=bytes([9]) * 32)
    car = replace(BOAT, name="car", public_key=bytes([3]) * 32)
    assert compare_peers([HOME, BOAT], [rekeyed, car]) == ([HOME, BOAT], [rekeyed, car])
