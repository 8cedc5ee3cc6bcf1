"""Addresses that change while a tunnel runs: the client's, its NAT's, the server's."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, SERVER_ADDRESS6, Lab
from bench.traffic import Load, ping, start_load
from bench.tunnel import PORT, SERVER_INSIDE, Daemon
from tests.netns.ends import Ends, eventually, link_falls, only_peer
from wrrtun.core.link_state import CARRYING
from wrrtun.linux.firewall import replace_table
from wrrtun.linux.firewall_rules import Chain, Masquerade, OutDevice

pytestmark = pytest.mark.root

NOWHERE = "192.0.2.9"


def host_of(end: Daemon, link: int, *, remote: bool = False) -> str:
    """Return the address that a link has at one end; nothing while it does not carry."""
    one = only_peer(end).links[link]
    text = (one.remote_address if remote else one.local_address) or ""
    return text.rpartition(":")[0] if one.state in CARRYING else ""


def port_of(end: Daemon, link: int) -> str:
    """Return the port that a link sends from."""
    return (only_peer(end).links[link].local_address or "").rpartition(":")[2]


@pytest.mark.parametrize(
    ("server", "before", "after", "bits"),
    [
        (SERVER_ADDRESS, "10.1.2.2", "10.1.2.9", 24),
        (f"[{SERVER_ADDRESS6}]", "fd00:1:2::2", "fd00:1:2::9", 64),
    ],
    ids=["IPv4", "IPv6"],
)
def test_an_address_that_changes_moves_its_link_and_no_session(
    ends: Ends, lab: Lab, server: str, before: str, after: str, bits: int
) -> None:
    pair = ends.tunnel(server=f"{server}:{PORT}")
    session = only_peer(pair.client).session.local_id
    port = port_of(pair.client, 1)
    lab.client.sysctl({"ipv4/conf/lineB/promote_secondaries": 1})
    index = lab.client.index("lineB")
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(4.0))
    time.sleep(1.0)
    lab.client.iproute.addr("add", index=index, address=after, prefixlen=bits)
    lab.client.iproute.addr("del", index=index, address=before, prefixlen=bits)
    wanted = f"[{after}]" if bits == 64 else after
    eventually(lambda: host_of(pair.client, 1) == wanted)
    eventually(lambda: host_of(pair.server, 1, remote=True) == wanted)
    assert port_of(pair.client, 1) != port  # of a fresh socket
    assert load.result().intervals[-1] > 0
    assert only_peer(pair.client).session.local_id == session
    for end in (pair.client, pair.server):
        assert link_falls(end, 0) == []


def test_a_link_whose_address_goes_before_the_next_comes_never_sends_from_another_line_s(
    ends: Ends, lab: Lab
) -> None:
    pair = ends.tunnel()
    session = only_peer(pair.client).session.local_id
    index = lab.client.index("lineB")
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(4.0))
    lab.client.iproute.addr("del", index=index, address="10.1.2.2", prefixlen=24)
    eventually(lambda: only_peer(pair.client).links[1].state not in CARRYING)
    assert only_peer(pair.client).links[1].local_address is None
    time.sleep(1.0)
    assert only_peer(pair.client).links[1].local_address is None
    assert "lineB has no IPv4 address" in pair.client.output()
    lab.client.iproute.addr("add", index=index, address="10.1.2.9", prefixlen=24)
    eventually(lambda: host_of(pair.client, 1) == "10.1.2.9")
    eventually(lambda: host_of(pair.server, 1, remote=True) == "10.1.2.9")
    assert load.result().intervals[-1] > 0
    assert only_peer(pair.client).session.local_id == session


@pytest.fixture
def nat(lab: Lab) -> Iterator[Namespace]:
    """A third line, lineC, behind a router that hides its customers behind 10.2.3.2."""
    with Namespace.create("nat") as router:
        router.sysctl({"ipv4/ip_forward": 1, "ipv4/conf/all/promote_secondaries": 1})
        for end, device, peer, here, there in (
            (lab.client, "lineC", "home", "10.1.3.2", "10.1.3.1"),
            (lab.server, "ispC", "net", "10.2.3.1", "10.2.3.2"),
        ):
            far = {"ifname": peer, "net_ns_fd": router.name}
            end.iproute.link("add", ifname=device, kind="veth", peer=far)
            for namespace, name, address in ((end, device, here), (router, peer, there)):
                namespace.take_up(name, address)
        index = lab.client.index("lineC")
        lab.client.iproute.route(
            "add", dst="0.0.0.0/0", gateway="10.1.3.1", oif=index, priority=1003
        )
        router.iproute.route("add", dst=f"{SERVER_ADDRESS}/32", gateway="10.2.3.1")
        with router.entered():
            hide = (OutDevice("net"), Masquerade())
            replace_table("test", (Chain("c", "nat", "postrouting", 100, (hide,)),))
        yield router


def test_a_nat_that_gives_a_line_another_address_in_mid_transfer_costs_no_session(
    ends: Ends, lab: Lab, nat: Namespace
) -> None:
    pair = ends.tunnel(links=("lineA:10", "lineC:10"))
    assert host_of(pair.server, 1, remote=True) == "10.2.3.2"
    session = only_peer(pair.client).session.local_id
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(4.0))
    time.sleep(1.0)
    index = nat.index("net")
    nat.iproute.addr("add", index=index, address="10.2.3.9", prefixlen=24)
    nat.iproute.addr("del", index=index, address="10.2.3.2", prefixlen=24)  # and what it knew
    eventually(lambda: host_of(pair.server, 1, remote=True) == "10.2.3.9")
    assert load.result().intervals[-1] > 0
    assert only_peer(pair.client).session.local_id == session
    for end in (pair.client, pair.server):
        assert link_falls(end, 0) == []
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


class WithHosts(Namespace):
    """A namespace whose programs see another /etc/hosts, which may change while they run."""

    def __init__(self, inner: Namespace, hosts: Path) -> None:
        super().__init__(inner.name)
        self._hosts = hosts

    def know(self, *addresses: str) -> None:
        """Say which addresses vps.example has."""
        self._hosts.write_text("".join(f"{address} vps.example\n" for address in addresses))

    def popen(self, argv: Sequence[str], **options: Any) -> Popen[Any]:
        """Start a program there."""
        script = 'mount --bind "$0" /etc/hosts && exec "$@"'
        words = ["unshare", "--mount", "sh", "-c", script, str(self._hosts), *argv]
        return super().popen(words, **options)


@pytest.fixture
def named(ends: Ends, lab: Lab) -> WithHosts:
    return WithHosts(lab.client, ends.room / "hosts")


@pytest.mark.parametrize("listens", [SERVER_ADDRESS, f"[{SERVER_ADDRESS6}]"])
def test_of_a_name_with_ipv6_and_ipv4_the_one_that_answers_is_found(
    ends: Ends, named: WithHosts, listens: str
) -> None:
    named.know(SERVER_ADDRESS6, SERVER_ADDRESS)
    server = ends.server("--listen", f"{listens}:{PORT}")
    client = ends.client(server=f"vps.example:{PORT}", namespace=named)
    ends.up(client, server)
    hosts = {(link.remote_address or "").rpartition(":")[0] for link in only_peer(client).links}
    assert hosts == {listens}
    assert ping(ends.lab.client, SERVER_INSIDE, 0.5).lost == 0.0


def test_a_server_whose_name_gets_another_address_is_found_there(
    ends: Ends, named: WithHosts
) -> None:
    named.know(NOWHERE)
    server = ends.server()
    client = ends.client(server=f"vps.example:{PORT}", namespace=named)
    client.wait_until(client.answers, "there", 20.0, 0.05)
    named.know(SERVER_ADDRESS)
    ends.up(client, server)
    assert f"vps.example is now at {SERVER_ADDRESS}" in client.output()
