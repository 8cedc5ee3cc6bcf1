"""Sockets of links over a real cable between two namespaces."""

import array
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

from tests.conftest import Namespace
from tests.linux.conftest import Wire, eventually, index_of, received, set_up, write_sysctl
from wrrtun.core.errors import ConfigError
from wrrtun.linux.paths import path_bytes, path_local_text, path_text
from wrrtun.linux.udp import ClientSocket, LinkUnavailableError, SendResult, ServerSocket

pytestmark = pytest.mark.root

PORT = 5000
SO_NO_CHECK = 11
TENTATIVE = 0x40
SIOCETHTOOL = 0x8946
ETHTOOL_STXCSUM = 0x17
HOSTS = ["10.1.0.2", "fd01::2"]
BATCH = b"".join(b"%04d" % number * 350 for number in range(39)) + b"the last one is shorter"

MakeClient = Callable[..., ClientSocket]


@pytest.fixture
def server(wire: Wire) -> Iterator[ServerSocket]:
    with wire.far:
        made = ServerSocket(None, PORT)
    yield made
    made.close()


@pytest.fixture
def client_to(wire: Wire) -> Iterator[MakeClient]:
    with ExitStack() as opened:

        def make(
            host: str, port: int = PORT, source: str | None = None, device: str | None = "a"
        ) -> ClientSocket:
            with wire.here:
                made = ClientSocket(
                    (ip_address(host), port), device, ip_address(source) if source else None
                )
            opened.callback(made.close)
            return made

        yield make


def datagrams(batches: list[tuple[bytes, int]]) -> list[bytes]:
    """Cut batches as (bytes, segment_bytes, ...) into their datagrams."""
    return [
        batch[0][start : start + batch[1]]
        for batch in batches
        for start in range(0, max(len(batch[0]), 1), batch[1])
    ]


def whole(batches: list[tuple[Any, ...]]) -> bytes:
    return b"".join(batch[0] for batch in batches)


def option(of: ClientSocket, name: int, value: int) -> None:
    """Set a socket option behind the back of the class under test."""
    with socket.socket(fileno=os.dup(of.fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, name, value)


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
def test_a_server_that_starts_later_is_no_error(
    host: str, wire: Wire, client_to: MakeClient
) -> None:
    client = client_to(host, port=5001)
    buffer = bytearray(65536)
    for _attempt in range(20):
        assert client.send(BATCH, 1400) is SendResult.OK
        assert client.receive_into(buffer) is None
    with wire.far:
        server = ServerSocket(None, 5001)
    client.send(b"now", 1400)
    assert received(server)[0][0] == b"now"
    server.close()


@pytest.mark.parametrize("host", HOSTS)
def test_a_deleted_device_is_gone_for_its_socket_even_when_it_is_made_again(
    host: str, wire: Wire, client_to: MakeClient
) -> None:
    client = client_to(host)
    wire.ip_here.link("del", index=index_of(wire.ip_here, "a"))
    assert client.send(BATCH, 1400) is SendResult.DEVICE_GONE
    wire.connect()
    assert client.send(BATCH, 1400) is SendResult.DEVICE_GONE
    assert client.send(b"x", 1400) is SendResult.DEVICE_GONE
    assert client_to(host).send(b"x", 1400) is SendResult.OK


def test_a_lost_source_address_is_unreachable_and_no_other_address_steps_in(
    wire: Wire, client_to: MakeClient
) -> None:
    """For IPv4: IPv6 goes on sending from the address it had, and only netlink tells."""
    client = client_to("10.1.0.2", source="10.1.0.1")
    set_up(wire.ip_here, "a", "10.1.0.9")
    wire.ip_here.addr("del", index=index_of(wire.ip_here, "a"), address="10.1.0.1", prefixlen=24)
    assert client.send(BATCH, 1400) is SendResult.UNREACHABLE
    assert client.send(b"x", 1400) is SendResult.UNREACHABLE


def test_a_device_set_down_is_unreachable_and_comes_back(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to("10.1.0.2")
    wire.ip_here.link("set", index=index_of(wire.ip_here, "a"), state="down")
    assert client.send(BATCH, 1400) is SendResult.UNREACHABLE
    assert client.mtu_bytes is None
    with pytest.raises(LinkUnavailableError, match=r"no way to 10\.1\.0\.2 through a at present"):
        client_to("10.1.0.2")
    wire.ip_here.link("set", index=index_of(wire.ip_here, "a"), state="up")
    assert client.send(b"again", 1400) is SendResult.OK


def test_the_server_cannot_answer_from_an_address_it_has_lost(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    for host, prefixlen in (("10.1.0.3", 24), ("fd01::3", 64)):
        client_to(host).send(b"x", 1400)
        [(_data, _segment, path)] = received(server)
        wire.ip_far.addr("del", index=index_of(wire.ip_far, "b"), address=host, prefixlen=prefixlen)
        assert server.send(BATCH, 1400, path) is SendResult.UNREACHABLE


@pytest.mark.parametrize("host", HOSTS)
def test_a_shrunken_mtu_is_too_big_for_batches_and_single_datagrams(
    host: str, wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to(host)
    client.send(BATCH, 1400)
    received(server)
    wire.ip_here.link("set", index=index_of(wire.ip_here, "a"), mtu=1300)
    assert client.send(BATCH, 1400) is SendResult.TOO_BIG
    assert client.send(bytes(1400), 1400) is SendResult.TOO_BIG
    assert client.mtu_bytes == 1300
    assert client.segmented
    assert client.send(bytes(2400), 1200) is SendResult.OK
    assert [len(d) for d in datagrams(received(server, size_bytes=2400))] == [1200, 1200]


def test_every_datagram_forbids_fragments(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    with wire.here:
        tap_on_the_cable = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    tap_on_the_cable.settimeout(5)
    client = client_to("10.1.0.2")
    client.send(b"x", 1400)
    [(_data, _segment, path)] = received(server)
    server.send(b"y", 1400, path)
    assert tap_on_the_cable.recv(2000)[6] & 0x40
    tap_on_the_cable.close()


def test_what_icmp_claims_of_the_mtu_is_told_but_stops_no_full_datagram(
    wire: Wire, make_namespace: Callable[[], Namespace], client_to: MakeClient
) -> None:
    """far becomes a router; behind it, a narrow cable leads to 10.2.0.2."""
    beyond = make_namespace()
    wire.ip_far.link(
        "add", ifname="c", kind="veth", peer={"ifname": "d", "net_ns_fd": beyond.descriptor}
    )
    set_up(wire.ip_far, "c", "10.2.0.1")
    wire.ip_far.link("set", index=index_of(wire.ip_far, "c"), mtu=1200)
    with wire.far:
        write_sysctl("net/ipv4/ip_forward", 1)
    with beyond, IPRoute() as ip_beyond:
        set_up(ip_beyond, "d", "10.2.0.2")
        ip_beyond.route("add", dst="10.1.0.0/24", gateway="10.2.0.1")
        server = ServerSocket(None, PORT)
    wire.ip_here.route("add", dst="10.2.0.0/24", gateway="10.1.0.2")

    client = client_to("10.2.0.2")
    assert client.mtu_bytes == 1500
    assert client.send(bytes(1400), 1400) is SendResult.OK
    eventually(lambda: client.mtu_bytes == 1200)
    assert client.send(bytes(1400), 1400) is SendResult.OK  # a probe may ask again
    assert client.send(b"narrow", 1400) is SendResult.OK
    assert received(server)[0][0] == b"narrow"
    server.close()


def test_a_forbidden_route_is_refused_by_the_system(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    client = client_to("10.1.0.2")
    client.send(b"x", 1400)
    [(_data, _segment, path)] = received(server)
    wire.ip_far.route("add", dst="10.1.0.1/32", type="prohibit")
    assert server.send(BATCH, 1400, path) is SendResult.REFUSED_BY_SYSTEM
    assert server.last_error == errno.EACCES


def test_a_full_queue_would_block(wire: Wire, client_to: MakeClient) -> None:
    client = client_to("10.1.0.77")  # nobody answers ARP there, so what is sent stays queued
    option(client, socket.SO_SNDBUF, 8192)
    results = [client.send(BATCH, 1400) for _send in range(10)]
    assert results[0] is SendResult.OK
    assert results[-1] is SendResult.WOULD_BLOCK


def test_what_cannot_be_opened_is_told_in_one_sentence(
    wire: Wire, server: ServerSocket, client_to: MakeClient
) -> None:
    with pytest.raises(ConfigError, match="there is no network interface lte0"):
        client_to("10.1.0.2", device="lte0")
    with pytest.raises(ConfigError, match=r"the address 10\.9\.9\.9 is not on this machine"):
        client_to("10.1.0.2", source="10.9.9.9")
    with pytest.raises(ConfigError, match="IPv4 and IPv6 do not mix"):
        client_to("10.1.0.2", source="fd01::1")
    with pytest.raises(LinkUnavailableError, match=r"no way to 203\.0\.113\.1 at present"):
        client_to("203.0.113.1", device=None)
    with wire.far:
        with pytest.raises(ConfigError, match="UDP port 5000 is in use"):
            ServerSocket(None, PORT)
        with pytest.raises(ConfigError, match=r"the address 10\.9\.9\.9 is not on this machine"):
            ServerSocket(ip_address("10.9.9.9"), PORT)
