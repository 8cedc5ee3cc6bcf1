"""What befalls ends, lines, clocks and keys, one thing at a time, under traffic."""

import gc
from functools import partial
from itertools import pairwise

import pytest

from tests.sim.lines import both
from tests.sim.tcp import Flow
from tests.sim.test_links import cut, mend, two_links
from tests.sim.world import World, frame
from wrrtun.core.output import Transmit
from wrrtun.core.session import KeyLife
from wrrtun.core.vnet import VNET
from wrrtun.core.wire import Kind

ENDS = ("client", "server")
TEN_YEARS = 315_576_000.0
SHORT = KeyLife(rekey_seconds=2.0, reject_seconds=4.0)


def other(end: str) -> str:
    return "server" if end == "client" else "client"


# One direction of a line


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("dead", ENDS)  # what this end sends over the link is lost
@pytest.mark.parametrize("senders", [("client", "server"), ("server",)])
def test_a_direction_that_dies_takes_only_itself_out(
    link: int, dead: str, senders: tuple[str, ...]
) -> None:
    world = two_links()
    for number, end in enumerate(senders):
        Flow(world, end, port=5001 + number)
    world.run(2.0)
    lives = other(dead)
    swallowing, living = (world.lines[link][end == "server"] for end in (dead, lives))
    cut(world, link, up=dead == "client", down=dead == "server")
    world.run(1.0)
    sent, carried = swallowing.sent, living.bulk_bytes
    world.run(2.0)
    # An end that receives no bulk hears by reports that what it sends arrives, not by answers.
    assert world.changes(dead, link)[-1] == "stalled"
    assert set(world.changes(lives, link)) <= {"up", "lossy"}
    assert swallowing.sent - sent < 2 * 40  # probes and answers
    if lives in senders:
        assert living.bulk_bytes - carried > (1_000_000, 300_000)[link]
    mend(world, link)
    world.run(2.0)
    assert {world.state(end, link) for end in ENDS} <= {"up", "lossy"}


# A line that flaps for long


def test_ten_minutes_of_flapping_leak_nothing_and_leave_the_other_line_alone() -> None:
    world, link = two_links(), 0
    began = world.now
    for start in range(0, 600, 15):  # traffic in 6 of 15 s: an idle tunnel is to be seen too
        burst = range(start * 4, start * 4 + 60)
        for end in ENDS:
            go = partial(world.stream, end, burst, 0.100, express=end == "client")
            world.at(began + start, go)
    for second in range(600):
        world.at(began + second, partial(cut, world, link))
        world.at(began + second + 0.5, partial(mend, world, link))
    world.run(100.0)
    gc.collect()
    early = len(gc.get_objects())
    world.run(500.5)
    gc.collect()
    assert len(gc.get_objects()) - early < 3_000  # of 30 000 datagrams and 1000 cuts
    for end in ENDS:
        assert world.changes(end, 1 - link) == ["up"]
        assert world.changes(end, link).count("up") < 20  # it was there 600 times
        assert world.state(end, 1 - link) == "up"
    numbers = world.numbers("client")
    assert 2_390 < len(numbers) == len(set(numbers))
    late = [
        number
        for number, at in zip(numbers, world.read_at["client"], strict=True)
        if at - world.submitted_at["server"][number] > 0.3
    ]
    assert len(late) < 10
    assert len(world.numbers("server")) > 2_380
    assert world.sessions("client") == 6
    mend(world, link)
    world.run(5.0)  # while nobody sends anything
    assert world.client.tunnel.upkeep.quiet.on
    assert {world.state(end, link) for end in ENDS} <= {"up", "lossy"}


@pytest.mark.parametrize("seconds", [10.0, 100.0])
def test_lines_that_are_all_back_before_the_keys_expire_carry_within_a_probe(
    seconds: float,
) -> None:
    world = two_links()
    world.stream("client", range(int(seconds) * 50), 0.020)
    world.run(0.5)
    for link in (0, 1):
        cut(world, link)
    world.run(seconds)
    for link in (0, 1):
        mend(world, link)
    back = len(world.numbers("server"))
    world.stream("client", range(100_000, 100_300), 0.010)
    world.run(2.5)  # a dead line is asked each second, and owes two answers
    numbers = world.numbers("server")[back:]
    assert 100_000 <= numbers[0] < 100_220  # nothing stale
    assert numbers[-1] > 100_240


# Lines that double, reorder and lose


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        ({"duplicate": 1.0}, 1500),
        ({"reorder": 0.5}, 1480),
        ({"duplicate": 1.0, "reorder": 0.5}, 1480),
        ({"duplicate": 1.0, "reorder": 0.5, "loss": 0.3}, 1000),
    ],
    ids=["doubled", "reordered", "both", "and lost"],
)
def test_whatever_lines_do_to_datagrams_frames_come_once_and_unchanged(
    fault: dict[str, float], least: int
) -> None:
    world = World([both(delay=0.011, **fault), both(delay=0.060, **fault)])
    world.run(5.0)
    for end in ENDS:
        world.stream(end, range(1500), 0.003)
    world.run(6.5)
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        assert len(numbers) >= least
        for read, number in zip(world.reads[end], numbers, strict=True):
            assert read[VNET.size :] == frame(number)
        counts = world.tunnel(end).inbound.reorder.counts
        misplaced = sum(b < a for a, b in pairwise(numbers))
        assert misplaced <= counts.late
        if fault.keys() == {"duplicate"}:
            assert counts.late == 0


# Sockets without room


def test_sockets_without_room_at_times_cost_no_link_no_order_and_no_time() -> None:
    world = two_links()
    carry, refused = world._carry, []
    began = world.now

    def refuse(end: str, transmit: Transmit) -> None:
        after = world.now - began
        if end == "client" and 1.0 <= after < 3.0 and after % 0.5 < 0.1:
            refused.append(bytes(transmit.data))
            world.client.tunnel.send_failed(transmit.link, "", world.now)
        else:
            carry(end, transmit)

    world._carry = refuse  # type: ignore[method-assign]
    world.stream("client", range(800), 0.005)
    world.stream("server", range(800), 0.005)
    world.run(5.0)
    bulk = [datagram for datagram in refused if datagram[0] >> 4 & 3 == Kind.BULK]
    assert len({datagram[3:8] for datagram in bulk}) > 50
    # A seq is sealed once, however often its datagram is refused; and that is not often.
    assert len(set(bulk)) == len({datagram[3:8] for datagram in bulk})
    assert len(refused) < 400
    assert [world.numbers(end) for end in ENDS] == [list(range(800))] * 2
    assert "down" not in world.changes("client", 0) + world.changes("client", 1)


# Addresses


@pytest.mark.parametrize("link", [0, 1])
@pytest.mark.parametrize("sender", ENDS)
def test_a_nat_that_rebinds_in_mid_transfer_is_followed_in_two_round_trips_and_tcp_lives(
    link: int, sender: str
) -> None:
    world = two_links()
    flow = Flow(world, sender)
    world.run(4.0)
    world.sent = []
    changed_at = world.now
    world.ports[link] = 50_000  # the old one leads nowhere any more
    member = world.server.tunnels["home"].bond.get(link)
    assert member is not None
    while member.path != 50_000 and world.now < changed_at + 2:
        world.run(0.005)
    # The server learns of the new port by the first datagram from there; an idle direction has
    # probes, ten a second.
    first = next(s.at for s in world.sent if s.end == "client" and s.path == link)
    assert first - changed_at < 0.101
    assert world.now - first <= 2 * (0.022, 0.120)[link]
    world.run(4.0)
    assert flow.sender.timeouts == 0
    assert flow.goodput(6.0, 8.0) > 11e6
    assert world.changes("client", 1 - link) == world.changes("server", 1 - link) == ["up"]
    assert world.sessions("client") == 1


# Clocks and sleep


@pytest.mark.parametrize("off", [-TEN_YEARS, TEN_YEARS, -1.7e9], ids=["-10", "+10", "1970"])
def test_a_router_whose_clock_is_wrong_connects_and_stays(off: float) -> None:
    world = World([both(delay=0.011), both(delay=0.060)], life=SHORT)
    world.run(3.0)
    for wrong in (off, 0.0):  # it is so at a restart; it jumps under way
        world.wall_ahead = wrong
        world.client = world.make_client()
        before = world.sessions("client")
        world.run(0.5)
        assert world.sessions("client") == before + 1
        world.wall_ahead = off
        world.stream("client", range(1000), 0.005)
        world.stream("server", range(1000), 0.005)
        reads = {end: len(world.reads[end]) for end in ENDS}
        world.run(6.0)
        assert world.client.tunnel.rekeys >= 2
        for end in ENDS:
            assert world.numbers(end)[reads[end] :] == list(range(1000))


@pytest.mark.parametrize("asleep", [("client",), ("server",), ENDS])
def test_after_ten_minutes_of_sleep_old_keys_are_dead_and_one_handshake_is_enough(
    asleep: tuple[str, ...],
) -> None:
    world = two_links()
    world.sent = []
    world.send("client", 1)
    world.run(0.5)
    old = next(sent.datagram for sent in world.sent if sent.kind == Kind.BULK)
    for end in asleep:
        world.stall(end, 600.0)
    world.run(599.0)
    asked = [sent for sent in world.sent if sent.kind == Kind.INIT]
    world.sent.clear()
    world.run(9.0)  # with one end awake, the other may just have asked: each 5 s
    assert world.sessions("client") == world.sessions("server") == 2
    inits = {sent.datagram for sent in world.sent if sent.kind == Kind.INIT}
    assert len(inits) <= 3
    assert len(asked) < 600  # two links, each 5 s
    header = int.from_bytes(old[1:3])
    for end in ENDS:
        world.inject(end, old, 0 if end == "client" else world.ports[0])
        assert header not in world.tunnel(end).sessions.local_ids
    assert world.numbers("server") == [1]
    world.stream("client", range(100, 200), 0.005)
    world.run(1.0)
    assert world.numbers("server") == [1, *range(100, 200)]
    assert {world.state(end, link) for end in ENDS for link in (0, 1)} == {"up"}


# Handshakes


def lose(world: World, end: str, kinds: tuple[Kind, ...], count: int) -> None:
    """Have the next `count` datagrams of some kinds be lost that an end sends."""
    carry = world._carry

    def losing(sender: str, transmit: Transmit) -> None:
        nonlocal count
        header = transmit.data[0] >> 4
        kind = header if header & 12 == 8 else header & 3
        if sender == end and kind in kinds and count:
            count -= 1
        else:
            carry(sender, transmit)

    world._carry = losing  # type: ignore[method-assign, assignment]


SEALED = (Kind.BULK, Kind.EXPRESS, Kind.CONTROL)
LOST = {
    "INIT": [("client", (Kind.INIT,), 2)],
    "RESPONSE": [("server", (Kind.RESPONSE,), 2)],
    "first datagram": [("client", SEALED, 6)],
    "one after the other": [
        ("client", (Kind.INIT,), 2),
        ("server", (Kind.RESPONSE,), 2),
        ("client", SEALED, 6),
    ],
}


def assert_both_ends_agree(world: World) -> None:
    client, server = (world.tunnel(end).sessions.current for end in ENDS)
    assert client is not None
    assert server is not None
    assert client.keys.send_key == server.keys.receive_key
    assert client.keys.receive_key == server.keys.send_key


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_first_handshake_of_which_something_is_lost_is_made_good_within_seconds(
    lost: list[tuple[str, tuple[Kind, ...], int]],
) -> None:
    world = World([both(delay=0.011), both(delay=0.060)])
    for what in lost:
        lose(world, *what)
    world.run(5.0)  # attempts are 1, 2 and 4 s apart
    assert_both_ends_agree(world)
    for end in ENDS:
        world.stream(end, range(100), 0.005)
    world.run(1.0)
    assert [world.numbers(end) for end in ENDS] == [list(range(100))] * 2


@pytest.mark.parametrize("lost", LOST.values(), ids=LOST)
def test_a_rekey_of_which_something_is_lost_costs_no_frame(
    lost: list[tuple[str, tuple[Kind, ...], int]],
) -> None:
    world = World([both(delay=0.011), both(delay=0.060)], life=KeyLife(8.0, 12.0))
    world.run(7.0)
    for end in ENDS:
        world.stream(end, range(2000), 0.005)
    for what in [one for one in lost if one[1] != SEALED]:
        lose(world, *what)
    began = world.sessions("client")
    while world.sessions("client") == began:
        world.run(0.001)
    for what in [one for one in lost if one[1] == SEALED]:
        lose(world, *what)
    world.run(12.0)
    assert_both_ends_agree(world)
    assert [world.numbers(end) for end in ENDS] == [list(range(2000))] * 2


def test_answers_that_come_after_the_next_attempt_do_not_keep_ends_apart() -> None:
    world = World([both(delay=0.6), both(delay=0.7)])
    world.sent = []
    world.run(10.0)
    asked = {sent.datagram for sent in world.sent if sent.kind == Kind.INIT}
    assert len(asked) >= 2
    assert_both_ends_agree(world)
    world.stream("client", range(20), 0.200)
    world.run(6.0)
    assert world.numbers("server") == list(range(20))


def test_a_restarted_client_s_session_counts_once_it_is_proven_and_frees_the_old_one() -> None:
    world = two_links()
    old = set(world.server.tunnels["home"].sessions.local_ids)
    successor = world.make_client()
    for transmit in successor.poll(world.now).transmits:
        # The answer goes where the old client still is, to whom it means nothing.
        world.inject("server", bytes(transmit.data), world.ports[transmit.link])
    world.stream("client", range(300), 0.005)
    world.stream("server", range(300), 0.005)
    world.run(2.0)
    assert world.server.tunnels["home"].sessions.local_ids > old
    assert [world.numbers(end) for end in ENDS] == [list(range(300))] * 2
    assert world.sessions("server") == 1

    world.client = successor
    world.run(3.0)
    assert world.sessions("server") == 2
    tunnel = world.server.tunnels["home"]
    assert not old & tunnel.sessions.local_ids
    assert set(world.server._sessions) == tunnel.sessions.local_ids
    assert_both_ends_agree(world)
