"""Two ends meet, or do not, for the right reason."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.core.handshaking import (
    BOOT_1,
    BOOT_2,
    CLIENT_KEY,
    HOME,
    LINK_ADSL,
    LINK_LTE,
    LOW_ORDER_POINTS,
    MOBILE,
    PSK,
    SERVER_BOOT,
    SERVER_KEY,
    STRANGER_KEY,
    WALL_CLOCK,
    Client,
    Server,
    established,
    public,
    refuse_answer,
    refuse_init,
    repeatable,
    sign_init,
)
from wrrtun.core.cookie import add_mac1, mac1_key
from wrrtun.core.errors import ConfigError, Drop, PeerError
from wrrtun.core.handshake import NOISE_NAMES
from wrrtun.core.initiator import Initiator
from wrrtun.core.messages import Init, Response, parse_init
from wrrtun.core.noise import SymmetricState
from wrrtun.core.offers import LinkTable
from wrrtun.core.responder import PeerKey, Reply, Responder
from wrrtun.core.seal import Suite


@pytest.mark.parametrize("suite", Suite)
def test_both_ends_come_out_with_crossed_keys_and_ids(suite: Suite) -> None:
    client, server = Client(suite=suite), Server()
    reply = server.receive(client.start(session=0x1111))
    at_client, at_server = client.finish(reply.datagram), established(reply)

    assert reply.established is not None
    assert reply.established[0] == "home"
    assert at_client.keys.suite is at_server.keys.suite is suite
    assert at_client.keys.send_key == at_server.keys.receive_key
    assert at_client.keys.receive_key == at_server.keys.send_key
    assert at_client.keys.send_key != at_client.keys.receive_key
    assert at_client.keys.local_session == at_server.keys.remote_session == 0x1111
    assert at_client.keys.remote_session == at_server.keys.local_session == 0x2001
    assert (at_client.keys.initiator, at_server.keys.initiator) == (True, False)


def test_both_ends_learn_what_the_other_said_of_itself() -> None:
    client, server = Client(), Server()
    reply = server.receive(client.start(links=(LINK_ADSL, LINK_LTE)))
    at_client, at_server = client.finish(reply.datagram), established(reply)

    assert at_server.boot_id == BOOT_1
    assert at_server.next_bulk_seq == 2**40 - 1
    assert at_server.mtu == 1400
    assert at_server.table == LinkTable(0, 1, (LINK_ADSL, LINK_LTE))
    assert at_client.boot_id == SERVER_BOOT
    assert at_client.next_bulk_seq == len("home")
    assert at_client.mtu == 1380
    assert at_client.table is None


def test_keys_are_not_shown() -> None:
    client, server = Client(), Server()
    at_client = client.finish(server.accept(client.start()))
    assert "key=" not in repr(at_client)


def test_a_client_whose_key_another_one_uses_is_told_nothing() -> None:
    server = Server(refused=(BOOT_2,))
    server.accept(Client().start())
    refuse_init(server, Client(boot_id=BOOT_2).start(clock=WALL_CLOCK + 1.0), Drop.SECOND_CLIENT)
    server.accept(Client().start(clock=WALL_CLOCK + 2.0))


def test_copies_of_an_init_over_other_links_get_the_same_answer_and_only_one_session() -> None:
    client, server = Client(), Server()
    init = client.start()
    first = server.receive(init, HOME, now=0.0)
    second = server.receive(init, MOBILE, now=0.3)

    assert second == Reply(first.datagram, established=None)
    assert server.sessions == 0x2001
    client.finish(first.datagram)
    refuse_answer(client, second.datagram, Drop.REPLAYED)


def test_a_replayed_init_makes_no_session_from_any_address() -> None:
    client, server = Client(), Server()
    init = client.start()
    server.accept(init, now=0.0)

    assert server.receive(init, MOBILE, now=9.9).established is None
    refuse_init(server, init, Drop.STALE_HANDSHAKE, now=10.0)
    client.finish(server.accept(client.start(), now=120.0))
    refuse_init(server, init, Drop.STALE_HANDSHAKE, now=120.1)


def test_a_wrong_server_key_meets_silence() -> None:
    refuse_init(Server(), Client(server=STRANGER_KEY).start(), Drop.BAD_MAC)


def test_an_unknown_client_key_meets_silence() -> None:
    refuse_init(Server(), Client(key=STRANGER_KEY).start(), Drop.UNKNOWN_PEER)


def test_a_wrong_psk_never_comes_up() -> None:
    client, server = Client(psk=b"q" * 32), Server()
    answer = server.receive(client.start()).datagram
    refuse_answer(client, answer, Drop.BAD_HANDSHAKE)


def test_an_answer_from_another_server_key_never_comes_up() -> None:
    client = Client()
    init = client.start()
    other = Client(server=STRANGER_KEY)
    other.start()
    refuse_answer(other, Server().accept(init), Drop.BAD_HANDSHAKE)


def test_an_unknown_suite_is_refused() -> None:
    body = Client().start()[:-32]
    init = parse_init(body)
    refuse_init(
        Server(),
        sign_init(Init(3, init.session, init.noise).encode()),
        Drop.BAD_HANDSHAKE,
    )


def test_a_suite_changed_on_the_way_is_refused() -> None:
    init = parse_init(Client(suite=Suite.AES_256_GCM).start()[:-32])
    changed = Init(Suite.CHACHA20_POLY1305, init.session, init.noise)
    refuse_init(Server(), sign_init(changed.encode()), Drop.BAD_HANDSHAKE)


def test_a_removed_peer_is_unknown_and_a_new_one_is_let_in() -> None:
    client, server = Client(), Server()
    init = client.start()
    server.accept(init)
    server.responder.set_peers({public(STRANGER_KEY): PeerKey("new", PSK)})
    refuse_init(server, init, Drop.UNKNOWN_PEER)
    refuse_init(server, client.start(), Drop.UNKNOWN_PEER)
    reply = server.receive(Client(key=STRANGER_KEY).start())
    assert reply.established is not None
    assert reply.established[0] == "new"


# Keys that give the same secret to everybody


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_low_order_ephemeral_is_refused_on_both_sides(point: bytes) -> None:
    client, server = Client(), Server()
    init = parse_init(client.start()[:-32])
    poisoned = Init(init.suite, init.session, point + init.noise[32:])
    refuse_init(server, sign_init(poisoned.encode()), Drop.BAD_HANDSHAKE)

    response = Response(init.session, 0x2001, point + bytes(60)).encode()
    answer = add_mac1(mac1_key(public(CLIENT_KEY)), response)
    refuse_answer(client, answer, Drop.BAD_HANDSHAKE)


@pytest.mark.parametrize("point", LOW_ORDER_POINTS, ids=bytes.hex)
def test_a_low_order_static_key_is_refused(point: bytes) -> None:
    # What IK says up to the static key, by hand: no honest side would send this one.
    name = NOISE_NAMES[Suite.CHACHA20_POLY1305]
    ephemeral = X25519PrivateKey.from_private_bytes(b"e" * 32)
    state = SymmetricState.start(name, "ChaChaPoly", "BLAKE2s")
    state = state.mix_hash(b"wrrtun\x02\x02").mix_hash(public(SERVER_KEY))
    state = state.mix_hash(public(b"e" * 32)).mix_key(public(b"e" * 32))
    server_key = X25519PrivateKey.from_private_bytes(SERVER_KEY).public_key()
    state = state.mix_key(ephemeral.exchange(server_key))
    _, sealed = state.encrypt_and_hash(point)
    init = Init(Suite.CHACHA20_POLY1305, 1, public(b"e" * 32) + sealed + bytes(100))
    with pytest.raises(PeerError, match="low order"):
        Server().receive(sign_init(init.encode()))


@pytest.mark.parametrize("key", [*LOW_ORDER_POINTS, b"", bytes(31)], ids=bytes.hex)
def test_an_unusable_public_key_is_a_matter_for_the_operator(key: bytes) -> None:
    with pytest.raises(ConfigError):
        Initiator(
            CLIENT_KEY, key, PSK, suite=Suite.AES_256_GCM, boot_id=BOOT_1, random=repeatable("")
        )
    with pytest.raises(ConfigError):
        Responder(SERVER_KEY, SERVER_BOOT, {key: PeerKey("home", PSK)}, repeatable(""))


def test_a_short_secret_is_a_matter_for_the_operator() -> None:
    with pytest.raises(ConfigError):
        Client(psk=b"short")
    with pytest.raises(ConfigError):
        Client(key=b"short")
