"""What strangers on the wire see of a tunnel, and what they get for an answer."""

import os
import socket
import time

import pytest

from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.traffic import Load, start_load, start_ping
from bench.tunnel import PORT, SERVER_INSIDE, Daemon
from tests.netns.ends import (
    Ends,
    Identity,
    Sniffer,
    eventually,
    links_up,
    lost_nothing,
    only_peer,
)
from wrrtun.core.wire import HEADER, OVERHEAD_BYTES, TAG_BYTES

pytestmark = pytest.mark.root

CLIENT = socket.inet_aton("10.1.1.2")
SERVER = socket.inet_aton(SERVER_ADDRESS)
ETHERNET_BYTES = 14
IPV4_UDP_BYTES = 28
INNER_BYTES = ETHERNET_BYTES + IPV4_UDP_BYTES
BULK, EXPRESS, CONTROL, INIT = 1, 2, 3, 8
CLASS_BITS = 3


def udp_payloads(
    packets: list[bytes], source: bytes, target_port: int | None = None
) -> list[bytes]:
    """Take the payloads of IPv4 UDP packets of one source out of Ethernet frames."""
    payloads = []
    for packet in packets:
        ip = packet[ETHERNET_BYTES:]
        if packet[12:14] != b"\x08\x00" or ip[9] != socket.IPPROTO_UDP or ip[12:16] != source:
            continue
        if target_port in (None, int.from_bytes(ip[22:24])):
            payloads.append(ip[IPV4_UDP_BYTES:])
    return payloads


def test_the_wire_shows_a_header_of_8_bytes_and_nothing_of_what_is_inside(
    ends: Ends, lab: Lab
) -> None:
    with Sniffer(lab.client, "lineA") as sniffer:
        pair = ends.tunnel(links=["lineA:1"])
        handshake = sniffer.packets()
        with lab.client.entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        payload = b"nobody may read this" * 50
        with sender:
            for _ in range(5):
                sender.sendto(payload, (SERVER_INSIDE, 4000))
                time.sleep(0.02)
        # 14 + 20 + 8 bytes of headers outside, 24 of ours, and the whole inner frame.
        size = INNER_BYTES + OVERHEAD_BYTES + INNER_BYTES + len(payload)
        seen: list[bytes] = []

        def five_have_left() -> bool:
            seen.extend(sniffer.packets())
            return len([packet for packet in seen if len(packet) == size]) == 5

        eventually(five_have_left)
        session = only_peer(pair.client).session
        datagrams = udp_payloads([packet for packet in seen if len(packet) == size], CLIENT)
        heads = [HEADER.unpack_from(datagram)[0] for datagram in datagrams]
        assert len({head >> 40 for head in heads}) == 1
        assert heads[0] >> 60 & CLASS_BITS == BULK
        assert heads[0] >> 56 & 15 == 0
        assert heads[0] >> 40 & 0xFFFF == session.remote_id
        assert [head - heads[0] for head in heads] == [0, 1, 2, 3, 4]
        assert len({datagram[HEADER.size : -TAG_BYTES] for datagram in datagrams}) == 5

    assert any(datagram[0] >> 4 == INIT for datagram in udp_payloads(handshake, CLIENT))
    secrets = [payload[:8], ends.home.public_bytes, ends.vps.public_bytes]
    secrets.append(socket.inet_aton(SERVER_INSIDE))
    for packet in handshake + seen:
        assert not any(secret in packet for secret in secrets)


@pytest.mark.parametrize("wrong", ["server key", "client key", "pre-shared key"])
def test_with_a_wrong_key_there_is_never_a_session(ends: Ends, lab: Lab, wrong: str) -> None:
    stranger = Identity(ends.room / "stranger")
    with Sniffer(lab.client, "lineA") as sniffer:
        server = ends.server()
        client = {
            "server key": lambda: ends.client(server_key=stranger.public_key),
            "client key": lambda: ends.client(identity=stranger),
            "pre-shared key": lambda: ends.client("--psk-file", str(stranger.key_file)),
        }[wrong]()
        tried: list[bytes] = []
        answered: list[bytes] = []

        def tries_three_times() -> bool:
            packets = sniffer.packets()
            tried.extend(udp_payloads(packets, CLIENT))
            answered.extend(udp_payloads(packets, SERVER))
            return len(tried) >= 3

        eventually(tries_three_times)
        for end in (client, server):
            assert not only_peer(end).session.up
            assert "session up" not in end.output()
        if wrong == "pre-shared key":
            # The server cannot know: the key counts from the second message on. The client does.
            assert only_peer(client).drops.keys() >= {"bad_handshake"}
        else:
            assert answered == []
            reason = {"server key": "bad_mac", "client key": "unknown_peer"}[wrong]
            assert server.status().drops.keys() == {reason}


def dropped(server: Daemon) -> int:
    """Count what the server has dropped, with and without knowing whose it was."""
    seen = server.status()
    counts = [seen.drops, *(peer.drops for peer in seen.peers)]
    return sum(sum(each.values()) for each in counts)


def hostile(session: int) -> list[bytes]:
    """Make datagrams of every type, and of every size that is too short, and the longest."""
    made = [os.urandom(size) for size in range(OVERHEAD_BYTES)]
    made += [bytes([kind << 4]) + os.urandom(65_506) for kind in range(16)]
    for kind in range(16):
        made += [bytes([kind << 4]) + os.urandom(size) for size in (24, 100, 131, 147, 300, 1399)]
    for kind in (BULK, EXPRESS, CONTROL):
        for size in (OVERHEAD_BYTES, 100, 1400):
            head = HEADER.pack(kind << 60 | session << 40 | 7_000_000)
            made.append(head + os.urandom(size - HEADER.size))
    return made


def test_hostile_datagrams_are_counted_and_change_nothing(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    session = only_peer(pair.server).session.local_id
    assert session is not None
    log = pair.server.output()
    before = dropped(pair.server)
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(3.0, interval_seconds=0.5))
    pings = start_ping(lab.client, SERVER_INSIDE, 3.0)
    with lab.client.entered():
        attacker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams = hostile(session)
    with attacker, Sniffer(lab.client, "lineA") as sniffer:
        attacker.bind((socket.inet_ntoa(CLIENT), 0))
        port = attacker.getsockname()[1]
        for datagram in datagrams * 2:
            attacker.sendto(datagram, (SERVER_ADDRESS, PORT))
            time.sleep(0.005)
        eventually(lambda: dropped(pair.server) - before >= 2 * len(datagrams))
        assert min(load.result().intervals) > 0
        assert pings.result().lost == 0.0
        assert udp_payloads(sniffer.packets(), SERVER, port) == []
    assert dropped(pair.server) - before == 2 * len(datagrams)
    said = pair.server.output().removeprefix(log).splitlines()
    # It may tell what its own probes of size and rate find, and what a busy machine loses.
    own = " link carries ", ' reason="loses '
    assert [line for line in said if not any(words in line for words in own)] == []
    for end in (pair.client, pair.server):
        peer = only_peer(end)
        assert peer.session.up
        assert peer.session.rekeys == 0
        assert lost_nothing(end)
    eventually(lambda: all(links_up(end) for end in (pair.client, pair.server)))
