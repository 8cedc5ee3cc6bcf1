"""A flood of handshakes costs little, gets little and keeps nobody out."""

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
    SERVER_KEY,
    WALL_CLOCK,
    Client,
    Server,
    address,
    forged_init,
    public,
    repeatable,
    sign_init,
)
from wrrtun.core.cookie import (
    CookieJar,
    Limiter,
    LoadMeter,
    add_mac1,
    mac,
    mac1_key,
    network,
    open_cookie,
)
from wrrtun.core.errors import Drop, PeerError
from wrrtun.core.handshake import MAX_HANDSHAKE_BYTES, MIN_HANDSHAKE_BYTES
from wrrtun.core.messages import Cookie, Init, Response, parse_cookie
from wrrtun.core.offers import LinkOffer
from wrrtun.core.wire import Kind


def is_cookie(datagram: bytes) -> bool:
    return datagram[0] >> 4 == Kind.COOKIE


def test_a_flood_gets_cookies_only_and_none_longer_than_what_it_sent() -> None:
    server = Server()
    cookies = 0
    for count in range(3000):
        init = forged_init(count)
        with contextlib.suppress(PeerError):
            reply = server.receive(init, address(count), now=count / 1000)
            assert is_cookie(reply.datagram)
            assert len(reply.datagram) <= len(init)
            cookies += 1
    assert cookies >= 2945  # the first few were opened, before the load was seen
    assert server.sessions == 0x2000


def test_under_load_a_client_gets_in_with_a_cookie_and_without_after_the_flood() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    reply = server.receive(client.start(now=10.0), now=10.0)
    assert is_cookie(reply.datagram)
    assert client.receive(reply.datagram, now=10.0) is None
    client.finish(server.accept(client.start(now=10.1), now=10.1))

    other = Client()
    other.finish(server.accept(other.start(now=200.0, clock=WALL_CLOCK + 1), now=200.0))


def test_a_cookie_is_good_for_one_address_and_port_only() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    client.receive(server.receive(client.start(now=10.0), HOME, now=10.0).datagram, now=10.0)
    init = client.start(now=10.0)

    other_port = HOME[:4] + (40001).to_bytes(2, "big")
    for source in (MOBILE, other_port):
        reply = server.receive(init, source, now=10.0)
        assert is_cookie(reply.datagram)
        assert reply.established is None
    server.accept(init, HOME, now=10.0)


def test_a_cookie_does_not_outlive_its_secret() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    client.receive(server.receive(client.start(now=10.0), now=10.0).datagram, now=10.0)
    init = client.start(now=129.9)
    server.flood(now=130.0)
    assert is_cookie(server.receive(init, now=130.0).datagram)


def test_a_client_uses_a_cookie_for_120_seconds() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    client.receive(server.receive(client.start(now=10.0), now=10.0).datagram, now=10.0)
    assert client.start(now=129.9)[-16:] != bytes(16)
    assert client.start(now=130.0)[-16:] == bytes(16)


def test_a_cookie_for_another_init_or_from_another_server_is_refused() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    cookie = server.receive(client.start(now=10.0), now=10.0).datagram
    client.start(now=10.0)
    with pytest.raises(PeerError) as caught:
        client.receive(cookie)
    assert caught.value.reason is Drop.BAD_COOKIE

    jar = CookieJar(public(SERVER_KEY), repeatable("jar"))
    reply = parse_cookie(jar.reply(1, b"m" * 16, HOME, now=0.0))
    assert open_cookie(public(SERVER_KEY), reply, b"m" * 16) == jar.cookie(HOME, now=0.0)
    with pytest.raises(PeerError):
        open_cookie(public(b"other" * 6 + b"ab"), reply, b"m" * 16)


def test_a_recorded_init_does_not_pass_for_a_clock_gone_back() -> None:
    old, client, server = Client(boot_id=BOOT_1), Client(boot_id=BOOT_2), Server()
    recorded = old.start(clock=WALL_CLOCK)
    server.accept(recorded, now=0.0)
    server.accept(client.start(clock=WALL_CLOCK + 1), now=20.0)

    reply = server.receive(recorded, MOBILE, now=40.0)
    assert is_cookie(reply.datagram)
    # Who knows the server's public key can open the cookie and make a good mac2 of it, but cannot
    # put it where the static key's owner does.
    signed = recorded[:-16]
    cookie = open_cookie(public(SERVER_KEY), parse_cookie(reply.datagram), signed[-16:])
    again = server.receive(signed + mac(cookie, signed), MOBILE, now=40.0)
    assert is_cookie(again.datagram)
    assert again.established is None


def test_a_sender_with_a_cookie_is_still_limited_to_its_rate() -> None:
    client, server = Client(), Server()
    server.flood(now=10.0)
    client.receive(server.receive(client.start(now=10.0), now=10.0).datagram, now=10.0)
    for count in range(10):
        server.accept(client.start(now=10.0, clock=WALL_CLOCK + 1 + count), now=10.0)
    with pytest.raises(PeerError) as caught:
        server.receive(client.start(now=10.0, clock=WALL_CLOCK + 20), now=10.0)
    assert caught.value.reason is Drop.RATE_LIMITED
    server.accept(client.start(now=10.3, clock=WALL_CLOCK + 21), now=10.3)


def test_all_senders_with_cookies_together_are_limited_too() -> None:
    server = Server()
    server.flood(now=10.0)
    reasons = []
    for count in range(210):
        init = forged_init(count)
        reply = server.receive(init, address(count), now=10.0)
        signed = init[:-16]
        cookie = open_cookie(public(SERVER_KEY), parse_cookie(reply.datagram), signed[-16:])
        with pytest.raises(PeerError) as caught:
            server.receive(signed + mac(cookie, signed), address(count), now=10.0)
        reasons.append(caught.value.reason)
    assert reasons == [Drop.BAD_HANDSHAKE] * 200 + [Drop.RATE_LIMITED] * 10


@pytest.mark.parametrize("links", range(1, 16))
def test_no_answer_is_longer_than_its_init(links: int) -> None:
    offers = tuple(LinkOffer(n, 1e6, 1e6, 2**64 - 1, 2**64 - 1) for n in range(links))
    client, server = Client(), Server()
    init = client.start(links=offers)
    response = server.accept(init)
    server.flood(now=0.0)
    cookie = server.receive(client.start(links=offers)).datagram

    assert is_cookie(cookie)
    assert len(response) <= len(init)
    assert len(cookie) <= len(init)
    assert len(cookie) == MIN_HANDSHAKE_BYTES
    assert len(init) == 193 + 28 * links <= MAX_HANDSHAKE_BYTES


def test_load_is_over_within_a_second_of_the_flood() -> None:
    meter = LoadMeter(per_second=50)
    assert [meter.overloaded(now=1.0) for _ in range(50)] == [False] * 50
    assert all(meter.overloaded(now=1.0 + n / 1000) for n in range(1000))
    assert not meter.overloaded(now=3.1)


def test_the_limiter_forgets_who_is_quiet_and_refuses_newcomers_while_full() -> None:
    limiter = Limiter(per_second=5, burst=10, capacity=4096)
    for count in range(5000):
        assert limiter.allow(b"%d" % count, now=1.0) == (count < 4096)
    assert len(limiter) == 4096
    assert limiter.allow(b"0", now=1.0)
    assert not limiter.allow(b"new", now=1.9)  # the table is gone through once a second
    assert limiter.allow(b"new", now=2.1)
    assert len(limiter) == 1


def test_an_ipv6_sender_is_its_64_bit_network() -> None:
    assert network(bytes(range(16)) + b"\x00\x35") == bytes(range(8))
    assert network(b"\xc0\x00\x02\x01\x00\x35") == b"\xc0\x00\x02\x01"


# Fuzzing. Invariant: whatever arrives is answered, understood or refused with PeerError.


def flipped(datagram: bytes, bit: int) -> bytes:
    return (int.from_bytes(datagram, "big") ^ 1 << bit).to_bytes(len(datagram), "big")


def wrong_lengths(datagram: bytes) -> list[bytes]:
    return [datagram[:n] for n in range(len(datagram))] + [
        datagram + b"\0",
        datagram + bytes(65000),
    ]


def test_an_init_with_any_bit_flipped_or_any_length_is_refused() -> None:
    client, server = Client(), Server()
    init = client.start()
    mac2_bits = 128
    for bit in range(mac2_bits, 8 * len(init)):
        with pytest.raises(PeerError):
            server.receive(flipped(init, bit))
    for wrong in wrong_lengths(init):
        with pytest.raises(PeerError):
            server.receive(wrong)
    assert server.sessions == 0x2000


def test_a_flipped_mac2_is_no_other_init() -> None:
    client, server = Client(), Server()
    init = client.start()
    response = server.accept(init)
    for bit in range(128):  # mac2 counts under load only; the rest of the INIT stands as it was
        reply = server.receive(flipped(init, bit))
        assert reply.datagram == response
        assert reply.established is None


def test_a_response_with_any_bit_flipped_or_any_length_is_refused() -> None:
    client, server = Client(), Server()
    response = server.accept(client.start())
    for wrong in [flipped(response, bit) for bit in range(8 * len(response))] + wrong_lengths(
        response
    ):
        with pytest.raises(PeerError):
            client.receive(wrong)
    client.finish(response)


def test_a_cookie_with_any_bit_flipped_or_any_length_is_refused() -> None:
    client, server = Client(), Server()
    server.flood(now=0.0)
    cookie = server.receive(client.start()).datagram
    assert is_cookie(cookie)
    for wrong in [flipped(cookie, bit) for bit in range(8 * len(cookie))] + wrong_lengths(cookie):
        with pytest.raises(PeerError):
            client.receive(wrong)
    assert client.receive(cookie) is None


HEADS = st.sampled_from(
    [
        b"",
        Init(1, 0x1111, b"").encode(),
        Init(2, 0x1111, public(b"e" * 32)).encode(),
        Response(0x1111, 0x2001, b"").encode(),
        Response(0x1111, 0x2001, public(b"e" * 32)).encode(),
        Cookie(0x1111, b"", b"").encode(),
    ]
)


@given(head=HEADS, tail=st.binary(max_size=700))
def test_arbitrary_bytes_get_no_session_and_break_nothing(head: bytes, tail: bytes) -> None:
    client, server = Client(), Server()
    client.start()
    body = head + tail
    for to_server in (body, sign_init(body)):
        with pytest.raises(PeerError):
            server.receive(to_server)
    for to_client in (body, add_mac1(mac1_key(public(CLIENT_KEY)), body)):
        with pytest.raises(PeerError):
            client.receive(to_client)
    assert server.sessions == 0x2000
