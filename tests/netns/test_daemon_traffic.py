"""Everything here runs through one tunnel over two lines of weights 10 and 3."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from bench.lab import topology
from bench.lab.topology import Lab
from bench.traffic import Load, ping, start_load, throughput
from bench.tunnel import SERVER_INSIDE, Daemon, Tunnel, tunnel
from tests.netns.ends import eventually, links_up, lost_nothing, only_peer
from wrrtun.status import Snapshot, percent

pytestmark = pytest.mark.root

SERVER_INSIDE6 = "fd09::1"
LINKS = ["lineA:10", "lineB:3"]
# What a healthy tunnel over wires may count: a frame before the session was there, and the second
# of two RESPONSEs, as an INIT goes out on both links.
HARMLESS = {"no_link", "replayed"}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with topology.unshaped(2) as made:
        yield made


@pytest.fixture(scope="module")
def pair(lab: Lab) -> Iterator[Tunnel]:
    addresses6 = ("--address", "fd09::2/64"), ("--address", f"{SERVER_INSIDE6}/64")
    with tunnel(lab, LINKS, *addresses6) as made:
        yield made


def bulk_shares(of: Daemon) -> list[float]:
    return [link.share or 0.0 for link in only_peer(of).links]


def test_every_ping_comes_back(lab: Lab, pair: Tunnel) -> None:
    assert ping(lab.client, SERVER_INSIDE, 1.0).lost == 0.0
    assert ping(lab.client, SERVER_INSIDE6, 1.0).lost == 0.0


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize("address", [SERVER_INSIDE, SERVER_INSIDE6])
def test_tcp_flows_both_ways_over_ipv4_and_ipv6_and_loses_nothing(
    lab: Lab, pair: Tunnel, address: str, down: bool
) -> None:
    seen = throughput(lab.client, lab.server, address, Load(1.2, down=down))
    assert min(seen.intervals) > 0
    assert lost_nothing(pair.client)
    assert lost_nothing(pair.server)


@pytest.mark.parametrize("down", [True, False])
def test_four_streams_share_the_tunnel(lab: Lab, pair: Tunnel, down: bool) -> None:
    seen = throughput(lab.client, lab.server, SERVER_INSIDE, Load(1.2, down=down, streams=4))
    assert min(seen.intervals) > 0


@pytest.mark.parametrize("down", [True, False])
@pytest.mark.parametrize(("size_bytes", "bits_per_second"), [(64, 1e6), (1300, 10e6)])
def test_small_and_large_udp_datagrams_arrive(
    lab: Lab, pair: Tunnel, size_bytes: int, bits_per_second: float, down: bool
) -> None:
    load = Load(1.2, down=down, udp_bits_per_second=bits_per_second, datagram_bytes=size_bytes)
    seen = throughput(lab.client, lab.server, SERVER_INSIDE, load)
    assert seen.lost is not None
    assert seen.lost < 0.01


def test_the_links_carry_bulk_by_their_weights(lab: Lab, pair: Tunnel) -> None:
    for down, end in ((True, pair.server), (False, pair.client)):
        throughput(lab.client, lab.server, SERVER_INSIDE, Load(2.0, down=down))
        assert bulk_shares(end) == pytest.approx([10 / 13, 3 / 13], abs=0.01)


def test_memory_stays_small_under_full_load(lab: Lab, pair: Tunnel) -> None:
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(20.0))
    time.sleep(10.0)
    halfway = [end.resident_bytes() for end in (pair.client, pair.server)]
    load.result()
    at_the_end = [end.resident_bytes() for end in (pair.client, pair.server)]
    for before, after in zip(halfway, at_the_end, strict=True):
        assert after < 150e6
        assert after - before < 5e6


def status(of: Daemon, *options: str) -> str:
    command = [sys.executable, "-m", "wrrtun", "status", "--socket", str(of.socket), *options]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout


def test_status_shows_both_links_of_either_end(pair: Tunnel) -> None:
    # A link may rest for a moment after so much load on so few cores. The shares are those of all
    # that was sent: had it rested meanwhile, they are no longer the weights'.
    def shown() -> list[str]:
        texts = [status(pair.client), status(pair.server)]
        shares = [bulk_shares(end) for end in (pair.client, pair.server)]
        both = all(
            percent(share) in text
            for text, of_links in zip(texts, shares, strict=True)
            for share in of_links
        )
        return texts if both and links_up(pair.client) and links_up(pair.server) else []

    client, server = eventually(shown)
    assert "wrrtun" in client.splitlines()[0]
    assert "client" in client.splitlines()[0]
    assert "server" in server.splitlines()[0]
    for text in (client, server):
        assert "session up" in text
    for name in ("0 lineA  up", "1 lineB  up", "10.1.1.2:", "10.1.2.2:"):
        assert name in client
    assert "10.1.1.2:" in server
    assert "10.1.2.2:" in server


def test_status_as_json_is_a_snapshot(pair: Tunnel) -> None:
    text = status(pair.client, "--json")
    seen = Snapshot.from_json(text.encode())
    assert seen.role == "client"
    assert [link.name for link in seen.peers[0].links] == ["lineA", "lineB"]
    assert json.loads(text)["peers"][0]["links"][1]["weight"] == 3


def test_nothing_was_dropped_in_all_that(pair: Tunnel) -> None:
    for end in (pair.client, pair.server):
        assert set(only_peer(end).drops) <= HARMLESS
        assert end.status().drops == {}
