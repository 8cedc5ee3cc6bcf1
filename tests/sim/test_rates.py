"""Rates are found, paced just below and followed; the wide sweep is `python -m tests.sim`."""

from functools import partial
from statistics import median

import pytest

from tests.sim.lines import Line, both
from tests.sim.scenarios import SCENARIOS, Capacity, Result, Run, line, measure, share, two
from tests.sim.tcp import BARE_SHARE, Flow, bare_sum
from tests.sim.world import World


def found(result: Result) -> list[float]:
    """Return what the server takes its links to carry, in Mbit/s."""
    bond = result.world.tunnel("server").bond
    return [round(member.finder.rate * 8 / 1e6, 2) for member in bond]


def test_from_nothing_two_lines_are_found_within_a_second_and_filled() -> None:
    results = [measure(Run(two(), seconds=10.0), seed) for seed in (1, 2, 3)]
    for result in results:
        assert result.ping < 0.022 + 0.010
        assert found(result) == pytest.approx([10.0, 3.0], rel=0.06)
    # Without HyStart, one slow start in ten loses a retransmission too, and waits for its timeout.
    assert median(result.later for result in results) > 0.92


def test_a_configured_rate_that_is_true_is_never_lowered() -> None:
    result = measure(Run(two(), rates=[10e6, 3e6], seconds=12.0))
    assert found(result) == [10.0, 3.0]
    assert result.later > 0.935
    assert result.ping < 0.022 + 0.005


def test_a_line_that_gives_less_than_its_configured_rate_is_followed_down_and_up_again() -> None:
    changes = [(4.0, 1, 1.0), (8.0, 1, 3.0)]
    result = measure(Run(two(), changes=changes[:1], rates=[10e6, 3e6], seconds=7.0))
    assert found(result) == pytest.approx([10.0, 1.0], rel=0.1)
    result = measure(Run(two(), changes=changes, rates=[10e6, 3e6], seconds=12.0, flows=2))
    assert found(result) == pytest.approx([10.0, 3.0], rel=0.1)


@pytest.mark.parametrize("name", ["jitter 10 both", "20 ms buffers", "1 s buffers"])
def test_hard_lines_are_filled(name: str) -> None:
    run = SCENARIOS[name]()
    run.seconds = 10.0
    assert measure(run).later > 0.88


def test_a_line_that_changes_each_second_is_followed() -> None:
    run = SCENARIOS["10 + LTE"]()
    run.seconds = 12.0
    result = measure(run)
    assert share([result.flow], Capacity(run), 2.0, 12.0) > 0.86


def test_a_line_that_rises_eightfold_is_found_within_three_seconds() -> None:
    run = Run([line(10, 0.011), line(1, 0.060)], changes=[(4.0, 1, 8.0)], seconds=7.0, flows=4)
    assert found(measure(run)) == pytest.approx([10.0, 8.0], rel=0.1)


def test_on_unshaped_lines_nothing_is_found_and_weights_are_kept() -> None:
    world = World([both(delay=0.0005), both(delay=0.0005)], weights=[10, 3])
    world.run(1.0)
    world.stream("server", range(10_000), 0.0001)
    world.run(1.5)
    assert len(world.numbers("client")) == 10_000
    assert not any(member.finder.found for member in world.tunnel("server").bond)
    shares = [down.bulk_bytes for _, down in world.lines]
    assert shares[0] / sum(shares) == pytest.approx(10 / 13, rel=0.02)


def test_a_host_that_stalls_does_not_pass_for_lines_that_collapse() -> None:
    run = SCENARIOS["host stalls"]()
    run.seconds = 10.0
    result = measure(run)
    assert min(found(result)[0] / 10, found(result)[1] / 3) > 0.9
    assert result.whole > 0.75


def test_while_both_directions_are_full_each_is_found() -> None:
    world = World(two())
    world.run(2.0)
    flows = [Flow(world, "server", port=5001), Flow(world, "client", port=5002)]
    world.run(8.0)
    for end in ("client", "server"):
        rates = [member.finder.rate * 8 / 1e6 for member in world.tunnel(end).bond]
        assert rates == pytest.approx([10.0, 3.0], rel=0.06)
    assert all(flow.goodput(4.0) > 0.85 * bare_sum(world, "server") for flow in flows)


def test_after_a_rest_a_line_that_carries_less_by_then_is_followed() -> None:
    world = World(two())
    world.run(2.0)
    Flow(world, "server", segments=3000)
    world.run(16.0)
    world.lines[1][1].rate = 1e6
    flow = Flow(world, "server", port=5002)
    world.run(6.0)
    rates = [member.finder.rate * 8 / 1e6 for member in world.tunnel("server").bond]
    assert rates == pytest.approx([10.0, 1.0], rel=0.05)
    # Its first second of slow start, without HyStart, costs a flow more than the line's change.
    assert flow.goodput(2.0) > 0.8 * bare_sum(world, "server")


@pytest.mark.parametrize("link", [0, 1])
def test_a_line_that_pauses_for_a_moment_has_its_rate_again_at_once(link: int) -> None:
    world = World(two(), rates=[10e6, 3e6])
    world.run(2.0)
    flow = Flow(world, "server")
    world.run(4.0)
    for direction in world.lines[link]:
        direction.pause(world.now, 0.25)
    world.run(0.7)
    rates = [member.finder.rate * 8 / 1e6 for member in world.tunnel("server").bond]
    assert rates == pytest.approx([10.0, 3.0], rel=0.05)
    assert flow.sender.timeouts == 0


def test_a_dead_line_does_not_keep_the_others_from_asking() -> None:
    world = World(two())
    world.run(2.0)
    Flow(world, "server")
    world.run(3.0)
    for direction in world.lines[1]:
        direction.cut = True
    world.run(1.5)  # a pulse that it had begun is over by now
    finders = [member.finder for member in world.tunnel("server").bond]
    asking = [0, 0]
    for _ in range(30):
        world.run(0.1)
        for link, finder in enumerate(finders):
            asking[link] += finder.asking
    assert asking[0] > 0
    assert asking[1] == 0


def test_a_ping_does_not_wait_behind_acknowledgements_on_a_narrow_way_up() -> None:
    lines = [
        (Line(delay=0.011, rate=0.5e6), Line(delay=0.011, rate=10e6)),
        (Line(delay=0.060, rate=0.5e6), Line(delay=0.060, rate=3e6)),
    ]
    world = World(lines, rates=[0.5e6, 0.5e6])
    world.run(2.0)
    for member, rate in zip(world.tunnel("server").bond, (10e6, 3e6), strict=True):
        member.set_cap(rate, world.now)
    flow = Flow(world, "server")
    world.run(3.0)
    start = world.now
    for number in range(100):
        world.at(start + number * 0.05, partial(world.send, "client", number, express=True))
    world.run(5.5)
    sent = world.submitted_at["client"]
    got = zip(world.numbers("server"), world.read_at["server"], strict=True)
    delays = [at - sent[number] for number, at in got if sent[number] >= start]
    assert len(delays) == 100
    assert max(delays) < 0.020
    assert flow.goodput(3.0) > 0.9 * 13e6 * BARE_SHARE
