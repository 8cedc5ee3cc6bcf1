"""How ends come, go, and come back."""

import signal
import socket
import time

import pytest

from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import ProcessError
from bench.traffic import Load, ping, start_load, throughput
from bench.tunnel import PORT, SERVER_INSIDE, Daemon
from tests.netns.ends import Ends, eventually, has_device, lost_nothing, only_peer

pytestmark = pytest.mark.root

END_SECONDS = 2.0


def asked_to_end(daemon: Daemon) -> None:
    """Send SIGTERM and check that nothing is left, soon."""
    assert has_device(daemon.namespace)
    began = time.monotonic()
    assert daemon.stop() == 0, daemon.output()
    assert time.monotonic() - began < END_SECONDS
    assert not has_device(daemon.namespace)
    assert not daemon.socket.exists()
    assert "Traceback" not in daemon.output()


def test_a_client_that_is_asked_to_end_says_goodbye_and_leaves_nothing(ends: Ends) -> None:
    pair = ends.tunnel()
    asked_to_end(pair.client)
    # Far sooner than by silence, which takes seconds.
    eventually(lambda: not only_peer(pair.server).session.up, 1.0)
    assert "goodbye" in pair.server.output()


def test_a_server_that_is_asked_to_end_says_goodbye_and_leaves_nothing(ends: Ends) -> None:
    pair = ends.tunnel()
    asked_to_end(pair.server)
    eventually(lambda: not only_peer(pair.client).session.up, 1.0)
    assert "goodbye" in pair.client.output()


def test_a_client_without_a_server_ends_when_asked(ends: Ends) -> None:
    client = ends.client()
    client.wait_until(client.answers, "there", 20.0, 0.05)
    eventually(lambda: has_device(client.namespace))
    asked_to_end(client)


def test_a_client_in_mid_handshake_ends_when_asked(ends: Ends, lab: Lab) -> None:
    with lab.server.entered():
        silent = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with silent:
        silent.bind((SERVER_ADDRESS, PORT))
        silent.settimeout(20.0)
        client = ends.client()
        assert silent.recv(2048)
        client.wait_until(client.answers, "there", 20.0, 0.05)
        asked_to_end(client)


def test_a_client_that_was_there_first_connects_once_its_server_is_there(ends: Ends) -> None:
    client = ends.client()
    client.wait_until(client.answers, "there", 20.0, 0.05)
    time.sleep(1.5)  # a few INITs are refused (ECONNREFUSED)
    assert not only_peer(client).session.up
    ends.up(ends.server(), client)


def test_a_client_whose_lines_are_down_ends_when_asked_and_connects_once_one_is_up(
    ends: Ends, lab: Lab
) -> None:
    ends.server()
    indices = [lab.client.index(line.device) for line in lab.lines]
    for index in indices:
        lab.client.iproute.link("set", index=index, state="down")
    for ending in (True, False):
        client = ends.client()
        client.wait_until(client.answers, "there", 20.0, 0.05)
        eventually(lambda: has_device(lab.client))
        assert all("no way to" in link.reason for link in only_peer(client).links)
        if ending:
            asked_to_end(client)
    lab.client.iproute.link("set", index=indices[1], state="up")
    eventually(lambda: only_peer(client).session.up)
    assert only_peer(client).links[0].reason.startswith("no way to")


def test_a_connection_outlives_an_interface_that_goes_down_and_comes_back(
    ends: Ends, lab: Lab
) -> None:
    pair = ends.tunnel()
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(6.0))
    index = lab.client.index("lineA")

    def states() -> list[str]:
        return [link.state for link in only_peer(pair.client).links]

    time.sleep(1.0)
    lab.client.iproute.link("set", index=index, state="down")
    eventually(lambda: states() == ["down", "up"])
    # By the kernel's word, not by silence: so at once.
    assert "no way to" in only_peer(pair.client).links[0].reason
    lab.client.iproute.link("set", index=index, state="up")
    gateway = f"10.1.{lab.lines[0].number}.1"  # the kernel removed the route with the link
    lab.client.iproute.route("add", dst="0.0.0.0/0", gateway=gateway, oif=index, priority=1001)
    eventually(lambda: states() == ["up", "up"])
    assert load.result().intervals[-1] > 0
    ends.up(pair.server)


def test_a_link_whose_interface_is_plugged_in_later_is_waited_for(ends: Ends, lab: Lab) -> None:
    ends.server()
    client = ends.client(links=("lineA:10", "stick0:3"))
    client.wait_until(client.answers, "there", 20.0, 0.05)
    eventually(lambda: only_peer(client).session.up)
    assert "no network interface stick0" in only_peer(client).links[1].reason
    index = lab.client.index("lineB")
    lab.client.iproute.link("set", index=index, state="down")
    lab.client.iproute.link("set", index=index, ifname="stick0")
    lab.client.iproute.link("set", index=index, state="up")
    gateway = f"10.1.{lab.lines[1].number}.1"
    lab.client.iproute.route("add", dst="0.0.0.0/0", gateway=gateway, oif=index, priority=1002)
    ends.up(client)
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


def test_a_client_that_was_killed_comes_back_with_a_new_session(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    before = only_peer(pair.server).session.local_id
    assert pair.client.stop(signal.SIGKILL) == -signal.SIGKILL
    assert not has_device(lab.client)
    ends.up(ends.client())
    eventually(lambda: only_peer(pair.server).session.local_id != before)
    ends.up(pair.server)
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


def test_a_client_comes_back_by_itself_when_its_server_was_killed(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    before = only_peer(pair.client).session.remote_id
    assert pair.server.stop(signal.SIGKILL) == -signal.SIGKILL
    server = ends.server()
    eventually(lambda: only_peer(pair.client).session.remote_id not in (before, None))
    ends.up(pair.client, server)
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


def test_keys_are_renewed_under_load_without_a_stall(ends: Ends, lab: Lab) -> None:
    limits = "[limits]\nrekey_seconds = 1\n"
    server = ends.server("--config", ends.vps.write("server.toml", limits))
    client = ends.client("--config", ends.home.write("client.toml", limits))
    ends.up(server, client)
    seen = throughput(lab.client, lab.server, SERVER_INSIDE, Load(6.0, interval_seconds=0.5))
    assert min(seen.intervals) > 0
    for end in (server, client):
        peer = only_peer(end)
        assert peer.session.rekeys >= 4
        assert set(peer.drops) <= {"no_link", "replayed"}
        assert lost_nothing(end)


@pytest.mark.parametrize("end", ["client", "server"])
def test_a_daemon_whose_device_was_deleted_ends_with_a_sentence(
    ends: Ends, lab: Lab, end: str
) -> None:
    pair = ends.tunnel()
    namespace, daemon = {
        "client": (lab.client, pair.client),
        "server": (lab.server, pair.server),
    }[end]
    namespace.iproute.link("del", index=namespace.index("wrr0"))
    with pytest.raises(ProcessError, match="wrr0"):
        daemon.wait_until(lambda: False, "gone", 5.0, 0.05)
    assert daemon.stop() == 1
    assert "Traceback" not in daemon.output()
