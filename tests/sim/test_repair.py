"""What lines lose comes all the same: asked for, sent again, and never a storm of it."""

from functools import partial
from statistics import median

import pytest

from tests.sim.lines import both
from tests.sim.tcp import Flow, bare_sum
from tests.sim.world import World


def lossy(fast: float, slow: float, rates: list[float] | None = None, seed: int = 1) -> World:
    lines = [both(delay=0.011, rate=10e6, loss=fast), both(delay=0.060, rate=3e6, loss=slow)]
    world = World(lines, rates=rates or [10e6, 3e6], seed=seed)
    world.run(2.0)
    return world


@pytest.mark.parametrize(
    ("fast", "slow", "least"),
    [(0.0, 0.005, 0.90), (0.0, 0.03, 0.90), (0.01, 0.01, 0.87), (0.0, 0.3, 0.82)],
)
def test_a_tcp_flow_keeps_nearly_the_clean_lines_sum_though_they_lose(
    fast: float, slow: float, least: float
) -> None:
    shares, timeouts = [], []
    for seed in range(1, 4):  # one slow start that loses a retransmission may cost a third
        world = lossy(fast, slow, seed=seed)
        flow = Flow(world, "server")
        world.run(10.0)
        shares.append(flow.goodput(2.0) / bare_sum(world, "server"))
        timeouts.append(flow.sender.timeouts)
        assert world.tunnel("client").inbound.reorder.counts.repaired > 0
    assert median(shares) > least
    assert median(timeouts) == 0


def test_without_loss_nothing_is_asked_for_and_nothing_sent_again() -> None:
    world = lossy(0.0, 0.0)
    Flow(world, "server")
    world.run(10.0)
    assert world.tunnel("client").upkeep.nacks == 0
    assert world.tunnel("server").outbound.repairs.sent_datagrams == 0


def test_repairs_are_bounded_where_lines_lose_a_third() -> None:
    world = lossy(0.3, 0.3)
    world.run(4.0)
    world.stream("server", range(6000), 1400 * 8 / 8e6)
    world.run(10.0)
    outbound = world.tunnel("server").outbound
    assert outbound.repairs.sent_datagrams > 100
    # A fifth of the bulk, and the burst: 0.4 s of the lines.
    assert outbound.repairs.sent_datagrams < 0.2 * outbound.bulk_frames + 0.4 * 13e6 / 8 / 1400
    numbers = world.numbers("client")
    assert len(numbers) == len(set(numbers))
    assert len(numbers) > 0.7 * outbound.bulk_frames


def test_the_end_of_a_burst_is_repaired_though_nothing_follows_it() -> None:
    world = lossy(0.0, 0.0)
    world.stream("server", range(40), 0.002)
    world.at(world.now + 0.0605, lambda: setattr(world.lines[0][1], "loss", 1.0))
    world.at(world.now + 0.0605, lambda: setattr(world.lines[1][1], "loss", 1.0))
    world.at(world.now + 0.0790, lambda: setattr(world.lines[0][1], "loss", 0.0))
    world.at(world.now + 0.0790, lambda: setattr(world.lines[1][1], "loss", 0.0))
    world.run(1.0)
    assert world.numbers("client") == list(range(40))
    assert world.tunnel("client").inbound.reorder.counts.repaired >= 5
    assert world.read_at["client"][-1] - world.submitted_at["server"][39] < 0.2


def test_what_a_dead_line_swallowed_comes_over_the_other() -> None:
    world = lossy(0.0, 0.0)
    world.stream("server", range(3000), 1400 * 8 / 2.4e6)
    for line in world.lines[1]:
        world.at(world.now + 2.0, partial(setattr, line, "cut", True))
    world.run(16.0)
    assert sorted(world.numbers("client")) == list(range(3000))


def test_what_a_line_that_fell_has_under_way_comes_over_the_other_and_is_not_lost_on_it() -> None:
    world = lossy(0.0, 0.0)
    flow = Flow(world, "server")
    world.run(6.0)
    reorder, repairs = (
        world.tunnel("client").inbound.reorder,
        world.tunnel("server").outbound.repairs,
    )
    before = reorder.counts.lost_by_deadline + reorder.counts.lost_by_inference
    world.lines[1][1].rate = 1e6
    world.run(1.0)
    assert 10 < repairs.sent_datagrams < 64
    assert reorder.counts.lost_by_deadline + reorder.counts.lost_by_inference == before
    assert world.tunnel("server").bond.get(1).link.loss_out < 0.02  # type: ignore[union-attr]
    assert flow.sender.timeouts == 0
    world.run(5.0)
    assert flow.goodput(8.0, 12.0) > 0.85 * bare_sum(world, "server")
