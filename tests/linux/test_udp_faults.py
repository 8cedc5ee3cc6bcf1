"""What a network may do to a send, done to it by a real one."""

import errno
import select
import socket
from collections.abc import Callable
from ipaddress import ip_address

import pytest
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
    write_sysctl,
)
from wrrtun.core.errors import ConfigError
from wrrtun.linux.udp import ClientSocket, LinkUnavailableError, SendResult, ServerSocket

pytestmark = pytest.mark.root


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
    # What the wire still held of the attempts (a neighbour was being looked for) may come first.
    eventually(lambda: received(server)[-1][0] == b"now")
    server.close()


def refused_then_answered(wire: Wire, client: ClientSocket) -> None:
    """Have an ICMP error, and a datagram behind it, wait in a client's socket."""
    client.send(b"too soon", 1400)
    wait_for(client, select.POLLERR)
    with wire.far, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("10.1.0.2", 5001))
        server.sendto(b"now", parse_text(client.local_text))
    wait_for(client, select.POLLIN)


def wait_for(client: ClientSocket, event: int) -> None:
    poll = select.poll()
    poll.register(client, event)
    eventually(lambda: any(seen & event for _, seen in poll.poll(0)))


def parse_text(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


# libuv stops watching a descriptor that had an error, so the loop must learn of each.


def test_a_receive_tells_of_an_error_before_the_datagram_behind_it(
    wire: Wire, client_to: MakeClient
) -> None:
    client = client_to("10.1.0.2", port=5001)
    refused_then_answered(wire, client)
    buffer = bytearray(65536)
    assert client.receive_into(buffer) is None
    assert client.receive_into(buffer) == (3, 3)
    assert not client.took_error


def test_a_send_that_takes_an_error_says_so(wire: Wire, client_to: MakeClient) -> None:
    client = client_to("10.1.0.2", port=5001)
    refused_then_answered(wire, client)
    assert client.send(b"again", 1400) is SendResult.OK
    assert client.took_error


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
