"""The inner flow of the other tests behaves as a kernel's does."""

from tests.sim.lines import both
from tests.sim.tcp import Flow, bare_sum
from tests.sim.world import World


def test_a_flow_over_two_lines_of_known_rate_fills_them() -> None:
    lines = [both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6)]
    world = World(lines, rates=[10e6, 3e6])
    world.run(2.0)
    flow = Flow(world, "server")
    world.run(12.0)
    assert flow.goodput() > 0.90 * bare_sum(world, "server")
    assert flow.goodput(3.0) > 0.935 * bare_sum(world, "server")
    assert flow.sender.timeouts == 0


def test_a_flow_that_loses_segments_sends_them_again_and_shrinks_its_window() -> None:
    # With 200 ms of round trip no repair would come in time.
    world = World([both(delay=0.100, rate=10e6, loss=0.01)], rates=[10e6], seed=3)
    world.run(2.0)
    flow = Flow(world, "server", segments=1500)
    world.run(60.0)
    assert flow.finished is not None
    assert sum(flow.bins()) == 1500 * 1382 * 8
    assert 0 < flow.sender.retransmitted < 200
    assert flow.sender.recoveries > 3


def test_a_flow_over_a_line_that_pauses_waits_for_its_timeout_and_starts_slowly() -> None:
    world = World([both(delay=0.020, rate=10e6)], rates=[10e6])
    world.run(2.0)
    flow = Flow(world, "client")
    world.run(2.05)
    world.lines[0][0].cut = True
    world.run(0.5)
    world.lines[0][0].cut = False
    world.run(6.0)
    assert 1 <= flow.sender.timeouts <= 2
    assert 0 in flow.bins()
    assert flow.goodput(6.0) > 0.8 * bare_sum(world, "client")
