"""A tunnel with nothing to carry is looked after rarely, and none the less kept."""

import pytest

from tests.sim.lines import both
from tests.sim.test_links import cut, mend
from tests.sim.world import World
from wrrtun.core.wire import Kind


def quiet_world(seed: int = 1) -> World:
    """Two lines, and nobody who has sent anything for 20 seconds."""
    world = World([both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6)], seed=seed)
    world.run(20.0)
    assert world.client.tunnel.upkeep.quiet.on
    assert world.tunnel("server").upkeep.quiet.on
    return world


def test_a_quiet_tunnel_sends_a_few_datagrams_a_minute() -> None:
    world = quiet_world()
    world.sent = []
    world.run(60.0)
    # For each link and 15 s the client's probe and its answer.
    assert len(world.sent) <= 2 * 2 * 5
    assert world.client.tunnel.rekeys == 0
    assert [world.state("client", link) for link in (0, 1)] == ["up", "up"]


def test_a_quiet_tunnel_gets_new_keys_in_time() -> None:
    world = quiet_world()
    world.run(220.0)
    assert world.client.tunnel.rekeys == 1
    assert world.client.tunnel.usable(world.now)


def test_the_first_frames_after_a_quiet_hour_go_at_once_and_wake_who_sends_them() -> None:
    world = quiet_world()
    world.run(3600.0)
    rekeys = world.client.tunnel.rekeys
    world.send("client", 1, express=True)
    world.run(0.1)
    world.send("server", 2, express=True)
    world.run(0.1)
    assert (world.numbers("server"), world.numbers("client")) == ([1], [2])
    world.run(2.0)
    assert not world.client.tunnel.upkeep.quiet.on
    assert not world.tunnel("server").upkeep.quiet.on
    assert world.client.tunnel.rekeys - rekeys <= 1  # a rekey may be due just then


def test_a_line_that_dies_while_all_is_quiet_is_missed_at_the_next_probe() -> None:
    world = quiet_world()
    cut(world, 0)
    world.run(15.0 + 5.0)
    assert world.state("client", 0) == "down"
    assert world.state("client", 1) == "up"
    mend(world, 0)
    world.run(5.0)
    assert world.state("client", 0) == "up"


@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("sender", ["client", "server"])
def test_the_first_small_frames_arrive_though_a_line_died_in_the_quiet(
    dead: int, sender: str
) -> None:
    world = quiet_world()
    world.run(0.5)
    cut(world, dead)
    for number in range(60):
        world.send(sender, number, express=True)
        world.run(0.1)
    receiver = "server" if sender == "client" else "client"
    assert world.numbers(receiver) == list(range(60))
    assert world.state(sender, dead) == "down"
    assert world.client.tunnel.rekeys == 0


@pytest.mark.parametrize("dead", [0, 1])
@pytest.mark.parametrize("sender", ["client", "server"])
@pytest.mark.parametrize(("count", "seconds"), [(1, 0.065), (10, 0.3)])
def test_the_first_bulk_frames_arrive_in_time_though_a_line_died_in_the_quiet(
    dead: int, sender: str, count: int, seconds: float
) -> None:
    world = quiet_world()
    world.run(0.5)
    cut(world, dead)
    for number in range(count):
        world.send(sender, number, size=1200)
    world.run(seconds)
    receiver = "server" if sender == "client" else "client"
    assert sorted(world.numbers(receiver)) == list(range(count))


def test_bulk_takes_two_lines_only_for_some_frames_after_a_rest_that_nobody_heard() -> None:
    world = quiet_world()
    world.sent = []
    world.stream("client", range(300), 0.010)
    world.run(3.5)
    assert world.numbers("server") == list(range(300))
    sent = sum(sent.end == "client" and sent.kind == Kind.BULK for sent in world.sent)
    assert 300 < sent <= 300 + 12
    world.sent = []
    world.stream("client", range(1000, 1300), 0.010)  # after a pause of half a second
    world.run(3.5)
    assert sum(sent.end == "client" and sent.kind == Kind.BULK for sent in world.sent) == 300


def test_small_frames_take_two_lines_only_while_the_best_may_be_dead() -> None:
    world = quiet_world()
    world.sent = []
    for number in range(60):
        world.send("client", number, express=True)
        world.run(0.1)
    links = [sent.path for sent in world.sent if sent.kind == Kind.EXPRESS]
    assert links == [0, 1] + [0] * 59


def test_a_server_that_lost_its_memory_in_the_quiet_is_found_out_at_the_next_probe() -> None:
    world = quiet_world()
    world.server = world.make_server()
    world.run(15.0 + 6.0)
    assert world.client.tunnel.usable(world.now)
    assert world.tunnel("server").usable(world.now)


def test_a_line_that_lost_much_until_all_is_quiet_has_time_to_prove_itself() -> None:
    world = World([both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6, loss=0.2)])
    world.run(2.0)
    world.stream("server", range(3000), 0.001)
    world.run(4.0)
    assert world.state("server", 1) == "lossy"
    for direction in world.lines[1]:
        direction.loss = 0.0
    world.run(20.0)
    assert world.state("server", 1) == "up"
    assert world.tunnel("server").upkeep.quiet.on
