"""Lines that swallow long datagrams: found out, survived, forgotten when they are over."""

import pytest

from tests.sim.lines import HEADER_BYTES, both
from tests.sim.world import World
from wrrtun.core.events import LinkMtuChanged, MtuAgreed
from wrrtun.core.size_messages import SIZE_PROBE_BYTES

ENDS = ("client", "server")
CONTROL = 3


def two_links(seed: int = 1, **slow: float) -> World:
    lines = [both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6, **slow)]
    world = World(lines, rates=[10e6, 3e6], seed=seed)
    world.run(2.0)
    return world


def narrow(world: World, link: int, mtu: int | None) -> None:
    for line in world.lines[link]:
        line.mtu = mtu


def link_mtu(world: World, end: str, link: int) -> int:
    member = world.tunnel(end).bond.get(link)
    assert member is not None
    return member.link.path_mtu.says + HEADER_BYTES


def device_mtus(world: World, end: str) -> list[int]:
    return [e.mtu for where, e in world.events if where == end and isinstance(e, MtuAgreed)]


def test_lines_that_carry_all_are_asked_once_and_left_alone() -> None:
    world = two_links()
    world.sent = []
    world.stream("server", range(4000), 0.002)
    world.run(60.0)
    assert [link_mtu(world, end, link) for end in ENDS for link in (0, 1)] == [1500] * 4
    assert device_mtus(world, "client") == device_mtus(world, "server") == [1434]
    assert not [sent for sent in world.sent if sent.kind == CONTROL and len(sent.datagram) > 1000]


@pytest.mark.parametrize("mtu", [1492, 1400, 1300])
def test_a_line_behind_a_tunnel_of_its_own_is_measured_when_it_comes_up(mtu: int) -> None:
    lines = [both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6, mtu=mtu)]
    world = World(lines, rates=[10e6, 3e6])
    world.run(6.0)
    for end in ENDS:
        assert [link_mtu(world, end, link) for link in (0, 1)] == [1500, mtu]
        assert device_mtus(world, end) == [1434, mtu - 66]
        assert world.state(end, 1) == "up"
    world.stream("server", range(2000), 0.0012, size=mtu - 52)
    world.run(4.0)
    assert world.numbers("client") == list(range(2000))
    assert world.lines[1][1].bulk_bytes > 200_000


@pytest.mark.parametrize("link", [0, 1])
def test_a_black_hole_in_mid_stream_costs_few_frames_and_the_line_carries_again(link: int) -> None:
    world = two_links()
    world.stream("server", range(1500), 0.004)  # 2.8 Mbit/s: either line alone carries it
    world.run(2.0)
    narrow(world, link, 1400)
    fell_at = world.now
    while link_mtu(world, "server", link) != 1400:
        world.run(0.05)
        assert world.now < fell_at + 3.0
    world.run(0.1)
    found_at = world.now
    assert device_mtus(world, "server") == [1434, 1334]
    before = [number for number, at in world.submitted_at["server"].items() if at < found_at - 0.3]
    missing = set(before) - set(world.numbers("client"))
    assert len(missing) < 50  # repaired over the other line, but for what CoDel took

    world.run(6.0)
    carried = world.lines[link][1].bulk_bytes
    world.stream("server", range(5000, 6500), 0.002, size=1340)
    world.run(4.0)
    assert set(range(5000, 6500)) <= set(world.numbers("client"))
    assert world.lines[link][1].bulk_bytes > carried + 200_000
    assert [world.state(end, link) for end in ENDS] == ["up", "up"]


def test_a_black_hole_on_the_only_line_is_found_too() -> None:
    world = World([both(delay=0.020, rate=10e6)], rates=[10e6])
    world.run(2.0)
    narrow(world, 0, 1280)
    world.stream("client", range(3000), 0.002)
    world.run(6.0)
    assert device_mtus(world, "client")[-1] == 1280 - 66
    world.stream("client", range(5000, 5500), 0.002, size=1200)
    world.run(2.0)
    assert set(range(5000, 5500)) <= set(world.numbers("server"))


def test_when_the_line_carries_more_again_so_does_the_tunnel() -> None:
    world = two_links(mtu=1400)
    world.run(4.0)
    assert device_mtus(world, "server")[-1] == 1334
    narrow(world, 1, None)
    world.run(15.0)
    for end in ENDS:
        assert link_mtu(world, end, 1) == 1500
        assert device_mtus(world, end)[-1] == 1434


@pytest.mark.parametrize("seed", range(2))
def test_radio_loss_is_not_taken_for_a_small_mtu(seed: int) -> None:
    world = two_links(seed, loss=0.05)
    world.stream("server", range(7_500), 0.004)
    world.run(60.0)
    for end in ENDS:
        assert device_mtus(world, end) == [1434]


def test_heavy_loss_that_once_passes_for_a_small_mtu_does_not_do_so_for_long() -> None:
    world = World([both(delay=0.020, loss=0.3)], seed=4)
    world.stream("server", range(15_000), 0.008)
    at_less = 0
    for _ in range(1200):
        world.run(0.1)
        at_less += device_mtus(world, "server")[-1:] not in ([], [1434])
    assert at_less < 120


def test_a_probe_of_a_size_is_answered_at_its_length_and_only_where_frames_go() -> None:
    world = two_links()
    world.sent = []
    narrow(world, 1, 1400)
    world.stream("server", range(500), 0.002)
    world.run(5.0)
    long = [s for s in world.sent if s.kind == CONTROL and len(s.datagram) > SIZE_PROBE_BYTES + 300]
    probes = [s for s in long if s.end == "server" and s.path == world.ports[1]]
    assert probes
    captured = probes[0].datagram  # its line swallowed it, so no window knows it
    answers = len([s for s in world.sent if s.kind == CONTROL and s.end == "client"])
    stray = world.tunnel("client").bond.get(0)
    assert stray is not None
    world.inject("client", captured, 0)  # over the other line
    after = [s for s in world.sent if s.kind == CONTROL and s.end == "client"][answers:]
    assert not [s for s in after if len(s.datagram) > SIZE_PROBE_BYTES + 300]
    assert not world.strays


def test_people_are_told_what_each_line_carries() -> None:
    world = two_links(mtu=1400)
    world.run(4.0)
    told = [event for where, event in world.events if where == "client"]
    assert LinkMtuChanged("server", 1, 1400) in told
    assert MtuAgreed("server", 1334) in told
