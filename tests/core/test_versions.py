"""Ends of different protocol versions get no session, and both know why."""

import hashlib

import pytest

from tests.core.handshaking import (
    HOME,
    SERVER_KEY,
    Client,
    Server,
    public,
    refuse_init,
    sign_init,
)
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.messages import PROTOCOL_VERSION
from wrrtun.core.versions import VERSION_OFFSET, OtherVersionError, make_answer, read_answer

THEIRS = PROTOCOL_VERSION + 1


def of_another_version(init: bytes) -> bytes:
    """Make an INIT of the next version, whose layout we do not know but for its place."""
    body = init[:VERSION_OFFSET] + bytes([THEIRS]) + hashlib.sha512(init).digest()
    return sign_init(body)


def refusal(server: Server, init: bytes, now: float = 0.0) -> OtherVersionError:
    with pytest.raises(OtherVersionError) as caught:
        server.receive(init, HOME, now)
    return caught.value


def test_a_server_tells_a_client_of_another_version_which_one_it_speaks() -> None:
    init = of_another_version(Client().start())
    refused = refusal(Server(), init)
    assert (refused.reason, refused.theirs) == (Drop.BAD_VERSION, THEIRS)
    assert len(refused.answer) < len(init)
    assert read_answer(public(SERVER_KEY), refused.answer, init[-32:-16]) == PROTOCOL_VERSION


def test_a_client_learns_the_version_from_the_answer_to_its_own_init_only() -> None:
    client = Client()
    init = client.start()
    answer = make_answer(public(SERVER_KEY), init[-32:-16])
    with pytest.raises(OtherVersionError) as caught:
        client.receive(answer)
    assert caught.value.theirs == PROTOCOL_VERSION

    forged = [
        make_answer(public(SERVER_KEY), bytes(16)),
        make_answer(bytes(32), init[-32:-16]),
        answer[:-1],
        answer + b"\0",
        *(answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :] for at in range(1, len(answer))),
    ]
    for datagram in forged:
        with pytest.raises(PeerError) as refused:
            client.receive(datagram)
        assert refused.type is PeerError


def test_a_client_that_waits_for_nothing_learns_nothing() -> None:
    with pytest.raises(PeerError) as refused:
        Client().receive(make_answer(public(SERVER_KEY), bytes(16)))
    assert refused.value.reason is Drop.STALE_HANDSHAKE


def test_who_does_not_know_the_server_s_key_gets_no_version() -> None:
    init = of_another_version(Client().start())
    refuse_init(Server(), init[:-32] + bytes(32), Drop.BAD_MAC)


def test_a_flood_of_another_version_is_not_answered() -> None:
    server = Server()
    server.flood(now=1.0)
    init = of_another_version(Client().start())
    assert refusal(server, init, now=1.0).answer == b""
    assert refusal(server, init, now=20.0).answer != b""
