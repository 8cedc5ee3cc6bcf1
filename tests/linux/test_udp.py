"""Sockets of links over a real cable between two namespaces: batches and answers."""

import array
import fcntl
import os
import socket
import struct
import time
from contextlib import ExitStack
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from tests.conftest import Namespace
from tests.linux.conftest import (
    BATCH,
    HOSTS,
    PORT,
    MakeClient,
    Wire,
    datagrams,
    eventually,
    index_of,
    option,
    received,
    set_up,
    whole,
)
from wrrtun.linux.paths import path_bytes, path_local_text, path_text
from wrrtun.linux.udp import ClientSocket, SendResult, ServerSocket

pytestmark = pytest.mark.root

SO_NO_CHECK = 11
TENTATIVE = 0x40
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17


@pytest.mark.parametrize("host", HOSTS)
def test_a_batch_of_40_datagrams_arrives_as_one_batch_in_both_directions(
    host: str, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to(host)
    assert client.send(BATCH, 1400) is SendResult.OK
    [(batch, segment_bytes, path)] = received(server)
    assert (batch, segment_bytes) == (BATCH, 1400)

    assert server.send(BATCH, 1400, path) is SendResult.OK
    assert received(client) == [(BATCH, 1400)]


@pytest.mark.parametrize("host", ["10.1.0.2", "10.1.0.3", "fd01::2", "fd01::3"])
def test_the_server_answers_from_the_address_it_was_asked_on(
    host: str, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to(host)
    client.send(b"who is there?", 1400)
    [(_question, _segment, path)] = received(server)
    assert path_local_text(path) == host
    assert path_text(path) == client.local_text
    assert len(path_bytes(path)) == (18 if ":" in host else 6)

    server.send(b"me", 1400, path)  # connected, the client hears no other address
    assert received(client) == [(b"me", 2)]


def test_a_server_on_one_ipv4_address_hears_and_answers_there(
    wire: Wire, client_to: MakeClient
) -> None:
    with wire.far:
        server = ServerSocket(ip_address("10.1.0.3"), PORT)
    client = client_to("10.1.0.3")
    client.send(BATCH, 1400)
    [(batch, _segment, path)] = received(server)
    assert batch == BATCH
    assert path_local_text(path) == "10.1.0.3"
    server.send(BATCH, 1400, path)
    assert received(client) == [(BATCH, 1400)]
    server.close()


def test_a_server_answers_link_local_addresses_through_their_device(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    def link_local(ip: IPRoute, name: str) -> list[str]:
        found = ip.get_addr(index=index_of(ip, name), scope=253)
        return [a.get_attr("IFA_ADDRESS") for a in found if not a["flags"] & TENTATIVE]

    eventually(lambda: bool(link_local(wire.ip_here, "a") and link_local(wire.ip_far, "b")))
    [far_address] = link_local(wire.ip_far, "b")
    client = client_to(far_address + "%a")
    client.send(b"hello", 1400)
    [(_hello, _segment, path)] = received(server)
    assert server.send(b"neighbour", 1400, path) is SendResult.OK
    assert received(client) == [(b"neighbour", 9)]


def test_a_path_is_the_same_value_for_every_batch_of_one_client(
    server: ServerSocket, client_to: MakeClient
) -> None:
    one, other = client_to("10.1.0.2"), client_to("10.1.0.2")
    for sender in (one, other, one):
        sender.send(b"x", 1400)
    paths = [path for _data, _segment, path in received(server, 3)]
    assert paths[0] == paths[2] != paths[1]
    assert len(set(paths)) == 2


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 3000), st.integers(20, 1400)).filter(
            lambda sizes: sizes[0] <= 64 * sizes[1]
        ),
        min_size=1,
        max_size=8,
    )
)
def test_whatever_sizes_follow_one_another_each_datagram_arrives_as_it_was_cut(
    sends: list[tuple[int, int]],
) -> None:
    """Single datagrams are cut by nothing, batches at their own segment size."""
    with Namespace() as alone, ExitStack() as opened:
        opened.callback(alone.close)
        with IPRoute() as ip:
            set_up(ip, "lo")
        server = ServerSocket(None, PORT)
        opened.callback(server.close)
        client = ClientSocket((ip_address("127.0.0.1"), PORT))
        opened.callback(client.close)
        sent: list[bytes] = []
        for size, segment_bytes in sends:
            batch = os.urandom(size)
            assert client.send(batch, segment_bytes) is SendResult.OK
            sent += datagrams([(batch, segment_bytes)])
        size_bytes = sum(map(len, sent))
        assert datagrams(received(server, size_bytes=size_bytes)) == sent


def test_a_single_datagram_longer_than_the_usual_segment_stays_whole(
    server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to("10.1.0.2")
    client.send(bytes(2400), 1200)
    client.send(bytes(1300), 1300)
    assert [len(d) for d in datagrams(received(server, size_bytes=3700))] == [1200, 1200, 1300]


def test_an_empty_datagram_is_a_batch_that_can_be_walked(
    server: ServerSocket, client_to: MakeClient
) -> None:
    client_to("10.1.0.2").send(b"", 1400)
    [(data, segment_bytes, _path)] = received(server)
    assert (data, segment_bytes) == (b"", 1)


def switch_checksums_off(device: str) -> None:
    """Do what `ethtool -K device tx off` does, in the namespace that the caller is in."""
    value = array.array("I", [ETHTOOL_STXCSUM, 0])
    request = struct.pack("16sP", device.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCETHTOOL, request)


@pytest.mark.parametrize("host", HOSTS)
def test_batches_pass_a_device_that_cannot_checksum(
    host: str, wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    """Linux before 6.11 refuses to cut them there (EIO), and the sockets fall back."""
    client = client_to(host)
    client.send(BATCH, 1400)
    [(_batch, _segment, path)] = received(server)
    with wire.here:
        switch_checksums_off("a")
    with wire.far:
        switch_checksums_off("b")
    for _time in range(2):
        assert client.send(BATCH, 1400) is SendResult.OK
        assert whole(received(server, size_bytes=len(BATCH))) == BATCH
        assert server.send(BATCH, 1400, path) is SendResult.OK
        assert whole(received(client, size_bytes=len(BATCH))) == BATCH


def test_where_the_kernel_refuses_to_cut_the_datagrams_leave_one_by_one(
    server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to("10.1.0.2")
    option(client, SO_NO_CHECK, 1)  # without checksums to fill in, UDP_SEGMENT is EINVAL
    assert client.send(BATCH, 1400) is SendResult.OK
    arrived = datagrams(received(server, size_bytes=len(BATCH)))
    assert b"".join(arrived) == BATCH
    assert len(arrived) == 40


@pytest.mark.parametrize("host", HOSTS)
def test_a_socket_that_fell_back_sends_and_answers_all_the_same(
    host: str, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to(host)
    client.send(BATCH, 1400)
    [(_batch, _segment, path)] = received(server)
    client.segmented = server.segmented = False
    assert client.send(BATCH, 1400) is SendResult.OK
    assert whole(received(server, size_bytes=len(BATCH))) == BATCH
    assert server.send(BATCH, 1400, path) is SendResult.OK
    assert whole(received(client, size_bytes=len(BATCH))) == BATCH


@pytest.mark.parametrize("host", HOSTS)
def test_the_kernel_says_when_a_batch_came_however_late_it_is_received(
    host: str, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to(host)
    before = time.time()
    client.send(BATCH, 1400)
    sent = time.time()
    time.sleep(0.05)
    [(_batch, _segment, path)] = received(server)
    assert before - 0.01 <= server.received_at <= sent + 0.04
    server.send(BATCH, 1400, path)
    received(client)
    assert client.received_at >= sent
