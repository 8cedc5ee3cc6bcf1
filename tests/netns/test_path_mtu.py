"""Lines that carry less than their interfaces say, or all at once less than they did."""

from collections.abc import Callable

import pytest

from bench.lab.topology import Lab
from bench.lab.wires import switch_offloads_off
from bench.traffic import Load, throughput
from bench.tunnel import SERVER_INSIDE, Tunnel
from tests.netns.ends import Ends, device_mtu, eventually, only_peer, set_mtu

pytestmark = pytest.mark.root

FULL, LESS = 1500, 1400
BELOW = 28 + 24 + 14  # UDP/IPv4, a datagram's header and tag, Ethernet


def as_wires(lab: Lab) -> None:
    """Have each packet measured by itself: a veth drops what is longer than its far end's MTU."""
    for letter in "AB":
        switch_offloads_off(lab.client, f"line{letter}")
        switch_offloads_off(lab.server, f"isp{letter}")


def found(pair: Tunnel, lab: Lab, second: int) -> Callable[[], bool]:
    """Tell whether both ends know what the lines carry, and their devices follow."""

    def holds() -> bool:
        known = [
            [link.mtu_bytes for link in only_peer(e).links] for e in (pair.client, pair.server)
        ]
        devices = device_mtu(lab.client), device_mtu(lab.server)
        return known == [[FULL, second]] * 2 and devices == (second - BELOW,) * 2

    return holds


def assert_both_lines_carry(pair: Tunnel, lab: Lab) -> None:
    before = [link.sent_bytes for link in only_peer(pair.server).links]
    assert min(throughput(lab.client, lab.server, SERVER_INSIDE, Load(2.0)).intervals) > 0
    after = [link.sent_bytes for link in only_peer(pair.server).links]
    assert all(late - early > 100_000 for early, late in zip(before, after, strict=True))


@pytest.mark.parametrize("at_the_client", [True, False])
def test_a_line_that_carries_less_all_at_once_is_found_out_and_recovers(
    ends: Ends, lab: Lab, at_the_client: bool
) -> None:
    # The end whose device has the smaller MTU is refused by its kernel; what the other end sends
    # vanishes without a word, for a wire sends no ICMP.
    narrow = (lab.client, "lineB") if at_the_client else (lab.server, "ispB")
    as_wires(lab)
    pair = ends.tunnel()
    eventually(found(pair, lab, FULL))
    assert_both_lines_carry(pair, lab)

    set_mtu(*narrow, LESS)
    seconds = throughput(lab.client, lab.server, SERVER_INSIDE, Load(6.0)).intervals
    assert min(seconds[3:]) > 0  # the connection lived through it
    eventually(found(pair, lab, LESS))
    assert_both_lines_carry(pair, lab)

    set_mtu(*narrow, FULL)
    eventually(found(pair, lab, FULL), 40.0)
    assert_both_lines_carry(pair, lab)


def test_a_line_that_never_carried_as_much_as_its_interface_says_is_used(
    ends: Ends, lab: Lab
) -> None:
    as_wires(lab)
    set_mtu(lab.server, "ispB", 1492)
    pair = ends.tunnel()
    eventually(found(pair, lab, 1492))
    assert_both_lines_carry(pair, lab)
