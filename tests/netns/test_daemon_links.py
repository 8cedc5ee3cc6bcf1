"""What links may be, what their MTU does, and two clients behind one server."""

import socket
from pathlib import Path

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, SERVER_ADDRESS6, Lab
from bench.traffic import Load, ping, throughput
from bench.tunnel import DEVICE, PORT, SERVER_INSIDE
from tests.netns.ends import Ends, Identity, device_mtu, eventually, only_peer, set_mtu

pytestmark = pytest.mark.root

IPV4_MTU = 1500 - 28 - 24 - 14
IPV6_MTU = 1500 - 48 - 24 - 14


def local_hosts(ends: Ends, *links: str, server: str = f"{SERVER_ADDRESS}:{PORT}") -> list[str]:
    """Run a tunnel over `links`, use it, and tell which addresses they send from."""
    pair = ends.tunnel(links=links, server=server)
    assert ping(ends.lab.client, SERVER_INSIDE, 0.5).lost == 0.0
    assert throughput(ends.lab.client, ends.lab.server, SERVER_INSIDE, Load(1.0)).intervals[0] > 0
    for end in (pair.client, pair.server):
        assert all(link.share for link in only_peer(end).links)
    return [(link.local_address or "").rpartition(":")[0] for link in only_peer(pair.client).links]


def test_links_may_be_given_by_their_source_addresses(ends: Ends) -> None:
    assert local_hosts(ends, "10.1.1.2:10", "10.1.2.2:3") == ["10.1.1.2", "10.1.2.2"]


def test_links_may_be_given_by_alias_labels(ends: Ends, lab: Lab) -> None:
    for device, host in (("lineA", "10.1.1.7"), ("lineB", "10.1.2.7")):
        index = lab.client.index(device)
        lab.client.iproute.addr("add", index=index, address=host, prefixlen=24, label=f"{device}:0")
    assert local_hosts(ends, "lineA:0:10", "lineB:0:3") == ["10.1.1.7", "10.1.2.7"]


def test_links_may_lead_over_ipv6(ends: Ends, lab: Lab) -> None:
    server = f"[{SERVER_ADDRESS6}]:{PORT}"
    hosts = local_hosts(ends, "lineA:10", "[fd00:1:2::2]:3", server=server)
    assert hosts == ["[fd00:1:1::2]", "[fd00:1:2::2]"]
    assert device_mtu(lab.client) == device_mtu(lab.server) == IPV6_MTU


def test_both_devices_get_the_smaller_mtu_of_both_ends(ends: Ends, lab: Lab) -> None:
    set_mtu(lab.client, "lineB", 1400)
    pair = ends.tunnel()
    for namespace in (lab.client, lab.server):
        assert device_mtu(namespace) == IPV4_MTU - 100
    for down in (True, False):
        load = Load(1.5, down=down)
        assert min(throughput(lab.client, lab.server, SERVER_INSIDE, load).intervals) > 0
    for end in (pair.client, pair.server):
        peer = only_peer(end)
        assert "frame_too_big" not in peer.drops
        assert all(link.share for link in peer.links)


def test_a_frame_that_does_not_fit_is_counted_and_never_cut(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    for namespace in (lab.client, lab.server):
        set_mtu(namespace, DEVICE, 2000)  # behind the daemons' backs
    with lab.client.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with lab.server.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender, receiver:
        receiver.bind((SERVER_INSIDE, 4000))
        receiver.settimeout(5.0)
        fits = bytes(IPV4_MTU - 28)
        for payload in (fits + b"!", fits, fits + b"far more" * 50, b"the end"):
            sender.sendto(payload, (SERVER_INSIDE, 4000))
        assert {receiver.recv(4096), receiver.recv(4096)} == {fits, b"the end"}
    assert only_peer(pair.client).drops["frame_too_big"] == 2
    assert "malformed_frame" not in only_peer(pair.server).drops


def test_two_clients_reach_each_other_through_the_server_s_bridge(ends: Ends, lab: Lab) -> None:
    lab.server.iproute.link("add", ifname="br0", kind="bridge")
    lab.server.take_up("br0", "10.9.0.1")
    other = Identity(Path(ends.room, "other"))
    with Namespace.create("client2") as second:
        join(second, lab.server)
        peers = [("home", ends.home.public_key), ("office", other.public_key)]
        options = "\n".join(
            f'[[peer]]\nname = "{name}"\npublic_key = "{key}"\nbridge = "br0"\n'
            for name, key in peers
        )
        server = ends.start(
            lab.server,
            ends.vps,
            "server",
            ["--config", ends.vps.write("server.toml", f"listen = {PORT}\n{options}")],
        )
        server.wait_until(server.answers, "there", 20.0, 0.05)
        home = ends.client()
        office = ends.client(links=["line:1"], identity=other, namespace=second, inside="10.9.0.3")
        ends.up(server, home, office)
        for namespace in (lab.client, second):
            assert ping(namespace, "10.9.0.1", 0.5).lost == 0.0
        assert ping(second, "10.9.0.2", 1.0).lost == 0.0
        seen = throughput(lab.client, second, "10.9.0.3", Load(1.5))
        assert min(seen.intervals) > 0
        by_name = {peer.name: peer for peer in server.status().peers}
        assert [len(by_name[name].links) for name in ("home", "office")] == [2, 1]
        assert by_name["home"].device.name != by_name["office"].device.name
        # One that goes takes nothing from the other.
        assert home.stop() == 0
        eventually(lambda: [peer.session.up for peer in server.status().peers] == [False, True])
        assert ping(second, "10.9.0.1", 0.5).lost == 0.0


def join(client: Namespace, server: Namespace) -> None:
    """Give another client a wire to the server's address."""
    client.iproute.link(
        "add", ifname="line", kind="veth", peer={"ifname": "ispZ", "net_ns_fd": server.name}
    )
    for namespace, device, host in ((client, "line", "10.3.0.2"), (server, "ispZ", "10.3.0.1")):
        namespace.take_up(device, host)
    client.iproute.route("add", dst="0.0.0.0/0", gateway="10.3.0.1")
