"""What the kernel tells of a real cable being pulled, and what strange messages do: nothing."""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from tests.conftest import Namespace
from tests.linux.conftest import Wire, eventually, index_of, set_up
from wrrtun.linux.monitor import (
    AddressAdded,
    AddressRemoved,
    Change,
    ChangesLost,
    LinkDown,
    LinkUp,
    Monitor,
)

pytestmark = pytest.mark.root


@pytest.fixture
def monitor(wire: Wire) -> Iterator[Monitor]:
    with wire.here:
        made = Monitor()
    yield made
    made.close()


def of_links(changes: list[Change]) -> list[Change]:
    return [change for change in changes if isinstance(change, LinkUp | LinkDown)]


def wait_for(monitor: Monitor, wanted: Change) -> list[Change]:
    """Read until `wanted` is told; return everything that was."""
    changes: list[Change] = []

    def told() -> bool:
        changes.extend(monitor.read())
        return wanted in changes

    eventually(told)
    return changes


def test_a_device_set_down_and_up_is_told(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    wire.ip_here.link("set", index=index, state="down")
    wait_for(monitor, LinkDown(index, "a"))
    wire.ip_here.link("set", index=index, state="up")
    wait_for(monitor, LinkUp(index, "a"))


def test_lost_carrier_is_told_though_the_device_stays_up(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    wire.ip_far.link("set", index=index_of(wire.ip_far, "b"), state="down")
    wait_for(monitor, LinkDown(index, "a"))
    wire.ip_far.link("set", index=index_of(wire.ip_far, "b"), state="up")
    wait_for(monitor, LinkUp(index, "a"))


def test_addresses_coming_and_going_are_told(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    for address, label in (("10.1.0.9", "a"), ("fd01::9", "")):
        set_up(wire.ip_here, "a", address)
        wait_for(monitor, AddressAdded(index, ip_address(address), label))
        prefixlen = 24 if "." in address else 64
        wire.ip_here.addr("del", index=index, address=address, prefixlen=prefixlen)
        wait_for(monitor, AddressRemoved(index, ip_address(address), label))


def test_a_tentative_address_is_told_once_it_can_be_used(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    with wire.here, open("/proc/sys/net/ipv6/conf/a/accept_dad", "w") as sysctl:
        sysctl.write("1")
    wire.ip_here.addr("add", index=index, address="fd01::8", prefixlen=64)
    changes = wait_for(monitor, AddressAdded(index, ip_address("fd01::8"), ""))
    assert changes.count(AddressAdded(index, ip_address("fd01::8"), "")) == 1


def test_a_deleted_device_is_told_and_its_successor_has_another_number(
    wire: Wire, monitor: Monitor
) -> None:
    index = index_of(wire.ip_here, "a")
    wire.ip_here.link("del", index=index)
    changes = wait_for(monitor, LinkDown(index, "a", deleted=True))
    assert AddressRemoved(index, ip_address("10.1.0.1"), "a") in changes
    wire.connect()
    wait_for(monitor, LinkUp(index_of(wire.ip_here, "a"), "a"))


def test_trifles_are_not_told_again(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    wire.ip_here.link("set", index=index, mtu=1499)
    wait_for(monitor, LinkUp(index, "a"))
    for mtu in range(1400, 1420):
        wire.ip_here.link("set", index=index, mtu=mtu)
    assert of_links(monitor.read()) == []


def test_leaving_a_bridge_is_no_deletion(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    wire.ip_here.link("add", ifname="br0", kind="bridge")
    bridge = index_of(wire.ip_here, "br0")
    wire.ip_here.link("set", index=index, master=bridge)
    wire.ip_here.link("set", index=index, master=0)
    set_up(wire.ip_here, "br0", "10.8.0.1")
    told = wait_for(monitor, AddressAdded(bridge, ip_address("10.8.0.1"), "br0"))
    assert LinkDown(index, "a", deleted=True) not in told


def test_more_changes_than_the_kernel_keeps_are_told_as_lost(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    with socket.socket(fileno=os.dup(monitor.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    for number in range(200):
        wire.ip_here.link("set", index=index, state="down" if number % 2 else "up")
    assert monitor.read() == [ChangesLost()]
    wire.ip_here.link("set", index=index, state="up")
    wait_for(monitor, LinkUp(index, "a"))


def test_uvloop_watches_the_monitor(wire: Wire, monitor: Monitor) -> None:
    index = index_of(wire.ip_here, "a")
    told: list[Change] = []

    async def watch() -> None:
        loop = asyncio.get_running_loop()
        down = asyncio.Event()

        def ready() -> None:
            told.extend(monitor.read())
            if LinkDown(index, "a") in told:
                down.set()

        loop.add_reader(monitor.fileno(), ready)
        await asyncio.to_thread(pull_the_cable)
        await asyncio.wait_for(down.wait(), 5)
        loop.remove_reader(monitor.fileno())

    def pull_the_cable() -> None:
        with wire.far, IPRoute() as ip:
            ip.link("set", index=index_of(ip, "b"), state="down")

    uvloop.run(watch())


@pytest.fixture(scope="module")
def said() -> bytes:
    """What the kernel says when a device is made, set up, given addresses, deleted."""
    alone = Namespace()
    with (
        alone,
        IPRoute() as ip,
        socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as listener,
    ):
        listener.bind((0, 0x111))
        listener.setblocking(False)
        ip.link("add", ifname="d", kind="veth", peer="e")
        set_up(ip, "e")
        set_up(ip, "d", "10.1.0.1", "fd01::1")
        ip.link("del", index=index_of(ip, "d"))
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(listener.recv(65536))
    alone.close()
    return b"".join(messages)


# Invariant: whatever stands in a message, changes_in returns a list, in bounded time.
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_arbitrary_and_mangled_messages_tell_changes_or_nothing(
    said: bytes, data: st.DataObject
) -> None:
    mangled = bytearray(said[: data.draw(st.integers(0, len(said)))])
    for _flip in range(data.draw(st.integers(0, 8))):
        if mangled:
            mangled[data.draw(st.integers(0, len(mangled) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.closing(Monitor()) as monitor:
        for strange in (bytes(mangled), data.draw(st.binary(max_size=200))):
            assert isinstance(monitor.changes_in(strange), list)


def test_the_real_messages_tell_the_whole_story(said: bytes) -> None:
    monitor = Monitor()
    kinds = [type(change) for change in monitor.changes_in(said)]
    assert {LinkUp, LinkDown, AddressAdded, AddressRemoved} == set(kinds)
    monitor.close()
