"""`wrrtun doctor` names what is wrong with a set-up, and does not cry wolf over a good one."""

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Sequence

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.tunnel import CLIENT_INSIDE, PORT, SERVER_INSIDE
from tests.netns.ends import Ends
from wrrtun.keys import encode_key, generate_key, parse_key, public_key_of
from wrrtun.linux import firewall
from wrrtun.linux.firewall_rules import DROP, Chain, InDevice, Port, Verdict

pytestmark = pytest.mark.root

YEAR_SECONDS = 365 * 86400
UNIX_TO_NTP = 2_208_988_800


def client_file(ends: Ends, **changes: object) -> str:
    values: dict[str, object] = {
        "server": f"{SERVER_ADDRESS}:{PORT}",
        "server_key": ends.vps.public_key,
        "key_file": "key",
        "address": f"{CLIENT_INSIDE}/24",
        "link": ["lineA:10", "lineB:3"],
        "socket": "socket",
    } | changes
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    return ends.home.write("client.toml", text)


def server_file(ends: Ends) -> str:
    peer = f'[[peer]]\nname = "home"\npublic_key = "{ends.home.public_key}"\n'
    text = f'listen = {PORT}\nkey_file = "key"\nsocket = "server.sock"\n{peer}'
    return ends.vps.write("server.toml", text)


def examine(
    where: Namespace, file: str, *words: str, wrapper: Sequence[str] = ()
) -> tuple[int, str]:
    """Run doctor; return its exit code and what it says."""
    argv = [*wrapper, sys.executable, "-m", "wrrtun", "doctor", "--config", file]
    done = where.run([*argv, *(words or ("--ntp", "none"))], 60.0)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


def complaints(said: tuple[int, str]) -> list[str]:
    """Return what is bad, each with its advice; the exit code must agree."""
    code, text = said
    parts = [part for part in text.replace("\n      -> ", " -> ").splitlines() if " BAD  " in part]
    assert code == bool(parts)
    return [part.replace(" BAD  ", "") for part in parts]


def test_a_good_set_up_has_nothing_bad(ends: Ends, lab: Lab) -> None:
    ends.server()
    said = examine(lab.client, client_file(ends))
    assert complaints(said) == []
    assert "lineA: the server answers a handshake in" in said[1]
    assert "lineB: packets of 1500 bytes pass" in said[1]
    assert complaints(examine(lab.server, server_file(ends))) == []


def test_a_running_tunnel_is_not_disturbed(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel("--route", "all")
    before = pair.client.status().peers[0].session
    file = client_file(ends, route="all", socket=str(pair.client.socket))
    said = examine(lab.client, file)
    assert complaints(said) == []
    assert "the client runs" in said[1]
    after = pair.client.status().peers[0].session
    assert (after.local_id, after.rekeys) == (before.local_id, before.rekeys)


def test_no_tun(ends: Ends, lab: Lab) -> None:
    ends.server()
    hide = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /dev/net; exec "$@"', "sh"]
    said = complaints(examine(lab.client, client_file(ends), wrapper=hide))
    assert [one for one in said if "/dev/net/tun" in one and "modprobe tun" in one] == said


def test_a_missing_capability(ends: Ends, lab: Lab) -> None:
    ends.server()
    drop = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]
    said = complaints(examine(lab.client, client_file(ends), wrapper=drop))
    assert any("lacks CAP_NET_ADMIN" in one for one in said)


def test_udp_that_is_blocked_on_one_line(
    ends: Ends, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends.server()
    monkeypatch.setitem(firewall.HOOKS, "input", 1)
    rule = (InDevice("ispB"), Port(socket.IPPROTO_UDP, PORT), Verdict(DROP))
    with lab.server.entered():
        firewall.replace_table("isp", (Chain("input", "filter", "input", 0, (rule,)),))
    code, text = examine(lab.client, client_file(ends))
    (said,) = complaints((code, text))
    assert f"lineB: UDP to {SERVER_ADDRESS} port {PORT} is blocked on this line" in said
    assert "lineA: the server answers a handshake" in text


def test_a_wrong_gateway(ends: Ends, lab: Lab) -> None:
    ends.server()
    index = lab.client.index("lineB")
    lab.client.iproute.flush_rules(priority=2)  # the lab's own, which know the right one
    lab.client.iproute.route("del", dst="0.0.0.0/0", gateway="10.1.2.1", oif=index, priority=1002)
    lab.client.iproute.route("add", dst="0.0.0.0/0", gateway="10.1.2.99", oif=index, priority=1002)
    said = complaints(examine(lab.client, client_file(ends)))
    assert any("lineB: the gateway 10.1.2.99 does not answer" in one for one in said)
    assert not any("lineA" in one for one in said)


def test_a_hole_in_the_path_s_mtu(ends: Ends, lab: Lab) -> None:
    ends.server()
    # A veth that receives more than its MTU drops it without a word.
    lab.server.iproute.link("set", index=lab.server.index("ispB"), mtu=1400)
    code, text = examine(lab.client, client_file(ends))
    assert code == 0
    assert "lineB: packets of more than 1404 bytes vanish" in text
    assert "an MTU of 1338" in text
    assert "lineA: packets of 1500 bytes pass" in text


def test_a_clock_that_is_a_year_ahead(ends: Ends, lab: Lab) -> None:
    ends.server()
    with lab.server.entered():
        ntp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    ntp.bind((SERVER_ADDRESS, 123))

    def answer() -> None:
        _asked, who = ntp.recvfrom(48)
        stamp = struct.pack("!II", int(time.time() - YEAR_SECONDS) + UNIX_TO_NTP, 0)
        ntp.sendto(b"\x24\x01" + bytes(38) + stamp, who)

    thread = threading.Thread(target=answer)
    thread.start()
    with ntp:
        said = complaints(examine(lab.client, client_file(ends), "--ntp", SERVER_ADDRESS))
        thread.join()
    assert len(said) == 1
    assert "the clock is 365 days, 0:00:0" in said[0]
    assert "ahead" in said[0]


def test_a_wrong_server_key(ends: Ends, lab: Lab) -> None:
    ends.server()
    other = encode_key(public_key_of(parse_key(generate_key())))
    (said,) = complaints(examine(lab.client, client_file(ends, server_key=other)))
    assert "answers no handshake over any line" in said
    assert "server_key" in said


def test_a_server_that_does_not_run(ends: Ends, lab: Lab) -> None:
    said = complaints(examine(lab.client, client_file(ends)))
    assert any(f"nothing listens at {SERVER_ADDRESS} UDP port {PORT}" in one for one in said)


def test_a_port_in_use(ends: Ends, lab: Lab) -> None:
    with lab.server.entered():
        other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with other:
        other.bind(("0.0.0.0", PORT))
        (said,) = complaints(examine(lab.server, server_file(ends)))
    assert f"UDP port {PORT} cannot be used: Address already in use" in said


def test_a_strict_reverse_path_filter(ends: Ends, lab: Lab) -> None:
    ends.server()
    lab.client.sysctl({"ipv4/conf/lineB/rp_filter": 1})
    lab.client.iproute.flush_rules(priority=1)
    said = complaints(examine(lab.client, client_file(ends)))
    assert any("lineB: rp_filter is strict" in one for one in said)
    assert not any("lineA" in one for one in said)


def test_a_name_that_does_not_resolve(ends: Ends, lab: Lab) -> None:
    file = client_file(ends, server=f"vps.example.invalid:{PORT}")
    impatient = ["env", "RES_OPTIONS=timeout:1 attempts:1"]
    (said,) = complaints(examine(lab.client, file, wrapper=impatient))
    assert "vps.example.invalid does not resolve" in said
    assert "resolv.conf" in said


def test_a_tunnel_address_that_another_device_has(ends: Ends, lab: Lab) -> None:
    ends.server()
    lab.client.iproute.addr("add", index=1, address=CLIENT_INSIDE, prefixlen=32)
    (said,) = complaints(examine(lab.client, client_file(ends)))
    assert f"the tunnel's address {CLIENT_INSIDE} is on lo too" in said


def test_two_links_with_one_address(ends: Ends, lab: Lab) -> None:
    ends.server()
    lab.client.iproute.addr(
        "add", index=lab.client.index("lineB"), address="10.1.1.2", prefixlen=32
    )
    said = complaints(examine(lab.client, client_file(ends)))
    assert any("lineB and lineA have the same address 10.1.1.2" in one for one in said)


def test_a_server_that_is_routed_into_the_tunnel(ends: Ends, lab: Lab) -> None:
    pair = ends.tunnel()
    lab.client.iproute.route(
        "add", dst=f"{SERVER_ADDRESS}/32", gateway=SERVER_INSIDE, oif=lab.client.index("wrr0")
    )
    file = client_file(ends, socket=str(pair.client.socket), dev="wrr0")
    said = complaints(examine(lab.client, file))
    assert any("leads into the tunnel (wrr0)" in one for one in said)


@pytest.mark.parametrize(
    ("when_down", "level"), [("wait", " odd  lineA: "), ("block", " BAD  lineA: ")]
)
def test_a_name_server_that_is_not_behind_the_tunnel(
    ends: Ends, lab: Lab, when_down: str, level: str
) -> None:
    ends.server()
    resolver = ends.home.write("resolv.conf", "nameserver 9.9.9.9\nnameserver 10.1.1.1\n")
    own = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf; exec "$@"']
    file = client_file(ends, route="all", when_down=when_down)
    code, text = examine(lab.client, file, wrapper=[*own, resolver])
    (said,) = [line for line in text.splitlines() if "name server" in line]
    assert said.startswith(level)
    assert "10.1.1.1" in said
    assert code == (when_down == "block")


def test_a_wrong_file(ends: Ends, lab: Lab) -> None:
    (said,) = complaints(examine(lab.client, client_file(ends, lnik="eth0")))
    assert "did you mean link?" in said
