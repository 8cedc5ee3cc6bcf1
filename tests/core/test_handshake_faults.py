"""Handshake messages that are lost, late, doubled or crossed, and clocks that go back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.handshaking import (
    BOOT_1,
    BOOT_2,
    CLIENT_KEY,
    HOME,
    MOBILE,
    WALL_CLOCK,
    Client,
    Server,
    established,
    public,
    refuse_answer,
    refuse_init,
)
from wrrtun.core.cookie import add_mac1, mac1_key
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.handshake import SessionKeys


def test_a_lost_init_or_answer_is_made_good_by_the_next_init() -> None:
    client, server = Client(), Server()
    client.start(now=0.0)  # lost
    server.accept(client.start(now=5.0), now=5.1)  # answer lost
    reply = server.receive(client.start(now=10.0), now=10.1)
    assert client.finish(reply.datagram).keys.send_key == established(reply).keys.receive_key


def test_crossed_retries_end_in_the_newest_session_on_both_sides() -> None:
    client, server = Client(), Server()
    first = client.start(session=0x1111, now=0.0)
    first_answer = server.accept(first, now=4.9)
    second = client.start(session=0x2222, now=5.0)
    refuse_answer(client, first_answer, Drop.STALE_HANDSHAKE)
    reply = server.receive(second, now=5.1)
    assert client.finish(reply.datagram).keys.send_key == established(reply).keys.receive_key


def test_an_old_init_that_arrives_after_a_newer_one_changes_nothing() -> None:
    client, server = Client(), Server()
    first, second = client.start(now=0.0), client.start(session=0x2222, now=5.0)
    answer = server.accept(second, now=5.1)
    refuse_init(server, first, Drop.STALE_HANDSHAKE, now=5.2)
    client.finish(answer)


def test_a_forged_answer_does_not_spoil_the_true_one() -> None:
    client, server = Client(), Server()
    answer = server.accept(client.start())
    body = bytearray(answer[:-16])
    body[60] ^= 1
    refuse_answer(client, add_mac1(mac1_key(public(CLIENT_KEY)), bytes(body)), Drop.BAD_HANDSHAKE)
    client.finish(answer)


def test_an_init_thrown_back_at_its_sender_is_refused() -> None:
    client = Client()
    refuse_answer(client, client.start(), Drop.BAD_MAC)


def test_of_two_clients_with_one_key_the_one_that_came_last_wins() -> None:
    first, second, server = Client(boot_id=BOOT_1), Client(boot_id=BOOT_2), Server()
    first.finish(server.accept(first.start(clock=WALL_CLOCK), now=0.0))
    second.finish(server.accept(second.start(clock=WALL_CLOCK + 1), now=1.0))
    reply = server.receive(first.start(clock=WALL_CLOCK + 2), now=2.0)
    assert established(reply).boot_id == BOOT_1


@pytest.mark.parametrize("years", [-10, 10])
def test_a_clock_that_jumps_during_a_run_does_not_matter(years: int) -> None:
    client, server = Client(), Server()
    for clock in (WALL_CLOCK, WALL_CLOCK + years * 31_557_600, WALL_CLOCK):
        client.finish(server.accept(client.start(clock=clock)))


@pytest.mark.parametrize("clock", [0.0, WALL_CLOCK - 315_576_000.0])
def test_a_restarted_client_whose_clock_went_back_gets_in_by_a_cookie(clock: float) -> None:
    before, client, server = Client(boot_id=BOOT_1), Client(boot_id=BOOT_2), Server()
    before.finish(server.accept(before.start(), now=0.0))

    reply = server.receive(client.start(clock=clock), now=60.0)
    assert reply.established is None
    assert client.receive(reply.datagram, now=60.0) is None
    client.finish(server.accept(client.start(clock=clock, now=60.0), now=60.0))

    client.finish(server.accept(client.start(clock=clock, now=180.0), now=180.0))


def test_a_restarted_server_takes_whatever_comes() -> None:
    client = Client()
    client.finish(Server().accept(client.start(clock=WALL_CLOCK)))
    client.finish(Server().accept(client.start(clock=0.0)))


MOVES = st.one_of(
    st.just(("start", 0)),
    st.tuples(
        st.sampled_from(["to server", "to server by mobile", "to client"]), st.integers(0, 9)
    ),
)


@given(moves=st.lists(MOVES, max_size=40))
def test_whatever_is_lost_doubled_or_crossed_both_ends_agree_in_the_end(
    moves: list[tuple[str, int]],
) -> None:
    client, server = Client(), Server()
    inits, answers = [client.start()], []
    at_server: dict[int, SessionKeys] = {}

    def to_server(init: bytes, source: bytes, now: float) -> None:
        reply = server.receive(init, source, now)
        answers.append(reply.datagram)
        if reply.established is not None:
            keys = reply.established[1].keys
            at_server[keys.local_session] = keys

    def to_client(answer: bytes, now: float) -> None:
        keys = client.finish(answer, now).keys
        theirs = at_server[keys.remote_session]
        assert (keys.send_key, keys.receive_key) == (theirs.receive_key, theirs.send_key)
        assert keys.local_session == theirs.remote_session

    for now, (move, back) in enumerate(moves, start=1):
        with contextlib.suppress(PeerError):
            if move == "start":
                inits.append(client.start(session=0x3000 + now, now=now))
            elif move == "to client" and answers:
                to_client(answers[-1 - back % len(answers)], now)
            elif move != "to client":
                source = MOBILE if "mobile" in move else HOME
                to_server(inits[-1 - back % len(inits)], source, now)

    to_server(client.start(now=100.0), HOME, now=100.0)
    to_client(answers[-1], now=100.0)
