"""Clients of one server know nothing of each other."""

from tests.sim.neighbours import PORTS, Neighbours
from wrrtun.core.events import SecondClient
from wrrtun.core.wire import HEADER, SEQ_BITS

OTHER = {"north": "south", "south": "north"}


def at_work() -> Neighbours:
    both = Neighbours()
    both.run(100)
    for number in range(50):
        for step, name in enumerate(PORTS):
            both.send("client", name, 10_000 * step + number)
            both.send("server", name, 10_000 * step + 1_000 + number)
        both.run(1)
    both.run(20)
    return both


def test_two_clients_of_one_server_do_not_see_each_others_frames() -> None:
    both = at_work()
    for step, name in enumerate(PORTS):
        first = 10_000 * step
        assert both.received["server", name] == list(range(first, first + 50))
        assert both.received["client", name] == list(range(first + 1_000, first + 1_050))
    sessions = [both.server.tunnels[name].sessions.local_ids for name in PORTS]
    assert not sessions[0] & sessions[1]


def test_whatever_one_client_sent_is_refused_as_the_other_ones_session() -> None:
    both = at_work()
    delivered = {key: list(numbers) for key, numbers in both.received.items()}
    known = [sorted(tunnel.sessions.local_ids) for tunnel in both.server.tunnels.values()]
    spliced = 0
    for sender, data in both.to_server:
        if data[0] >> 4 > 7:
            continue
        victim = both.server.tunnels[OTHER[sender]]
        (session,) = victim.sessions.local_ids
        header = HEADER.unpack_from(data)[0] & ~(0xFFFF << SEQ_BITS)
        # Ahead of the window, so that it is the tag that refuses it.
        datagram = HEADER.pack((header | session << SEQ_BITS) + (1 << 38)) + data[8:]
        before = victim.counters.drops().get("bad_tag", 0)
        for port in PORTS.values():
            both.server.receive(port, memoryview(datagram), len(datagram), both.now)
        assert victim.counters.drops()["bad_tag"] == before + 2
        spliced += 1
    assert spliced >= 50
    both.run(5)
    assert both.received == delivered
    assert [sorted(tunnel.sessions.local_ids) for tunnel in both.server.tunnels.values()] == known


def test_what_the_server_sent_to_one_client_is_refused_by_the_other() -> None:
    both = at_work()
    delivered = {key: list(numbers) for key, numbers in both.received.items()}
    for receiver, data in both.to_clients:
        client = both.clients[OTHER[receiver]]
        before = sum(client.tunnel.counters.drops().values())
        client.receive(0, memoryview(data), len(data), both.now)
        assert sum(client.tunnel.counters.drops().values()) == before + 1
    both.run(5)
    assert both.received == delivered


def test_one_clients_goodbye_ends_its_own_session_only() -> None:
    both = at_work()
    for transmit in both.clients["north"].close(both.now):
        data = memoryview(bytes(transmit.data))
        both.server.receive(PORTS["north"], data, transmit.datagram_bytes, both.now)
    both.server.poll(both.now)
    assert not both.server.tunnels["north"].sessions.local_ids
    assert both.server.tunnels["south"].sessions.current is not None
    both.send("client", "south", 77)
    both.run(5)
    assert both.received["server", "south"][-1] == 77


def test_a_client_that_is_sent_away_is_forgotten_and_the_other_one_notices_nothing() -> None:
    both = at_work()
    old = both.server.tunnels["south"].sessions.local_ids
    both.server.remove_peer("south", both.now)
    both.responder.set_peers(
        {key: peer for key, peer in both.peers.items() if peer.name == "north"}
    )
    both.run(300)
    assert both.clients["south"].tunnel.sessions.current is None  # and its INITs are not answered
    assert both.server.counters.drops()["unknown_peer"] > 0
    both.send("client", "north", 77)
    both.send("server", "north", 78)
    both.run(2)
    assert both.received["server", "north"][-1] == 77
    assert both.received["client", "north"][-1] == 78
    assert both.clients["north"].tunnel.rekeys == 0

    both.server.add_peer("south", both.settings, both.now)
    both.responder.set_peers(both.peers)
    both.run(1000)
    both.send("client", "south", 99)
    both.run(2)
    assert both.received["server", "south"][-1] == 99
    assert not both.server.tunnels["south"].sessions.local_ids & old


def test_of_two_clients_with_one_key_one_keeps_the_session_and_the_log_says_so_once_a_minute() -> (
    None
):
    both = Neighbours(one_key=True)
    tunnel = both.server.tunnels["south"]
    both.run(1500)
    first = both.events[:]
    assert [type(event) for event in first] == [SecondClient]
    before = tunnel.rekeys
    both.run(5500)
    # Left alone they would have changed places some 17 times; one handshake was its owner's.
    assert tunnel.rekeys <= before + 1
    assert [type(event) for event in both.events] == [SecondClient] * 2
    assert both.server.counters.drops()["second_client"] > 5
    winner = max(both.clients, key=lambda name: both.clients[name].tunnel.rekeys)
    (loser,) = both.clients.keys() - {winner}
    assert first == [SecondClient("south", "0.0.0.0")]

    gone = both.clients.pop(winner)
    both.run(1500)
    both.send("client", loser, 77)
    both.run(5)
    assert both.received["server", "south"][-1] == 77
    both.clients[winner] = gone  # as after a suspend: now the other one has it
    both.run(1500)
    both.send("client", loser, 78)
    both.run(5)
    assert both.received["server", "south"][-1] == 78


def test_a_client_that_starts_anew_takes_its_own_place_at_once() -> None:
    both = Neighbours(one_key=True)
    north, south = (both.clients.pop(name) for name in PORTS)
    for number, one in enumerate([north, south]):
        both.clients = {"north": one}
        both.run(30)
        both.send("client", "north", number)
        both.run(5)
        assert both.received["server", "south"][-1] == number
    assert both.events == []
