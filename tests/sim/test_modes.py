"""Links that stand by, links that cost money, and a link table that changes while frames flow."""

import dataclasses

import pytest

from tests.sim.lines import Line, both
from tests.sim.world import World
from wrrtun.core.offers import LinkOffer, LinkRole

FAST, SLOW = 10e6, 3e6
ENDS = ("client", "server")
RESPONSE_BYTES = 99 + 28  # counted with bulk: the type is 9


def lines() -> list[tuple[Line, Line]]:
    return [both(delay=0.011, rate=FAST), both(delay=0.060, rate=SLOW)]


def second(role: LinkRole, part: float = 1.0) -> World:
    """A tunnel over 10 Mbit/s and 11 ms, and beside it 3 Mbit/s and 60 ms in another role."""
    world = World(lines(), rates=[FAST, SLOW], roles={1: role})
    world.offers = (world.offers[0], dataclasses.replace(world.offers[1], part=part))
    world.client = world.make_client()
    world.run(2.0)
    assert [world.state(end, link) for end in ENDS for link in (0, 1)] == ["up"] * 4
    return world


def bulk_bytes(world: World, link: int) -> int:
    return sum(direction.bulk_bytes for direction in world.lines[link])


def change(world: World, *offers: LinkOffer, copies: int = 1) -> None:
    world.client.set_links(offers, world.now, copies)
    world.poll()


def test_a_backup_carries_nothing_while_another_link_does() -> None:
    world = second(LinkRole.BACKUP)
    for end in ENDS:
        world.stream(end, range(2000), 0.002)  # 5.7 Mbit/s
    world.run(5.0)
    assert world.numbers("client") == world.numbers("server") == list(range(2000))
    assert bulk_bytes(world, 1) <= RESPONSE_BYTES


def test_nobody_waits_for_what_a_backup_might_bring() -> None:
    world = second(LinkRole.BACKUP)
    world.lines[0][1].loss = 0.05
    world.stream("server", range(2000), 0.002)
    world.run(5.0)
    # As with one link alone: the frame behind a lost one tells, and all its repairs may be lost.
    delays = [
        at - world.submitted_at["server"][number]
        for number, at in zip(world.numbers("client"), world.read_at["client"], strict=True)
    ]
    assert max(delays) < 0.011 + 0.120 + 0.015
    assert world.tunnel("client").inbound.reorder.hold_seconds < 0.050


def test_a_backup_takes_over_when_the_others_are_down_and_hands_back_when_they_return() -> None:
    world = second(LinkRole.BACKUP)
    world.stream("server", range(6000), 0.005)  # 2.3 Mbit/s
    world.run(3.0)
    for direction in world.lines[0]:
        direction.cut = True
    world.run(1.5)
    resumed = len(world.reads["client"])
    world.run(2.0)
    assert len(world.reads["client"]) - resumed > 380
    for direction in world.lines[0]:
        direction.cut = False
    world.run(4.0)
    carried = bulk_bytes(world, 1)
    world.run(3.0)
    assert bulk_bytes(world, 1) == carried


@pytest.mark.parametrize("role", [LinkRole.BACKUP, LinkRole.METERED])
def test_a_link_that_stands_by_costs_little(role: LinkRole) -> None:
    world = second(role)
    world.stream("server", range(3000), 0.004)  # 2.8 Mbit/s, for 12 s
    world.run(1.0)
    before = [world.tunnel(end).bond.get(1) for end in ENDS]
    bytes_before = sum(one.link.outgoing.bytes for one in before if one)
    world.run(60.0)
    bytes_after = sum(one.link.outgoing.bytes for one in before if one)
    assert [world.state(end, 1) for end in ENDS] == ["up"] * 2
    # A probe each 15 s from either end, and its answer.
    assert bytes_after - bytes_before < 5 * 2 * 2 * 100


def test_a_metered_link_carries_only_what_the_others_have_no_room_for() -> None:
    world = second(LinkRole.METERED)
    world.stream("server", range(2000), 0.002)  # 5.7 Mbit/s
    world.run(5.0)
    assert bulk_bytes(world, 1) <= RESPONSE_BYTES
    world.stream("server", range(2000, 6000), 0.001)  # 11.4 Mbit/s: more than the usual link has
    world.run(6.0)
    numbers = world.numbers("client")
    assert len(set(numbers)) == len(numbers) > 5_900
    carried = bulk_bytes(world, 1) * 8 / 4
    assert 1.0e6 < carried < 2.6e6


def test_a_metered_link_carries_less_as_its_part_shrinks() -> None:
    carried = []
    for part in (1.0, 0.5, 0.2):
        world = second(LinkRole.METERED, part)
        world.stream("server", range(10_000), 0.0008)  # more than both have
        world.run(8.0)
        carried.append(bulk_bytes(world, 1) * 8 / 8)
    assert carried[0] > 2.6e6
    assert carried[1] == pytest.approx(1.5e6, rel=0.15)
    assert carried[2] == pytest.approx(0.6e6, rel=0.3)


def test_a_changed_link_table_reaches_the_server_without_a_handshake() -> None:
    world = World(lines(), rates=[FAST, SLOW])
    world.run(2.0)
    world.stream("server", range(4000), 0.002)
    world.run(2.0)
    sessions = world.sessions("server")
    for line in world.lines:
        line[0].loss = 0.5  # LINKS is repeated
    change(world, world.offers[0], dataclasses.replace(world.offers[1], role=LinkRole.BACKUP))
    world.run(4.0)
    member = world.tunnel("server").bond.get(1)
    assert member is not None
    assert member.role is LinkRole.BACKUP
    carried = bulk_bytes(world, 1)
    world.run(2.0)
    assert bulk_bytes(world, 1) == carried
    assert world.sessions("server") == sessions
    assert world.tunnel("client").share.due(world.now + 10) is None  # acknowledged


def test_links_come_and_go_in_a_running_session() -> None:
    three = [*lines(), both(delay=0.020, rate=5e6)]
    world = World(three, rates=[FAST, SLOW, 5e6])
    every = world.offers
    world.offers = every[:2]
    world.client = world.make_client()
    world.run(2.0)
    world.stream("server", range(4000), 0.002)
    world.run(1.0)
    change(world, every[0], every[2])
    world.run(3.0)
    assert [world.state(end, 2) for end in ENDS] == ["up", "up"]
    assert [world.state(end, 1) for end in ENDS] == ["unknown", "unknown"]
    assert bulk_bytes(world, 2) > 0
    world.run(6.0)
    assert len(set(world.numbers("client"))) > 3_950
    assert world.sessions("server") == 1


def test_a_table_that_comes_late_changes_nothing() -> None:
    world = World(lines(), rates=[FAST, SLOW])
    world.run(2.0)
    share = world.tunnel("server").share
    change(world, dataclasses.replace(world.offers[0], weight_down=7.0), world.offers[1])
    world.run(1.0)
    newest = share.table
    assert newest is not None
    share.take(dataclasses.replace(newest, serial=0))
    assert not share.changed
    # A table of the server's own making does not move the client.
    owner = world.tunnel("client").share
    owner.take(dataclasses.replace(newest, serial=99))
    assert not owner.changed


def redundant(*lines: tuple[Line, Line], rates: list[float] | None, copies: int = 2) -> World:
    world = World(list(lines), rates=rates, copies=copies)
    world.run(2.0)
    return world


def test_with_copies_a_tenth_lost_on_both_links_leaves_a_hundredth() -> None:
    world = World(lines(), rates=[FAST, SLOW], seed=2, copies=2)
    world.run(2.0)
    for line in world.lines:
        for direction in line:
            direction.loss = 0.10
    for end in ENDS:
        world.stream(end, range(5000), 0.004, 700)
    world.run(22.0)
    delivered = 0
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(set(numbers)) == len(numbers)
        delivered += len(numbers)
        assert world.tunnel(end).inbound.spare_copies > 5000 * 0.7
        assert world.drops(end).get("replayed", 0) < 10  # copies are no alarm
        links = [world.tunnel(end).bond.get(link) for link in (0, 1)]
        assert [link and round(link.link.loss_in, 1) for link in links] == [0.1, 0.1]
    assert delivered >= 10_000 * (1 - 0.011)


def test_with_copies_what_somebody_waits_for_is_hardly_lost_either() -> None:
    world = World(lines(), rates=[FAST, SLOW], seed=2, copies=2)
    world.run(2.0)
    for line in world.lines:
        for direction in line:
            direction.loss = 0.10
    for end in ENDS:
        world.stream(end, range(2000), 0.010, express=True)
    world.run(22.0)
    for end, sender in zip(ENDS, reversed(ENDS), strict=True):
        numbers = world.numbers(end)
        assert len(set(numbers)) == len(numbers) >= 2000 * (1 - 0.02)
        assert world.drops(end).get("replayed", 0) == 0
        times = zip(numbers, world.read_at[end], strict=True)
        delays = sorted(at - world.submitted_at[sender][number] for number, at in times)
        assert delays[int(len(delays) * 0.85)] < 0.013  # the fast line's, when it has one


@pytest.mark.parametrize(("loss", "state"), [(1.0, "stalled"), (0.4, "resting")])
def test_with_copies_what_somebody_waits_for_goes_over_a_link_in_doubt_too(
    loss: float, state: str
) -> None:
    world = redundant(*lines(), rates=[FAST, SLOW])
    world.lines[1][0].loss = loss
    world.stream("client", range(1500), 0.010, 1000)
    world.run(15.5)
    before = world.changes("client", 1)
    assert before[-1] == state
    world.sent = []
    world.stream("client", range(2000, 2020), 0.010, express=True)
    world.run(0.3)
    assert world.changes("client", 1) == before
    copies = [sent.datagram for sent in world.sent if sent.end == "client" and sent.kind == 2]
    assert len(copies) == 40
    assert len(set(copies)) == 20


def test_copies_are_sealed_once_and_go_at_the_slower_link_s_pace() -> None:
    world = redundant(*lines(), rates=[FAST, SLOW])
    world.sent = []
    world.stream("server", range(4000), 0.001)  # 11.4 Mbit/s
    world.run(6.0)
    bulk = [sent for sent in world.sent if sent.end == "server" and sent.kind == 1]
    by_seq: dict[bytes, set[bytes]] = {}
    for sent in bulk:
        assert sent.datagram[0] & 15 == 15
        by_seq.setdefault(sent.datagram[3:8], set()).add(sent.datagram)
    assert all(len(datagrams) == 1 for datagrams in by_seq.values())
    assert len(bulk) == 2 * len(by_seq)
    delivered = len(set(world.numbers("client"))) * 1400 * 8 / 4
    assert 2.4e6 < delivered < 3.2e6
    assert sum(direction.dropped for line in world.lines for direction in line) == 0


def test_with_copies_a_line_that_dies_takes_no_frame_with_it() -> None:
    world = redundant(*lines(), rates=[FAST, SLOW])
    world.stream("server", range(1500), 0.005, 1000)
    world.run(3.0)
    world.lines[0][1].cut = world.lines[0][0].cut = True
    world.run(6.0)
    # What was under way came over the other line; while the death was not yet known, frames waited,
    # and CoDel may have told their sender.
    lost = 1500 - len(set(world.numbers("client")))
    assert lost == world.drops("server").get("queue_delay", 0) <= 3


def test_two_copies_over_three_links_all_carry() -> None:
    three = [both(delay=0.010, rate=4e6), both(delay=0.020, rate=4e6), both(delay=0.030, rate=4e6)]
    world = redundant(*three, rates=[4e6] * 3)
    world.stream("server", range(3000), 0.0025)  # 4.5 Mbit/s: more than one has
    world.run(9.0)
    assert world.numbers("client") == list(range(3000))
    assert all(bulk_bytes(world, link) > 1e6 for link in (0, 1, 2))


def test_copies_go_over_all_links_when_asked_for_and_stop_when_that_changes() -> None:
    three = [both(delay=0.010, rate=4e6), both(delay=0.020, rate=4e6), both(delay=0.030, rate=4e6)]
    world = redundant(*three, rates=[4e6] * 3, copies=15)
    world.stream("client", range(1000), 0.005)
    world.run(6.0)
    assert world.numbers("server") == list(range(1000))
    assert world.tunnel("server").inbound.spare_copies > 1900
    change(world, *world.offers, copies=1)
    world.run(1.0)
    before = world.tunnel("server").inbound.spare_copies
    world.stream("client", range(1000, 2000), 0.002)
    world.run(4.0)
    assert world.numbers("server") == list(range(2000))
    assert world.tunnel("server").inbound.spare_copies == before
