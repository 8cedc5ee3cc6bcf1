import contextlib
import os
import socket
import statistics
from collections.abc import Iterator

import pytest
from pyroute2 import netns

from bench.lab import cable, netem, topology
from bench.lab.namespace import Namespace
from bench.profiles import ADSL, MOBILE, PROFILES
from bench.traffic import Load, ping, throughput
from bench.tunnel import SERVER_INSIDE, tunnel

PORT = 5000


@contextlib.contextmanager
def connected(lab: topology.Lab, line: topology.LabLine, address: str) -> Iterator[str]:
    """Connect over one line; yields the client's address as the server sees it."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        with lab.server.entered():
            listener = stack.enter_context(socket.create_server((address, PORT), family=family))
        with lab.client.entered():
            client = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, line.device.encode())
        client.settimeout(5)
        listener.settimeout(5)
        client.connect((address, PORT))
        accepted, source = listener.accept()
        accepted.close()
        yield source[0]


@pytest.mark.root
def test_the_server_is_reached_over_every_line_and_family() -> None:
    with topology.unshaped(8) as lab:
        for line in lab.lines:
            with connected(lab, line, topology.SERVER_ADDRESS) as source:
                assert source == line.address
            with connected(lab, line, topology.SERVER_ADDRESS6) as source:
                assert source == line.address6


@pytest.mark.root
def test_packets_from_a_line_s_address_leave_by_that_line() -> None:
    with topology.unshaped(2) as lab:
        second = lab.lines[1]
        before = lab.client.counters(second.device)["tx_packets"]
        with lab.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((second.address, 0))
            for _ in range(10):
                sender.sendto(b"hello", (topology.SERVER_ADDRESS, PORT))
        assert lab.client.counters(second.device)["tx_packets"] - before >= 10


@pytest.mark.root
def test_nothing_is_left_of_a_lab() -> None:
    with topology.unshaped(2) as lab:
        names = {lab.client.name, lab.server.name}
        process = lab.client.popen(["sleep", "60"])
        assert names <= set(netns.listnetns())
    assert process.poll() is not None
    assert not names & set(netns.listnetns())


@pytest.mark.root
def test_what_a_killed_lab_left_is_removed_by_the_next() -> None:
    dead = os.fork()
    if dead == 0:
        os._exit(0)
    os.waitpid(dead, 0)
    left = f"wrrlab-{dead}-0-client"
    netns.create(left)
    with Namespace.create("test") as namespace:
        assert left not in netns.listnetns()
        assert namespace.name in netns.listnetns()


@pytest.mark.uml
def test_netem_carries_what_it_was_told_in_packets_and_not_in_super_packets() -> None:
    with topology.shaped(PROFILES["adsl-mobile"]) as lab:
        for line, profile in zip(lab.lines, (ADSL, MOBILE), strict=True):
            before = lab.client.counters(line.device)
            seen = throughput(
                lab.client,
                lab.server,
                topology.SERVER_ADDRESS,
                Load(6.0, device=line.device, interval_seconds=0.5),
            )
            after = lab.client.counters(line.device)
            # 1448 payload bytes in each packet of 1500.
            possible = profile.down.rate_bits_per_second * 1448 / 1500
            assert statistics.median(seen.intervals) == pytest.approx(possible, rel=0.03)
            size = after["rx_bytes"] - before["rx_bytes"]
            assert size / (after["rx_packets"] - before["rx_packets"]) <= 1514


@pytest.mark.uml
def test_a_line_is_as_far_as_it_was_told_and_swallows_packets_while_it_is_cut() -> None:
    with topology.shaped(PROFILES["adsl-mobile"]) as lab:
        for line, profile in zip(lab.lines, (ADSL, MOBILE), strict=True):
            answers = ping(lab.client, topology.SERVER_ADDRESS, 2.0, device=line.device)
            assert answers.sent == 20
            assert statistics.median(answers.round_trips_seconds) == pytest.approx(
                profile.round_trip_seconds, abs=0.003
            )
        line = lab.lines[0]
        line.cut()
        assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=line.device).lost == 1.0
        line.restore()
        assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=line.device).lost == 0.0


@pytest.mark.uml
def test_a_line_goes_on_with_another_address_and_with_its_first_one_again() -> None:
    with topology.shaped(PROFILES["adsl-mobile"]) as lab:
        line = lab.lines[1]
        for change in (line.move, line.restore):
            before = line.address
            change()
            assert line.address != before
            answers = ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=line.device)
            assert answers.lost == 0.0


@pytest.mark.root
@pytest.mark.skipif(netem.available(), reason="this kernel has netem itself")
@pytest.mark.skipif(not cable.available(), reason="needs root and user-mode-linux")
def test_lines_through_a_guest_are_as_they_were_told_for_ends_on_this_host() -> None:
    with topology.shaped(PROFILES["adsl-mobile"]) as lab:
        for line, profile in zip(lab.lines, (ADSL, MOBILE), strict=True):
            answers = ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=line.device)
            assert min(answers.round_trips_seconds) >= profile.round_trip_seconds
            for address, own in (
                (topology.SERVER_ADDRESS, line.address),
                (topology.SERVER_ADDRESS6, line.address6),
            ):
                with connected(lab, line, address) as source:
                    assert source == own
        first, second = lab.lines
        for happen in (first.cut, first.unplug):
            happen()
            assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=first.device).lost == 1.0
            assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=second.device).lost == 0.0
            first.restore()
            assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=first.device).lost == 0.0
        second.move()
        assert ping(lab.client, topology.SERVER_ADDRESS, 0.5, device=second.device).lost == 0.0


@pytest.mark.root
@pytest.mark.skipif(netem.available(), reason="this kernel has netem itself")
@pytest.mark.skipif(not cable.available(), reason="needs root and user-mode-linux")
def test_a_tunnel_comes_up_over_lines_through_a_guest() -> None:
    """Its datagrams leave in trains, without checksums: they must be whole before the guest."""
    with (
        topology.shaped(PROFILES["adsl-mobile"]) as lab,
        tunnel(lab, ["lineA:10mbit", "lineB:3mbit"]),
    ):
        load = Load(2.0, interval_seconds=0.5)
        assert max(throughput(lab.client, lab.server, SERVER_INSIDE, load).intervals) > 0
