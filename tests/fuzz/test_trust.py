"""Who is let in, who is answered, and with how much.

Invariant: nobody without the keys gets a session, ends one, or gets more bytes than he sent.
"""

import random
from functools import partial
from itertools import pairwise

import pytest

from tests.fuzz.hostile import (
    ENDS,
    STRANGER,
    answers,
    captured,
    flip,
    learned,
    other,
    path_to,
    refused,
    tunnel_at_work,
    withheld,
)
from tests.sim.lines import both
from tests.sim.world import World
from wrrtun.core.events import NoAnswer, SessionDown
from wrrtun.core.wire import Kind


@pytest.mark.parametrize("wrong", ["server_key", "client_key", "psk"])
def test_with_a_wrong_key_it_is_never_up_and_asked_ever_less_often(wrong: str) -> None:
    world = World([both(), both()])
    right = getattr(world, wrong)
    setattr(world, wrong, world.random.randbytes(32))
    world.client = world.make_client()
    world.sent = []
    world.stream("client", range(100), 1.0)
    world.run(120.0)
    assert {type(event) for _, event in world.events} == {NoAnswer}
    assert world.reads == {"client": [], "server": []}
    assert not world.server.tunnels["home"].sessions.current
    asked = sorted({sent.at for sent in world.sent if sent.end == "client"})
    gaps = [b - a for a, b in pairwise(asked)]
    assert 20 <= len(asked) <= 40
    assert all(5 * 0.65 < gap < 5 * 1.35 for gap in gaps[4:])
    assert len({round(gap, 3) for gap in gaps}) > 10  # no two clients in step
    replies = [sent for sent in world.sent if sent.end == "server"]
    if wrong == "psk":  # the client's static key is right; the answer proves nothing to it
        assert world.drops("client")["bad_handshake"] > 0
        assert len(replies) <= len([sent for sent in world.sent if sent.end == "client"])
    else:
        assert not replies
        reason = {"server_key": "bad_mac", "client_key": "unknown_peer"}[wrong]
        assert world.drops("server")[reason] >= 40
    # And with the right one, it comes up.
    setattr(world, wrong, right)
    world.client = world.make_client()
    world.run(1.0)
    assert [world.sessions(end) for end in ENDS] == [1, 1]


@pytest.mark.parametrize("path", [40_000, 40_001, STRANGER])
@pytest.mark.parametrize("later", [0.0, 5.0, 11.0, 130.0])
def test_a_replayed_init_leaves_the_live_session_alone(path: int, later: float) -> None:
    world = tunnel_at_work()
    init = captured(world, "client", Kind.INIT)
    world.run(later)
    rekeys, known = world.client.tunnel.rekeys, learned(world, "server")
    out = answers(world, "server", init.datagram, path)
    # For ten seconds it may be a copy from a slower link, and gets the same answer again.
    assert [sent.kind for sent in out] == ([Kind.RESPONSE] if later < 8 else [])
    assert sum(len(sent.datagram) for sent in out) <= len(init.datagram)
    assert learned(world, "server") == known
    world.stream("client", range(3_000, 3_100), 0.002)
    world.run(1.0)
    assert world.numbers("server")[-100:] == list(range(3_000, 3_100))
    assert world.client.tunnel.rekeys == rekeys
    assert not [event for _, event in world.events if isinstance(event, SessionDown)]


def test_an_init_with_a_flipped_bit_meets_silence_and_changes_nothing() -> None:
    world = tunnel_at_work(1)
    init = captured(world, "client", Kind.INIT).datagram
    known = learned(world, "server")
    mac2_bits = 16 * 8  # that says something under load only
    for bit in range(len(init) * 8 - mac2_bits):
        before = refused(world, "server")
        assert not answers(world, "server", flip(init, bit), STRANGER)
        assert refused(world, "server") == before + 1
    assert learned(world, "server") == known


def test_no_stranger_gets_more_bytes_than_it_sent_or_thrice_a_lost_probe_in_any_state() -> None:
    world = World([both(), both(delay=0.050)])
    world.sent = []
    heard: list[bytes] = []
    rng = random.Random(5)

    def replay_everything() -> None:
        for datagram in heard[-60:]:
            for copy in (datagram, datagram[:-1], flip(datagram, rng.randrange(len(datagram) * 8))):
                out = answers(world, "server", copy, STRANGER)
                sealed = datagram[0] >> 4 < 8  # a probe that was lost gets a challenge
                limit = 3 * len(copy) if sealed else len(copy)
                assert sum(len(sent.datagram) for sent in out) <= limit

    def go_on(seconds: float) -> None:
        assert world.sent is not None
        world.run(seconds)
        heard.extend(sent.datagram for sent in world.sent if sent.end == "client")
        world.sent.clear()
        world.poll()
        replay_everything()

    go_on(0.005)  # INIT is under way
    go_on(0.010)  # answered, not proven
    go_on(0.030)  # proven on one link
    go_on(2.0)  # up
    world.server = world.make_server()
    go_on(0.001)  # knows nothing
    go_on(5.0)
    world.lines[0][0].cut = world.lines[1][0].cut = True
    go_on(200.0)  # expired
    assert len(heard) > 300


def test_a_flood_of_inits_from_everywhere_gets_cookies_no_longer_than_them_and_traffic_flows() -> (
    None
):
    world = tunnel_at_work(1)
    # INITs with a valid mac1, which whoever knows the server's public key can make.
    stranger = World([both()], seed=9)
    stranger.server_key = world.server_key
    stranger.client = stranger.make_client()
    stranger.sent = []
    stranger.run(60.0)
    inits = [sent.datagram for sent in stranger.sent if sent.end == "client"]
    numbers = len(world.numbers("server"))
    world.stream("client", range(3_000, 3_400), 0.005)
    for step in range(2_000):
        datagram, port = inits[step % len(inits)], 50_000 + step % 10_000
        world.at(world.now + step * 0.001, partial(world.inject, "server", datagram, port))
    world.run(3.0)
    assert len(world.numbers("server")) == numbers + 400
    assert len(world.strays) > 1_500
    assert {sent.kind for sent in world.strays} == {Kind.COOKIE}
    assert max(len(sent.datagram) for sent in world.strays) <= min(map(len, inits))
    assert world.server._responder._senders._levels == {}
    assert len(world.server._sessions) == 1


@pytest.mark.parametrize("end", ENDS)
def test_a_goodbye_that_is_forged_flipped_or_replayed_is_ignored(end: str) -> None:
    world = tunnel_at_work(1)
    sender = world.client if end == "server" else world.server
    (goodbye,) = (bytes(transmit.data) for transmit in sender.close(world.now))
    probe = withheld(world, other(end), Kind.CONTROL).datagram
    session = world.tunnel(end).sessions.current
    for bit in range(len(goodbye) * 8):
        assert not answers(world, end, flip(goodbye, bit), path_to(world, end))
    for bit in range(64, len(probe) * 8):
        assert not answers(world, end, flip(probe, bit), path_to(world, end))
    assert world.tunnel(end).sessions.current is session
    world.run(1.0)

    world.inject(end, goodbye, path_to(world, end))  # the true one, once
    assert session is not world.tunnel(end).sessions.current
    world.run(6.0)
    assert world.sessions(end) == 2
    successor = world.tunnel(end).sessions.current
    for _ in range(3):
        assert not answers(world, end, goodbye, path_to(world, end))
    world.run(1.0)
    assert world.tunnel(end).sessions.current is successor is not None
