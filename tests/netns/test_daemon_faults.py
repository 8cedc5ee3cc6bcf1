"""What a machine and its network may do to a running tunnel's links and device."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import Lab
from bench.traffic import Load, ping, start_load
from bench.tunnel import DEVICE, SERVER_INSIDE, Daemon
from tests.netns.ends import Ends, Identity, eventually, link_falls, only_peer
from tests.netns.test_daemon_links import join
from wrrtun.core.link_state import CARRYING
from wrrtun.linux.firewall import replace_table
from wrrtun.linux.firewall_rules import Chain, OutDevice, Verdict

pytestmark = pytest.mark.root

DROP = 0


def states(end: Daemon) -> list[str]:
    return [link.state for link in only_peer(end).links]


def all_carry(end: Daemon) -> bool:
    return all(state in CARRYING for state in states(end))


def delete_line(lab: Lab) -> None:
    lab.client.iproute.link("del", index=lab.client.index("lineA"))


def make_line_again(lab: Lab) -> None:
    """Plug in what `delete_line` has pulled out; its index and Ethernet address are others."""
    lab.client.iproute.link(
        "add", ifname="lineA", kind="veth", peer={"ifname": "ispA", "net_ns_fd": lab.server.name}
    )
    for namespace, device, host in (
        (lab.client, "lineA", "10.1.1.2"),
        (lab.server, "ispA", "10.1.1.1"),
    ):
        namespace.take_up(device, host)
    index = lab.client.index("lineA")
    lab.client.iproute.route("add", dst="0.0.0.0/0", gateway="10.1.1.1", oif=index, priority=1001)


def test_an_interface_that_is_deleted_and_made_again_carries_again(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    session = only_peer(pair.client).session.local_id
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(6.0))
    time.sleep(1.0)
    delete_line(lab)
    eventually(lambda: states(pair.client)[0] == "down")
    make_line_again(lab)
    eventually(lambda: all_carry(pair.client) and all_carry(pair.server))
    assert load.result().intervals[-1] > 0
    assert only_peer(pair.client).session.local_id == session
    assert link_falls(pair.client, 1) == []


def test_a_lost_carrier_takes_its_link_down_though_sends_still_succeed(
    ends: Ends, lab: Lab
) -> None:
    pair = ends.tunnel()
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(5.0))
    time.sleep(1.0)
    index = lab.server.index("ispA")
    lab.server.iproute.link("set", index=index, state="down")
    eventually(lambda: states(pair.client)[0] == "down")
    # The kernel may tell of a carrier a second later: by then the line has been silent too long.
    eventually(lambda: "no carrier" in only_peer(pair.client).links[0].reason)
    lab.server.iproute.link("set", index=index, state="up")
    eventually(lambda: all_carry(pair.client) and all_carry(pair.server))
    assert load.result().intervals[-1] > 0
    assert link_falls(pair.client, 1) == []


def forbid_by_filter(lab: Lab, forbidden: bool) -> None:
    rule = (OutDevice("lineA"), Verdict(DROP))
    with lab.client.entered():
        replace_table("test", (Chain("c", "filter", "output", 0, (rule,)),) if forbidden else ())


def forbid_by_route(kind: str) -> Callable[[Lab, bool], None]:
    """Replace the default route of what comes from lineA's address, in a table of its own."""

    def forbid(lab: Lab, forbidden: bool) -> None:
        index = lab.client.index("lineA")
        way = {"type": kind} if forbidden else {"gateway": "10.1.1.1", "oif": index}
        lab.client.iproute.route("replace", dst="0.0.0.0/0", table=101, **way)

    return forbid


@pytest.mark.parametrize(
    ("forbid", "says"),
    [
        (forbid_by_filter, "Operation not permitted"),
        (forbid_by_route("prohibit"), "Permission denied"),
        (forbid_by_route("unreachable"), "No route to host"),
        (forbid_by_route("blackhole"), "Invalid argument"),
    ],
    ids=["EPERM", "EACCES", "EHOSTUNREACH", "EINVAL"],
)
def test_what_the_system_forbids_takes_that_link_down_and_nothing_else(
    ends: Ends, lab: Lab, forbid: Callable[[Lab, bool], None], says: str
) -> None:
    # By address: of a socket bound to a device, the kernel asks no route.
    pair = ends.tunnel(links=("10.1.1.2:10", "10.1.2.2:3"))
    forbid(lab, True)
    eventually(lambda: states(pair.client)[0] == "down")
    assert says in only_peer(pair.client).links[0].reason
    eventually(lambda: ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0)
    before = pair.client.cpu_seconds()
    time.sleep(1.0)
    assert pair.client.cpu_seconds() - before < 0.3
    forbid(lab, False)
    eventually(lambda: all_carry(pair.client) and all_carry(pair.server))
    assert link_falls(pair.client, 1) == []


def test_a_server_that_refuses_takes_links_down_and_no_process(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    old = only_peer(pair.client).session.remote_id
    assert pair.server.stop(signal.SIGKILL) == -signal.SIGKILL
    # Each probe is refused by ICMP (ECONNREFUSED), and so is each INIT later.
    eventually(lambda: states(pair.client) == ["down", "down"])
    before = pair.client.cpu_seconds()
    time.sleep(1.0)
    assert pair.client.cpu_seconds() - before < 0.3
    server = ends.server()
    eventually(lambda: only_peer(pair.client).session.remote_id not in (old, None))
    ends.up(pair.client, server)
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


@pytest.mark.parametrize("asleep", ["client", "server"])
def test_an_end_that_slept_past_its_keys_comes_back_by_one_handshake(
    ends: Ends, lab: Lab, asleep: str
) -> None:
    limits = "[limits]\nrekey_seconds = 2\n"  # and 3 s for a key's life
    server = ends.server("--config", ends.vps.write("server.toml", limits))
    client = ends.client("--config", ends.home.write("client.toml", limits))
    ends.up(server, client)
    # TCP tries after 0.2, 0.4, ... seconds; where its round trips varied, it begins with 0.3.
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(12.0))
    time.sleep(0.5)
    sleeper = {"client": client, "server": server}[asleep]
    before = only_peer(sleeper).session.local_id
    said = len(sleeper.output().splitlines())
    os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(4.0)
    os.kill(sleeper.pid, signal.SIGCONT)
    eventually(lambda: only_peer(sleeper).session.local_id not in (before, None))
    ends.up(server, client)
    assert load.result().intervals[-1] > 0
    lines = sleeper.output().splitlines()[said:]
    assert sum("session up" in line for line in lines) == 1
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0


def descriptors(of: Daemon) -> int:
    return len(os.listdir(f"/proc/{of.pid}/fd"))


def test_an_interface_that_flaps_leaves_no_descriptor_and_the_other_link_alone(
    ends: Ends, lab: Lab
) -> None:
    pair = ends.tunnel()
    before = [descriptors(end) for end in (pair.client, pair.server)]
    load = start_load(lab.client, lab.server, SERVER_INSIDE, Load(8.0))
    index = lab.client.index("lineB")
    for _flap in range(12):
        time.sleep(0.25)
        lab.client.iproute.link("set", index=index, state="down")
        time.sleep(0.25)
        lab.client.iproute.link("set", index=index, state="up")
        lab.client.iproute.route(
            "add", dst="0.0.0.0/0", gateway="10.1.2.1", oif=index, priority=1002
        )
    assert load.result().intervals[-1] > 0
    eventually(lambda: all_carry(pair.client) and all_carry(pair.server))
    assert [descriptors(end) for end in (pair.client, pair.server)] == before
    assert link_falls(pair.client, 0) == link_falls(pair.server, 0) == []


def test_a_device_that_is_set_down_loses_frames_and_nothing_else(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    for namespace, here, end in (
        (lab.client, SERVER_INSIDE, pair.client),
        (lab.server, "10.9.0.2", pair.server),
    ):
        index = namespace.index(DEVICE)
        namespace.iproute.link("set", index=index, state="down")
        other = lab.server if namespace is lab.client else lab.client
        target = "10.9.0.2" if namespace is lab.client else SERVER_INSIDE
        assert ping(other, target, 0.5).lost == 1.0
        before = end.cpu_seconds()
        time.sleep(1.0)
        assert end.cpu_seconds() - before < 0.3
        namespace.iproute.link("set", index=index, state="up")
        eventually(lambda namespace=namespace, here=here: ping(namespace, here, 0.3).lost == 0.0)  # type: ignore[misc]
    assert all_carry(pair.client)
    assert only_peer(pair.client).session.rekeys == 0


def test_of_two_clients_with_one_key_the_one_that_started_last_keeps_the_session(
    ends: Ends, lab: Lab
) -> None:
    pair = ends.tunnel()
    twin = Identity(Path(ends.room, "twin"))
    twin.key_file.write_bytes(ends.home.key_file.read_bytes())
    with Namespace.create("client2") as second:
        join(second, lab.server)
        client = ends.client(links=["line:1"], identity=twin, namespace=second)
        ends.up(client)
        session = only_peer(client).session.local_id
        eventually(lambda: pair.server.status().drops.get("second_client", 0) >= 2)
        assert only_peer(client).session.local_id == session
        assert ping(second, SERVER_INSIDE, 0.5).lost == 0.0
        told = [line for line in pair.server.output().splitlines() if "the same key" in line]
        assert len(told) == 1
        assert told[0].startswith("WARNING ")
        assert "address=10.1." in told[0]
        client.stop()
        eventually(lambda: only_peer(pair.server).session.up and all_carry(pair.client))
        assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0
