"""Devices of throw-away namespaces, found and set up."""

import asyncio
from collections.abc import Callable
from ipaddress import ip_address, ip_interface

import pytest
import uvloop
from pyroute2 import IPRoute

from tests.conftest import Namespace
from tests.linux.conftest import Wire, eventually, index_of, set_up
from wrrtun.core.errors import ConfigError
from wrrtun.linux.netlink import LinkInfo, Netlink
from wrrtun.linux.tap import Tap

pytestmark = pytest.mark.root


def test_a_device_is_found_by_name_with_what_matters_about_it(wire: Wire) -> None:
    with wire.far, Netlink() as netlink:
        found = netlink.find_link("b")
        assert found is not None
        assert (found.name, found.index) == ("b", index_of(wire.ip_far, "b"))
        assert (found.mtu, found.up) == (1500, True)
        assert {str(a) for a in found.addresses if not a.is_link_local} == {
            "10.1.0.2/24",
            "10.1.0.3/24",
            "fd01::2/64",
            "fd01::3/64",
        }
        for nothing in ("lte0", "", "b:0", "a-name-of-16-byt"):
            assert netlink.find_link(nothing) is None


def test_a_device_without_carrier_says_so(wire: Wire) -> None:
    with wire.here, Netlink() as netlink:

        def state() -> tuple[bool, bool]:
            found = netlink.find_link("a")
            assert found is not None
            return found.up, found.carrier

        eventually(lambda: state() == (True, True))
        wire.ip_far.link("set", index=index_of(wire.ip_far, "b"), state="down")
        eventually(lambda: state() == (True, False))
        wire.ip_here.link("set", index=index_of(wire.ip_here, "a"), state="down")
        assert state() == (False, False)


def test_an_alias_label_stands_for_its_device_with_only_its_addresses(wire: Wire) -> None:
    wire.ip_here.addr(
        "add", index=index_of(wire.ip_here, "a"), address="10.7.0.1", prefixlen=24, label="a:dsl"
    )
    with wire.here, Netlink() as netlink:
        found = netlink.find_link("a:dsl")
        assert found is not None
        assert (found.name, found.addresses) == ("a", (ip_interface("10.7.0.1/24"),))


def test_a_device_is_found_by_an_address_of_either_family(wire: Wire) -> None:
    with wire.far, Netlink() as netlink:
        for address in ("10.1.0.3", "fd01::3"):
            found = netlink.find_address(ip_address(address))
            assert found is not None
            assert found.name == "b"
        assert netlink.find_address(ip_address("10.1.0.1")) is None


def test_a_tentative_address_is_none_yet(namespace: Namespace) -> None:
    """While duplicates are looked for, bind would fail with EADDRNOTAVAIL."""
    with Tap("wrr0"), IPRoute() as ip, Netlink() as netlink:
        set_up(ip, "wrr0")
        ip.addr("add", index=index_of(ip, "wrr0"), address="fd05::1", prefixlen=64)
        assert netlink.find_address(ip_address("fd05::1")) is None
        netlink.add_address("wrr0", ip_interface("fd05::2/64"))
        assert netlink.find_address(ip_address("fd05::2")) is not None


def test_a_tap_is_set_up_and_setting_it_up_again_changes_nothing(namespace: Namespace) -> None:
    with Tap("wrr0"), IPRoute() as ip, Netlink() as netlink:
        for _time in range(2):
            netlink.set_mtu("wrr0", 1434)
            netlink.set_mac("wrr0", "02:00:00:00:00:09")
            netlink.set_queue("wrr0", 1000)
            netlink.set_super_frames("wrr0", 61_000, 43)
            netlink.add_address("wrr0", ip_interface("10.9.0.1/24"))
            netlink.add_address("wrr0", ip_interface("fd09::1/64"))
            netlink.set_up("wrr0")

        found = netlink.find_link("wrr0")
        assert found is not None
        assert (found.mtu, found.up, found.carrier) == (1434, True, True)
        assert {ip_interface("10.9.0.1/24"), ip_interface("fd09::1/64")} <= set(found.addresses)
        [device] = ip.get_links(found.index)
        assert device.get_attr("IFLA_ADDRESS") == "02:00:00:00:00:09"
        assert device.get_attr("IFLA_TXQLEN") == 1000
        assert device.get_attr("IFLA_GSO_MAX_SIZE") == 61_000
        assert device.get_attr("IFLA_GSO_MAX_SEGS") == 43


def test_a_tap_becomes_a_port_of_a_bridge(namespace: Namespace) -> None:
    with Tap("wrr0"), IPRoute() as ip, Netlink() as netlink:
        ip.link("add", ifname="br0", kind="bridge")
        netlink.set_bridge("wrr0", "br0")
        [device] = ip.get_links(index_of(ip, "wrr0"))
        assert device.get_attr("IFLA_MASTER") == index_of(ip, "br0")


@pytest.mark.parametrize(
    ("attempt", "sentence"),
    [
        (lambda n: n.set_mtu("wrr0", 1 << 20), "cannot give wrr0 the MTU 1048576: mtu greater"),
        (lambda n: n.set_mtu("nix0", 1400), "cannot give nix0 the MTU 1400: No such device"),
        (lambda n: n.set_mac("wrr0", "01:00:00:00:00:01"), "the MAC address 01:00:00:00:00:01"),
        (lambda n: n.set_bridge("wrr0", "br7"), "there is no network interface br7"),
        (lambda n: n.set_bridge("wrr0", "lo"), "a place in the bridge lo: Operation not supp"),
        (lambda n: n.set_super_frames("wrr0", 1 << 30, 40), "super-frames of 1073741824 bytes"),
        (lambda n: n.set_up("nix0"), "cannot set nix0 up: No such device"),
        (
            lambda n: n.add_address("nix0", ip_interface("10.9.0.1/24")),
            "there is no network interface nix0",
        ),
    ],
)
def test_what_cannot_be_set_is_told_in_one_sentence(
    attempt: Callable[[Netlink], None], sentence: str, namespace: Namespace
) -> None:
    with Tap("wrr0"), Netlink() as netlink, pytest.raises(ConfigError, match=sentence):
        attempt(netlink)


def test_devices_are_found_while_uvloop_runs(wire: Wire) -> None:
    """pyroute2's own sockets cannot do that."""

    async def look() -> LinkInfo | None:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        with Netlink() as netlink:
            return netlink.find_link("a")

    with wire.here:
        found = uvloop.run(look())
    assert found is not None
