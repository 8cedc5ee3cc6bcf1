"""Keys that change under traffic, ends that restart, goodbyes, and seqs that wrap."""

from dataclasses import replace
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.sim.lines import both
from tests.sim.world import World, frame
from wrrtun.core import seal
from wrrtun.core.events import SessionDown
from wrrtun.core.seal import Suite
from wrrtun.core.session import KeyLife
from wrrtun.core.wire import SEQ_MASK, Kind

ENDS = ("client", "server")
SHORT = KeyLife(rekey_seconds=2.0, reject_seconds=4.0)


class RecordingAesGcm:
    """AES-GCM that refuses to seal twice under one key and nonce."""

    sealed: ClassVar[set[tuple[bytes, bytes]]] = set()

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._cipher = AESGCM(key)
        self.decrypt = self._cipher.decrypt
        self.decrypt_into = self._cipher.decrypt_into

    def _note(self, nonce: bytes) -> None:
        used = (self._key, bytes(nonce))
        assert used not in self.sealed
        self.sealed.add(used)

    def encrypt(self, nonce: bytes, data: bytes, header: bytes) -> bytes:
        self._note(nonce)
        return self._cipher.encrypt(nonce, data, header)

    def encrypt_into(self, nonce: bytes, data: bytes, header: bytes, out: bytearray) -> int:
        self._note(nonce)
        return self._cipher.encrypt_into(nonce, data, header, out)


def test_no_key_and_nonce_seal_twice_over_rekeys_restarts_failed_sends_and_a_wrap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    RecordingAesGcm.sealed = set()
    monkeypatch.setattr(seal, "AESGCM", RecordingAesGcm)
    world = World([both(delay=0.005, loss=0.1), both(delay=0.120)], life=SHORT)
    world.client.tunnel.outbound.next_bulk_seq = SEQ_MASK - 500
    world.run(1.0)
    for end in ENDS:
        world.stream(end, range(4000), 0.002, 200)
        world.stream(end, range(100_000, 101_000), 0.008, express=True)
    world.at(world.now + 3.0, lambda: world.client.tunnel.send_failed(0, "gone", world.now))
    world.run(5.0)
    world.client = world.make_client()
    world.run(2.0)
    world.server = world.make_server()
    world.run(8.0)
    assert world.sessions("client") >= 6
    assert len(RecordingAesGcm.sealed) > 8_000
    assert len({key for key, _ in RecordingAesGcm.sealed}) >= 12


@pytest.mark.parametrize("seed", range(10))
def test_over_lines_that_lose_half_both_ends_agree_on_a_session(seed: int) -> None:
    world = World([both(loss=0.5, duplicate=0.3), both(delay=0.120, loss=0.5)], seed=seed)
    world.run(30.0)
    client, server = (world.tunnel(end).sessions.current for end in ENDS)
    assert client is not None
    assert server is not None
    assert client.keys.send_key == server.keys.receive_key


def test_rekeys_under_traffic_lose_double_and_reorder_nothing() -> None:
    world = World([both(delay=0.005), both(delay=0.150)], life=SHORT)
    world.run(1.5)
    for end in ENDS:
        world.stream(end, range(4000), 0.003)
    world.run(13.0)
    assert world.client.tunnel.rekeys >= 5
    for end in ENDS:
        assert world.numbers(end) == list(range(4000))
        assert world.drops(end).keys() <= {"replayed", "stale_handshake"}


# A line that is 300 ms away one way rests beside a fast one; one of 300 ms there and back carries.
@pytest.mark.parametrize("way", [1.0, 0.5])
@pytest.mark.parametrize("suite", list(Suite))
def test_rekeys_over_5_and_300_ms_with_5_percent_loss_lose_only_what_the_lines_lose(
    suite: Suite, way: float
) -> None:
    lines = [both(delay=0.005 * way, loss=0.05), both(delay=0.300 * way, loss=0.05)]
    world = World(lines, life=SHORT, suite=suite)
    world.run(2.0)
    dropped = [up.dropped + down.dropped for up, down in lines]
    for end in ENDS:
        world.stream(end, range(3000), 0.004)
    world.run(13.0)
    assert world.client.tunnel.rekeys >= 4
    assert (lines[1][0].bulk_bytes > 1_000_000) == (way < 1.0)
    lost_by_lines = sum(up.dropped + down.dropped for up, down in lines) - sum(dropped)
    lost = 0
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        lost += 3000 - len(numbers)
        assert world.drops(end).keys() <= {"replayed", "stale_handshake", "unknown_session"}
        assert world.drops(end).get("unknown_session", 0) == 0
    assert lost <= lost_by_lines


def test_a_key_retires_by_the_count_of_its_datagrams_too() -> None:
    world = World(
        [both(delay=0.005), both(delay=0.050)],
        life=KeyLife(rekey_datagrams=500, reject_datagrams=1000),
    )
    world.run(1.0)
    for end in ENDS:
        world.stream(end, range(3000), 0.002)
    world.run(8.0)
    assert world.client.tunnel.rekeys >= 5
    for end in ENDS:
        assert world.numbers(end) == list(range(3000))


def test_a_key_that_cannot_be_replaced_stops_at_its_limit() -> None:
    world = World([both(delay=0.005)], life=KeyLife(rekey_datagrams=500, reject_datagrams=1000))
    world.run(1.0)
    world.server_key = world.random.randbytes(32)
    world.server._responder.set_peers({})
    world.stream("client", range(2000), 0.002)
    world.run(5.0)
    assert 900 < len(world.numbers("server")) <= 1000
    assert world.drops("client")["no_link"] > 900
    assert world.drops("server")["unknown_peer"] >= 1


@pytest.mark.parametrize("end", ENDS)
def test_bulk_seqs_wrap_at_40_bits_in_a_running_tunnel_with_a_rekey_around_it(end: str) -> None:
    world = World([both(delay=0.005), both(delay=0.060)], life=SHORT)
    world.tunnel(end).outbound.next_bulk_seq = SEQ_MASK - 800
    world.run(1.0)
    world.stream(end, range(3000), 0.002)
    world.run(8.0)
    assert world.tunnel(end).outbound.next_bulk_seq < 3000
    assert world.numbers("server" if end == "client" else "client") == list(range(3000))


def test_a_server_that_restarts_has_its_client_back_in_seconds_and_in_order() -> None:
    world = World([both(delay=0.011), both(delay=0.060)])
    world.run(2.0)
    for end in ENDS:
        world.stream(end, range(4000), 0.004)
    world.run(3.0)
    world.server = world.make_server()
    world.run(6.0)
    assert world.sessions("client") == 2
    world.run(9.0)
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        assert numbers == sorted(numbers)
        assert numbers[-1] == 3999
        assert len(numbers) > 4000 - 6 / 0.004


def test_a_client_that_restarts_takes_its_old_sessions_place() -> None:
    world = World([both(delay=0.011), both(delay=0.060)])
    world.run(2.0)
    for end in ENDS:
        world.stream(end, range(3000), 0.004)
    world.run(3.0)
    old = world.server.tunnels["home"].sessions.local_ids
    world.client = world.make_client()
    world.run(12.0)
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        assert numbers == sorted(numbers)
        assert numbers[-1] == 2999
        assert len(numbers) > 2950
    # The old session is forgotten: datagrams of the dead client would upset the new order.
    assert not old & world.server.tunnels["home"].sessions.local_ids


def test_a_dead_clients_last_datagrams_do_not_upset_its_successors_order() -> None:
    world = World([both(delay=0.005), both(delay=0.150)])
    world.run(3.0)
    world.client.tunnel.outbound.next_bulk_seq = 1 << 36  # far ahead of any random beginning
    world.stream("client", range(50), 0.001)
    world.run(0.060)
    world.client = world.make_client()  # while half of it is still on the slow line
    world.run(0.150)
    world.stream("client", range(100, 1100), 0.002)
    world.run(4.0)
    sent_later = [number for number in world.numbers("server") if number >= 100]
    assert sent_later == list(range(100, 1100))
    assert world.tunnel("server").inbound.reorder.counts.late == 0


def test_a_goodbye_ends_the_session_at_the_server_at_once() -> None:
    world = World([both(delay=0.011), both(delay=0.060)])
    world.run(2.0)
    for transmit in world.client.close(world.now):
        world.inject("server", bytes(transmit.data), world.ports[transmit.link])
    down = [event for _, event in world.events if isinstance(event, SessionDown)]
    assert [(event.peer, event.reason) for event in down] == [("home", "the client said goodbye")]
    assert not world.server.tunnels["home"].sessions.local_ids
    assert not world.server._sessions


def test_a_server_that_says_goodbye_is_asked_again_at_once_and_nothing_is_sent_to_its_ghost() -> (
    None
):
    world = World([both(delay=0.011)])
    world.run(2.0)
    goodbyes = world.server.close(world.now)
    world.server = world.make_server()
    for transmit in goodbyes:
        world.inject("client", bytes(transmit.data), 0)
    assert world.client.tunnel.sessions.current is None
    world.run(0.1)
    assert world.sessions("client") == 2
    world.stream("client", range(100), 0.002)
    world.run(1.0)
    assert world.numbers("server") == list(range(100))


def test_a_goodbye_of_the_session_before_does_not_end_the_one_after() -> None:
    world = World([both(delay=0.005), both(delay=0.300)], life=SHORT)
    world.run(1.0)
    goodbyes = [bytes(transmit.data) for transmit in world.client.close(world.now)]
    world.run(2.0)
    assert world.client.tunnel.rekeys == 1
    before = world.sessions("server")
    for goodbye in goodbyes:  # held back until after the rekey, by a line or by someone
        world.inject("server", goodbye, world.ports[0])
    world.run(0.5)
    assert world.sessions("server") == before
    assert not [event for _, event in world.events if isinstance(event, SessionDown)]


def test_a_probe_of_the_session_before_does_not_keep_an_address_from_moving() -> None:
    world = World([both(delay=0.011)], life=KeyLife(rekey_seconds=6.0, reject_seconds=40.0))
    world.sent = []
    world.run(5.0)
    held_back = [sent for sent in world.sent if sent.end == "client" and sent.kind == 3][-1]
    world.lines[0][0].cut = True
    world.run(0.9)
    probe = [sent for sent in world.sent if sent.end == "client" and sent.kind == 3][-1]
    assert probe.at > held_back.at
    world.lines[0][0].cut = False
    world.run(1.5)
    assert world.client.tunnel.rekeys == 1
    world.inject("server", probe.datagram, world.ports[0])
    world.ports[0] = 50_000
    world.run(2.5)
    member = world.server.tunnels["home"].bond.get(0)
    assert member is not None
    assert member.path == 50_000


def test_keys_expire_while_the_far_end_is_gone_and_are_refused_after_that() -> None:
    world = World([both(delay=0.011)])
    world.sent = []
    world.run(2.0)
    world.send("client", 1)
    bulk = world.sent[-1].datagram
    world.run(1.0)
    world.lines[0][0].cut = world.lines[0][1].cut = True
    world.run(190.0)
    assert world.client.tunnel.sessions.current is None
    assert world.server.tunnels["home"].sessions.current is None
    assert not world.server._sessions
    down = {end for end, event in world.events if isinstance(event, SessionDown)}
    assert down == set(ENDS)
    before = world.drops("server").get("unknown_session", 0)
    world.inject("server", bulk, world.ports[0])
    assert world.drops("server")["unknown_session"] == before + 1
    assert world.numbers("server") == [1]


def test_a_datagram_under_a_key_past_its_life_is_refused_even_before_the_key_is_forgotten() -> None:
    world = World([both(delay=0.011)])
    world.run(2.0)
    session = world.client.tunnel.sessions.current
    assert session is not None
    batch = session.sealer.seal(Kind.BULK, 0, 0, 0, 5, [frame(7)])
    world.now += 180.0  # suspended, say; nothing has had the time to expire anything
    world.server.receive(world.ports[0], memoryview(batch), len(batch), world.now)
    assert world.drops("server") == {"expired": 1}
    world.run(5.0)
    assert world.numbers("server") == []
    assert world.sessions("client") == 2


def test_a_peer_that_claims_an_impossible_mtu_does_not_take_ours_away() -> None:
    world = World([both(delay=0.01)])
    world.run(1.0)
    world.tunnel("server").agree_mtu(0, world.now)
    world.send("server", 1, size=500)
    world.run(0.2)
    assert world.numbers("client") == [1]


def test_links_and_weights_change_under_traffic_without_a_loss() -> None:
    world = World([both(delay=0.005), both(delay=0.040), both(delay=0.020)])
    one, two, three = world.offers
    world.client.set_links((one, two), world.now)
    world.run(2.0)
    for end in ENDS:
        world.stream(end, range(3000), 0.003)
    world.run(2.0)
    world.client.set_links((replace(one, weight_down=1.0, weight_up=1.0), three), world.now)
    world.poll("client")
    world.run(3.0)
    for end in ENDS:
        assert {member.number for member in world.tunnel(end).bond} == {0, 2}
        assert [world.state(end, link) for link in (0, 2)] == ["up", "up"]
    assert {member.weight for member in world.tunnel("server").bond if member.number == 0} == {1.0}
    world.client.set_links((one, two, three), world.now)
    world.poll("client")
    world.run(8.0)
    for end in ENDS:
        missing = set(range(3000)) - set(world.numbers(end))
        # What was on its way over a link that was taken out has no link to arrive on any more.
        assert len(missing) <= 20
        assert world.state(end, 1) == "up"
