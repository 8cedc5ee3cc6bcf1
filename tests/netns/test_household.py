"""From nothing to a bonded home, as the README has it, and what must hold when things fail."""

import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.netns.ends import Sniffer, eventually
from tests.netns.household import FILE_BYTES, VPS, VPS6, WEB, WEB6, Household

pytestmark = pytest.mark.root


# What a house never ceases to send, to the internet and to a line's own name server: as any program
# does, and bound to a line where there is one.
CHATTER = f"""
import contextlib, socket, time
UDP, TCP, V4, V6 = socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.AF_INET, socket.AF_INET6
SAID = [(V4, kind, ({WEB!r}, port)) for kind, port in ((UDP, 53), (UDP, 443), (TCP, 443))]
SAID += [(V6, kind, ({WEB6!r}, port)) for kind, port in ((UDP, 53), (TCP, 443))]
SAID += [(V4, UDP, ("192.168.1.1", 53)), (V4, TCP, ("192.168.2.1", 853))]
while True:
    for family, kind, address in SAID:
        for device in ("", "dsl", "lte"):
            with contextlib.suppress(OSError), socket.socket(family, kind) as one:
                one.setblocking(False)
                if device:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
                one.connect(address)
                one.send(b"leak")
    time.sleep(0.05)
"""


def enrol(
    house: Household,
    *options: str,
    links: Sequence[str] = ("dsl:10", "lte:3"),
    network: Sequence[str] = ("10.80.0.0/24",),
    public: str = VPS,
) -> "subprocess.Popen[Any]":
    """Do what the README says, up to the client's start; return the server."""
    server, client = house.config("vps"), house.config("home")
    words = [word for text in network for word in ("--network", text)]
    house.wrrtun("vps", "server", "init", "--public", public, "--config", str(server), *words)
    house.write("vps", 'socket = "sock"')
    line = house.wrrtun("vps", "server", "invite", "home", "--config", str(server)).splitlines()[0]
    running = house.start("vps")
    eventually(lambda: house.status("vps"))
    words = [word for link in links for word in ("--link", link)]
    join = ["client", "join", "--config", str(client), *words, *options]
    said = house.wrrtun("home", *join, stdin=line)
    assert said.count("the server answers") == 2, said
    house.write("home", 'socket = "sock"')
    return running


def leaks(house: Household, sniffers: Mapping[str, Sniffer]) -> list[bytes]:
    """Return what ISPs got from the router and is neither the tunnel's nor local to the wire."""
    found = []
    for device, sniffer in sniffers.items():
        (link,) = house.home.iproute.get_links(house.home.index(device))
        mac = bytes.fromhex(link.get_attr("IFLA_ADDRESS").replace(":", ""))
        found += [p for p in sniffer.packets() if p[6:12] == mac and not is_allowed(p)]
    return found


def is_allowed(packet: bytes) -> bool:
    """Tell whether a packet is ARP, local to its wire, or goes to the server's port."""
    kind, rest = packet[12:14], packet[14:]
    if kind == b"\x08\x06":
        return True
    if kind == b"\x86\xdd":
        return rest[24:26] in (b"\xff\x02", b"\xfe\x80") or (
            rest[6] == 58 and rest[40] in range(133, 138)
        )
    port = int.from_bytes(rest[22:24])
    return (rest[9], rest[16:20], port) == (17, ip_address(VPS).packed, 51820)


def loads_nothing(house: Household) -> bool:
    """Tell whether neither the router nor the LAN behind it gets anything from the internet."""
    asked = [("lan", WEB), ("home", WEB), ("home", WEB6)]
    return all(house.loads(machine, host, seconds=1.0) is None for machine, host in asked)


def left(house: Household, machine: str) -> list[str]:
    """Return the routes, rules and packet filters of a machine."""
    filters = house.spaces[machine].run(["nft", "list", "ruleset"], 10.0)
    return [*house.routes(machine), *filters.stdout.splitlines()]


def stop(process: "subprocess.Popen[Any]") -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0


def test_a_house_gets_to_the_internet_over_both_lines_and_is_as_before_afterwards(
    house: Household,
) -> None:
    home, vps = house.routes("home"), house.routes("vps")
    assert house.loads() is None  # nobody translates the home network's addresses
    server = enrol(house, links=("dsl", "lte"))
    client = house.start("home")
    eventually(house.up)

    assert house.loads() == house.loads("home") == VPS
    status = house.status("home")
    assert status is not None
    assert min(link.sent_bytes for link in status.peers[0].links) > 0

    stop(client)
    assert house.routes("home") == home
    assert house.loads("home") == "100.64.1.2"  # over the line again
    stop(server)
    assert house.routes("vps") == vps


def test_ipv6_goes_the_same_way(house: Household) -> None:
    enrol(house, network=("10.80.0.0/24", "fd77::/60"))
    house.start("home")
    eventually(house.up)
    assert house.loads(host=WEB6) == house.loads("home", host=WEB6) == VPS6
    assert house.loads() == VPS


def test_a_server_with_an_ipv6_address_is_reached_over_each_line(house: Household) -> None:
    enrol(house, public=VPS6)
    assert f"[{VPS6}]:51820" in house.config("home").read_text()
    house.start("home")
    eventually(house.up)
    assert house.loads() == VPS


def test_what_a_crash_left_is_taken_away_and_a_line_that_dies_is_not_missed(
    house: Household,
) -> None:
    before = house.routes("home")
    enrol(house)
    client = house.start("home")
    eventually(house.up)
    client.kill()
    client.wait()
    assert house.routes("home") != before
    assert house.loads("home") == "100.64.1.2"

    client = house.start("home")
    eventually(house.up)
    house.ispA.iproute.link("set", index=house.ispA.index("in"), state="down")
    assert eventually(house.loads) == VPS
    house.ispA.iproute.link("set", index=house.ispA.index("in"), state="up")
    eventually(house.up)
    stop(client)
    assert house.routes("home") == before


@pytest.mark.skipif(shutil.which("nft") is None, reason="needs nft")
def test_what_crashes_left_goes_at_the_next_start_though_nothing_is_to_be_routed_any_more(
    house: Household,
) -> None:
    before = {machine: left(house, machine) for machine in ("home", "vps")}
    server = enrol(house, "--when-down", "block")
    client = house.start("home")
    eventually(house.up)
    for one in (client, server):
        one.kill()
        one.wait()
    for machine, nothing in before.items():
        assert not house.spaces[machine].iproute.link_lookup(ifname="wrr0")
        assert left(house, machine) != nothing

    for machine in before:
        path = house.config(machine)
        lines = path.read_text().splitlines(keepends=True)
        keys = ("route", "when_down", "nat")
        path.write_text("".join(line for line in lines if not line.startswith(keys)))
        house.start(machine)
    eventually(lambda: house.up(links=1))  # the other line would need rules of ours
    assert {machine: left(house, machine) for machine in before} == before
    assert house.loads("home") == "100.64.1.2"


def test_a_gateway_that_changes_is_followed(house: Household) -> None:
    enrol(house)
    client = house.start("home")
    eventually(house.up)
    wanted = {"dst": "0.0.0.0/0", "gateway": "192.168.2.1", "priority": 200}
    house.ispB.iproute.addr(
        "add", index=house.ispB.index("in"), address="192.168.2.9", prefixlen=24
    )
    house.home.iproute.route("del", **wanted)
    eventually(lambda: not house.up())
    house.home.iproute.route("add", **wanted | {"gateway": "192.168.2.9"})
    eventually(house.up)
    table = [line for line in house.routes("home") if "table 7702" in line and "default" in line]
    assert table
    assert all("via 192.168.2.9" in line for line in table if "::" not in line)
    stop(client)


def test_two_lines_on_one_interface_each_have_their_own_gateway(house: Household) -> None:
    index = house.home.index("dsl")
    house.home.iproute.addr("add", index=index, address="192.168.7.2", prefixlen=24)
    house.ispA.iproute.addr(
        "add", index=house.ispA.index("in"), address="192.168.7.1", prefixlen=24
    )
    house.home.iproute.route("add", dst="0.0.0.0/0", gateway="192.168.7.1", oif=index, priority=300)
    enrol(house, links=("192.168.1.2:10", "192.168.7.2:3"))
    house.start("home")
    eventually(house.up)
    assert house.loads() == VPS
    out = "\n".join(house.routes("home"))
    assert "default via 192.168.1.1 dev dsl table 7701" in out
    assert "default via 192.168.7.1 dev dsl table 7702" in out


def test_with_a_kill_switch_nothing_leaves_but_the_tunnel(house: Household) -> None:
    enrol(house, "--when-down", "block")
    isps = {"dsl": house.ispA, "lte": house.ispB}
    with contextlib.ExitStack() as stack:
        lines = {name: stack.enter_context(Sniffer(isp, "in")) for name, isp in isps.items()}
        client = house.start("home")
        eventually(lambda: house.status("home"))  # it has started, and has no session yet
        for machine in (house.lan, house.home):
            machine.popen([sys.executable, "-c", CHATTER])
        eventually(house.up)
        assert eventually(house.loads) == eventually(lambda: house.loads("home")) == VPS
        assert leaks(house, lines) == []

        house.internet.iproute.link("set", index=house.internet.index("vps"), state="down")
        assert loads_nothing(house)
        refused = house.home.run([sys.executable, "-m", "wrrtun", "client", "unblock"], 10.0)
        assert "the client runs" in refused.stderr
        house.internet.iproute.link("set", index=house.internet.index("vps"), state="up")
        assert eventually(house.loads) == VPS
        assert leaks(house, lines) == []

        index = house.home.index("dsl")  # with its default route, as if the modem was unplugged
        house.home.iproute.link("set", index=index, state="down")
        assert eventually(house.loads) == VPS
        house.home.iproute.link("set", index=index, state="up")
        house.home.iproute.route("add", dst="0.0.0.0/0", gateway="192.168.1.1", priority=100)
        eventually(house.up)
        assert leaks(house, lines) == []

        client.kill()
        client.wait()
        assert loads_nothing(house)
        client = house.start("home")
        eventually(house.up)
        assert eventually(house.loads) == VPS
        assert leaks(house, lines) == []
        stop(client)
        assert loads_nothing(house)
        assert leaks(house, lines) == []
        assert house.wrrtun("home", "client", "unblock")
        assert house.loads("home") == "100.64.1.2"
        assert leaks(house, lines) != []  # so there was something to be seen


def test_a_reload_lifts_a_kill_switch(house: Household) -> None:
    enrol(house, "--when-down", "block")
    client = house.start("home")
    eventually(house.up)
    path = house.config("home")
    path.write_text(path.read_text().replace('"block"', '"wait"'))
    house.wrrtun("home", "reload", "--socket", str(path.with_name("sock")))
    assert house.loads() == VPS
    stop(client)
    assert house.loads("home") == "100.64.1.2"


def test_with_fallback_the_lines_are_used_while_the_server_is_away(house: Household) -> None:
    server = enrol(house, "--when-down", "fallback")
    house.start("home")
    eventually(house.up)
    assert eventually(house.loads) == VPS
    stop(server)
    eventually(lambda: house.loads() == "100.64.1.2")
    assert house.loads("home") == "100.64.1.2"
    house.start("vps")
    eventually(lambda: house.loads() == VPS)


def test_clients_come_and_go_while_others_stay_connected(house: Household) -> None:
    enrol(house)
    house.start("home")
    eventually(house.up)
    server = ["--config", str(house.config("vps"))]

    assert "1 of them new" in house.wrrtun("vps", "server", "invite", "boat", *server)
    status = house.status("vps")
    assert status is not None
    assert [(peer.name, peer.session.up) for peer in status.peers] == [
        ("home", True),
        ("boat", False),
    ]
    assert house.wrrtun("vps", "server", "list", *server).split()[:2] == ["home", "up"]
    assert house.loads() == VPS

    house.wrrtun("vps", "server", "revoke", "boat", *server)
    assert house.up()
    house.wrrtun("vps", "server", "revoke", "home", *server)
    eventually(lambda: not house.up("home", links=0))
    assert "goodbye" in house.log("home")


def test_links_and_weights_change_without_a_new_session(house: Household) -> None:
    enrol(house)
    house.start("home")
    eventually(house.up)
    client = house.config("home")
    sock = str(house.room / "home" / "sock")
    original = client.read_text()
    assert '"dsl:10", "lte:3"' in original

    client.write_text(original.replace('"dsl:10", "lte:3"', '"lte:7"'))
    assert "1 links, 0 of them opened" in house.wrrtun("home", "reload", "--socket", sock)
    eventually(lambda: weights(house, "vps") == {1: 7.0})
    assert weights(house, "home") == {1: 7.0}
    assert house.loads() == VPS

    client.write_text(original.replace('"lte:3"', '"lte:5"'))
    house.wrrtun("home", "reload", "--socket", sock)
    eventually(lambda: weights(house, "vps") == {0: 10.0, 1: 5.0})
    eventually(house.up)

    client.write_text(original.replace("51820", "51821"))
    refused = house.home.run([sys.executable, "-m", "wrrtun", "reload", "--socket", sock], 10.0)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "server changed, which needs a restart" in refused.stderr
    client.write_text("nonsense")
    refused = house.home.run([sys.executable, "-m", "wrrtun", "reload", "--socket", sock], 10.0)
    assert "nothing is changed" in refused.stderr
    assert house.up()
    assert "session down" not in house.log("home") + house.log("vps")


def weights(house: Household, machine: str) -> dict[int, float]:
    """Return the weights of a machine's links, by number."""
    status = house.status(machine)
    assert status is not None
    return {link.number: link.weight for link in status.peers[0].links}


def test_a_file_comes_whole_though_a_line_dies_while_it_comes(house: Household) -> None:
    enrol(house)
    house.start("home")
    eventually(house.up)
    download = house.download("lan")
    assert download.stdout is not None
    assert download.stdout.readline() == "half\n"
    house.ispA.iproute.link("set", index=house.ispA.index("out"), state="down")
    out, _ = download.communicate(timeout=30)
    assert out == f"{FILE_BYTES}\n"
    assert house.up(links=1)


def test_one_client_of_a_machine_routes_and_another_one_leaves_its_routes_alone(
    house: Household, tmp_path: Path
) -> None:
    enrol(house)
    house.start("home")
    eventually(house.up)
    routes = house.routes("home")
    client = house.config("home")
    other = client.with_name("other.toml")
    text = client.read_text().replace('"sock"', '"other"')
    other.write_text(text + 'dev = "other0"\n')
    words = [sys.executable, "-m", "wrrtun", "client", "--config", str(other)]
    refused = house.home.run(words, 10.0)
    assert "another wrrtun client of this machine routes" in refused.stderr

    other.write_text("\n".join(line for line in text.splitlines() if "route" not in line))
    with pytest.raises(subprocess.TimeoutExpired):
        house.home.run([*words, "--dev", "other0"], 2.0)
    assert house.routes("home") == routes
