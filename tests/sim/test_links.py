"""Lines that die, go deaf in one direction, and come back."""

from functools import partial

import pytest

from tests.sim.lines import Line, both
from tests.sim.tcp import BARE_SHARE, Flow
from tests.sim.world import World
from wrrtun.core.link import FLOWING_SILENCE_SECONDS
from wrrtun.core.link_state import LinkState
from wrrtun.core.output import Transmit
from wrrtun.core.wire import Kind

ENDS = ("client", "server")


def two_links(seed: int = 1) -> World:
    """A tunnel over 11 ms and 60 ms that has been up for two seconds."""
    lines = [both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6)]
    world = World(lines, rates=[10e6, 3e6], seed=seed)
    world.run(2.0)
    assert [world.state(end, link) for end in ENDS for link in (0, 1)] == ["up"] * 4
    return world


def cut(world: World, link: int, *, up: bool = True, down: bool = True) -> None:
    world.lines[link][0].cut, world.lines[link][1].cut = up, down


def mend(world: World, link: int) -> None:
    cut(world, link, up=False, down=False)


def assert_nothing_is_kept(world: World) -> None:
    for end in ENDS:
        tunnel = world.tunnel(end)
        assert tunnel.inbound.reorder.held_bytes == 0
        assert not tunnel.inbound.reorder.waiting
        assert not tunnel.outbound.queue


@pytest.mark.parametrize("link", [0, 1])
def test_a_line_cut_in_mid_stream_goes_down_in_time_and_frames_flow_on_the_other(
    link: int,
) -> None:
    world = two_links()
    # 1.9 Mbit/s: either line carries it, and what the dead one swallowed besides.
    world.stream("server", range(1100), 0.006)
    world.run(2.0)
    cut(world, link)
    cut_at = world.now
    # Twice the round trip and its variation, if that is more; then the probe's own timeout.
    promised = FLOWING_SILENCE_SECONDS + 0.25 if link == 0 else 0.7
    while world.state("server", link) in ("up", "lossy") and world.now < cut_at + 3:
        world.run(0.010)
    assert world.now - cut_at <= promised

    fell_at = world.now
    world.run(2.0)
    assert world.changes("server", link)[-1] == "down"
    # Whatever was sent since then has arrived, but for what CoDel took while repairs went first.
    asked = [n for n, at in world.submitted_at["server"].items() if fell_at < at < world.now - 0.4]
    missing = set(asked) - set(world.numbers("client"))
    assert len(missing) <= world.drops("server").get("queue_delay", 0) <= 5
    assert len(asked) > 200

    mend(world, link)
    world.run(3.0)
    assert [world.state(end, link) for end in ENDS] == ["up", "up"]
    assert_nothing_is_kept(world)


def test_a_cut_shorter_than_the_silence_limit_takes_no_line_out() -> None:
    world = two_links()
    world.stream("server", range(500), 0.004)
    world.run(0.5)
    cut(world, 0)
    world.run(0.080)
    mend(world, 0)
    world.run(1.0)
    assert set(world.changes("server", 0)) <= {"up", "lossy"}


def test_all_lines_cut_for_ten_minutes_keep_nothing_stale_and_are_back_within_a_probe() -> None:
    world = two_links()
    world.stream("client", range(500), 0.0005)  # more than the lines carry: the queue is full
    world.run(0.2)
    for link in (0, 1):
        cut(world, link)
    world.stream("client", range(10_000, 10_600), 1.0)
    world.run(600.0)
    assert world.tunnel("client").outbound.queue.size_bytes < 200_000
    assert world.drops("client")["no_link"] > 590
    assert world.drops("client").keys() <= {"no_link", "queue_full", "queue_delay", "replayed"}
    sent_while_down = sum(up.sent for up, _ in world.lines)
    for link in (0, 1):
        mend(world, link)
    delivered = len(world.reads["server"])
    world.run(8.0)  # a handshake every 5 s while silent, then two probes
    assert [world.state(end, link) for end in ENDS for link in (0, 1)] == ["up"] * 4
    assert len(world.reads["server"]) == delivered  # what is ten minutes old is not delivered
    assert sent_while_down < 2_500
    world.stream("client", range(20_000, 20_100), 0.002)
    world.run(1.0)
    assert world.numbers("server")[-100:] == list(range(20_000, 20_100))
    assert_nothing_is_kept(world)


@pytest.mark.parametrize("link", [0, 1])
def test_a_line_that_only_hears_is_not_sent_on_while_the_other_direction_goes_on(
    link: int,
) -> None:
    world = two_links()
    world.stream("client", range(800), 0.005)
    world.stream("server", range(800), 0.005)
    world.run(1.0)
    cut(world, link, down=False)  # the client is heard no more
    world.run(1.2)
    assert world.state("client", link) in ("stalled", "down")
    carried = world.lines[link][0].sent
    world.run(1.0)
    assert world.lines[link][0].sent - carried < 30  # probes, and answers on the way
    mend(world, link)
    world.run(3.0)
    assert {world.state("client", link), world.state("server", link)} <= {"up", "lossy"}
    # From the other end all came, or all but what was under way on the line.
    assert len(world.numbers("client")) > 700


def test_a_line_that_flaps_leaves_the_other_undisturbed_and_is_trusted_less_and_less() -> None:
    world = two_links()
    world.stream("server", range(5000), 0.004)
    for second in range(20):
        world.at(world.now + second, lambda: cut(world, 1))
        world.at(world.now + second + 0.5, lambda: mend(world, 1))
    world.run(20.0)
    assert world.changes("server", 0)[-1:] == ["up"]
    assert len(world.changes("server", 0)) == 1
    mean_up = world.changes("server", 1).count("up")
    assert mean_up <= 8
    for end in ENDS:
        tunnel = world.tunnel(end)
        assert len(tunnel.bond) == 2
        assert tunnel.inbound.reorder.held_datagrams < 200
    numbers = world.numbers("client")
    assert len(numbers) == len(set(numbers)) > 4_500


def test_a_socket_that_fails_takes_its_link_down_at_once_and_probes_bring_it_back() -> None:
    world = two_links()
    world.client.tunnel.send_failed(0, "no such device", world.now)
    assert world.state("client", 0) == LinkState.DOWN
    assert world.drops("client")["send_failed"] == 1
    world.stream("client", range(50), 0.005)
    world.run(2.0)
    assert world.state("client", 0) == LinkState.UP
    assert world.numbers("server") == list(range(50))


def test_a_socket_without_room_costs_its_batch_and_no_link() -> None:
    world = two_links()
    carry, refused = world._carry, []

    def with_little_room(end: str, transmit: Transmit) -> None:
        if end == "client" and transmit.link == 0 and world.random.random() < 0.1:
            refused.append(bytes(transmit.data))
            world.client.tunnel.send_failed(0, "", world.now)
        else:
            carry(end, transmit)

    world._carry = with_little_room  # type: ignore[method-assign]
    world.stream("client", range(1000), 0.004)
    world.run(5.0)
    assert len(refused) > 50
    assert world.drops("client")["send_failed"] == len(refused)
    assert "down" not in world.changes("client", 0)
    assert world.numbers("server") == list(range(1000))  # the same bytes came once more


@pytest.mark.parametrize("after", [2.2, 60.0])
def test_an_address_that_comes_when_there_is_no_session_is_tried_at_once(after: float) -> None:
    world = World([both(delay=0.011), both(delay=0.060)])
    for link in (0, 1):
        cut(world, link)
    world.run(after)
    mend(world, 1)
    world.client.link_renewed(1, world.now)
    world.poll("client")
    world.run(0.130)
    assert world.sessions("client") == 1


def test_an_address_that_changes_in_mid_transfer_is_followed_within_two_round_trips() -> None:
    world = two_links()
    world.stream("server", range(1500), 0.004)
    world.stream("client", range(1500), 0.004)
    world.run(1.0)
    changed_at = world.now
    world.ports[0] = 50_000  # NAT has forgotten the old one: what goes there is lost
    member = world.server.tunnels["home"].bond.get(0)
    assert member is not None
    while member.path != 50_000 and world.now < changed_at + 2:
        world.run(0.005)
    assert world.now - changed_at <= 2 * 0.022
    world.run(6.0)
    lost = 1500 - len(set(world.numbers("client")))
    assert lost <= 60
    assert set(world.numbers("server")) == set(range(1500))


@pytest.mark.parametrize("link", [0, 1])
def test_a_device_that_goes_is_known_at_the_other_end_half_a_round_trip_later(link: int) -> None:
    world = two_links()
    world.run(5.0)  # a line that falls soon after its return is trusted less
    world.stream("server", range(1000), 0.005)
    world.run(1.0)
    cut(world, link)
    world.client.tunnel.link_lost(link, "no carrier", world.now)
    world.poll("client")
    world.run(0.065)  # by way of the other line
    assert world.state("server", link) == "stalled"
    world.run(5.0)
    assert len(world.numbers("client")) == 1000

    mend(world, link)
    world.ports[link] = 50_000
    world.client.link_renewed(link, world.now)
    world.poll("client")
    world.run(0.260)  # two round trips of the slower line
    assert world.state("server", link) == "up"


def test_a_line_lost_for_good_does_not_hold_the_other_ends_frames() -> None:
    world = World([both(delay=0.011), (Line(delay=0.060, cut=True), Line(delay=0.060, cut=True))])
    world.run(2.0)
    world.stream("client", range(200), 0.005)
    world.run(2.0)
    assert world.numbers("server") == list(range(200))
    took = max(
        at - world.submitted_at["client"][number]
        for number, at in zip(world.numbers("server"), world.read_at["server"], strict=True)
    )
    assert took < 0.030


def test_what_waits_when_every_socket_fails_is_not_delivered_ten_seconds_later() -> None:
    world = two_links()
    world.stream("client", range(400), 0.0001)
    world.run(0.050)
    for link in (0, 1):
        cut(world, link)
        world.client.tunnel.send_failed(link, "no such device", world.now)
    assert world.client.tunnel.outbound.queue.size_bytes > 50_000
    world.run(10.0)
    for link in (0, 1):
        mend(world, link)
    delivered = len(world.reads["server"])
    world.run(8.0)
    assert world.state("client", 0) == "up"
    assert len(world.reads["server"]) == delivered
    assert world.client.tunnel.outbound.queue.size_bytes == 0


@pytest.mark.parametrize("links", [1, 2])
@pytest.mark.parametrize("seed", range(1, 4))
def test_lines_that_lose_a_third_still_carry_the_rest_when_there_is_no_better_one(
    links: int, seed: int
) -> None:
    world = World([both(delay=0.020, loss=0.3) for _ in range(links)], seed=seed)
    world.run(5.0)
    world.stream("client", range(1500), 0.005)
    world.run(9.0)
    assert len(world.numbers("server")) > 0.6 * 1500


def test_a_line_that_comes_back_carries_within_two_seconds_however_long_it_was_away() -> None:
    world = two_links()
    Flow(world, "server")
    world.run(4.0)
    cut(world, 1)
    world.run(40.0)
    mend(world, 1)
    before = world.lines[1][1].bulk_bytes
    world.run(2.0)
    assert world.state("server", 1) in ("up", "lossy")
    assert world.lines[1][1].bulk_bytes - before > 30_000


def test_a_found_rate_does_not_keep_a_line_that_was_dead_from_carrying_again() -> None:
    lines = [both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6)]
    world = World(lines)
    world.run(2.0)
    Flow(world, "server")
    world.run(4.0)
    cut(world, 1)
    world.run(3.0)
    mend(world, 1)
    before = lines[1][1].bulk_bytes
    world.run(3.0)
    assert lines[1][1].bulk_bytes - before > 200_000


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_line_that_swallows_all_is_left_within_300_ms_by_small_frames_too(
    link: int, seed: int
) -> None:
    world = two_links(seed)
    Flow(world, "server")
    world.run(4.0 + seed * 0.037)
    cut(world, link)
    cut_at = world.now
    world.stream("client", range(100), 0.010, express=True)
    world.run(0.250)
    assert world.changes("server", link)[-1] in ("stalled", "down")
    world.run(0.850)
    arrived = set(world.numbers("server"))
    missing = [world.submitted_at["client"][n] - cut_at for n in set(range(100)) - arrived]
    assert max(missing, default=0.0) < 0.300


def test_an_end_that_stalls_does_not_send_small_frames_over_the_slow_line() -> None:
    world = two_links()
    world.run(3.0)
    for second in range(20):
        end = ENDS[second % 2]
        world.at(world.now + second * 0.5, partial(world.stall, end, 0.15))
    world.stream("client", range(400), 0.025, express=True)
    world.sent = []
    world.run(11.0)
    links = [sent.datagram[0] & 15 for sent in world.sent if sent.kind == Kind.EXPRESS]
    assert links == [0] * 400


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_download_goes_on_300_ms_after_a_line_died_and_sees_no_timeout(
    link: int, seed: int
) -> None:
    world = two_links(seed)
    flow = Flow(world, "server")
    world.run(8.0)
    before = flow.sender.timeouts
    cut(world, link)
    world.run(2.5)
    assert flow.sender.timeouts == before
    rest = (10e6, 3e6)[1 - link] * BARE_SHARE
    tenths = [bits / (rest * 0.1) for bits in flow.bins()[80:85]]
    assert max(tenths[2:4]) > 0.5
    assert sum(tenths) / len(tenths) > 0.5
    # Later TCP finds that a line is gone, and shrinks its window: by what the queue refuses, one
    # round trip and a full queue before it comes again.
    bits = "".join("1" if each else "0" for each in flow.bins()[80:])
    assert "0000" not in bits
    assert world.tunnel("client").inbound.reorder.counts.repaired > 10


@pytest.mark.parametrize("rates", [[10e6, 3e6], None])
@pytest.mark.parametrize("delay", [0.25, 0.5])
def test_a_line_beyond_the_hold_makes_a_download_no_slower(
    delay: float, rates: list[float] | None
) -> None:
    world = World([both(delay=0.010, rate=10e6), both(delay=delay, rate=3e6)], rates=rates)
    world.run(4.0)
    flow = Flow(world, "server")
    world.run(12.0)
    # The ceiling of one line through the tunnel is 95.4 % of it bare.
    assert flow.goodput(3.0) / (10e6 * BARE_SHARE) > 0.92
    member = world.tunnel("server").bond.get(1)
    assert member is not None
    assert "later than over the best line" in member.unfit


def test_a_line_that_loses_a_third_makes_a_download_hardly_slower() -> None:
    world = World([both(delay=0.010, rate=10e6), both(delay=0.03, rate=3e6, loss=0.3)])
    world.run(4.0)
    flow = Flow(world, "server")
    world.run(15.0)
    assert flow.goodput(5.0) / (10e6 * BARE_SHARE) > 0.85


@pytest.mark.parametrize("link", [0, 1])
def test_a_line_that_comes_and_goes_each_second_costs_the_other_little(link: int) -> None:
    world = two_links()
    flow = Flow(world, "server")
    world.run(2.0)
    for second in range(0, 20, 2):
        world.at(world.now + second, partial(cut, world, link))
        world.at(world.now + second + 1, partial(mend, world, link))
    world.run(20.0)
    assert flow.goodput(2.0) > 0.9 * (10e6, 3e6)[1 - link] * BARE_SHARE
