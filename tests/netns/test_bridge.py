"""Two sites as one Ethernet: machines behind bridges that know nothing of a tunnel.

one --- client, br0 === two lines === server, br0 --- two
"""

import contextlib
import json
import sys
from collections.abc import Iterator

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.tunnel import PORT
from tests.netns.ends import Ends, eventually, links_up

pytestmark = pytest.mark.root

NETWORK = "192.168.50."
NETWORK6 = "fd50::"
SIZE = 3_000_000
TAKE = f"""
import socket
with socket.create_server(("::", 7000), family=socket.AF_INET6, dualstack_ipv6=True) as server:
    while True:
        with server.accept()[0] as one:
            size = 0
            while size < {SIZE}:
                size += len(one.recv(1 << 16))
            one.sendall(b"all" + bytes({SIZE}))
"""
GIVE = f"""
import socket, sys
with socket.create_connection((sys.argv[1], 7000), 20) as one:
    one.sendall(bytes({SIZE}))
    size = 0
    while part := one.recv(1 << 16):
        size += len(part)
print(size)
"""


@pytest.fixture
def hosts(lab: Lab) -> Iterator[tuple[Namespace, Namespace]]:
    """A machine of the usual MTU on a bridge at each end."""
    with contextlib.ExitStack() as stack:
        made = []
        for number, site in ((1, lab.client), (2, lab.server)):
            host = stack.enter_context(Namespace.create("host"))
            host.sysctl({"ipv6/conf/default/accept_dad": 0})
            peer = {"ifname": "eth0", "net_ns_fd": host.name}
            site.iproute.link("add", ifname="lan0", kind="veth", peer=peer)
            site.iproute.link("add", ifname="br0", kind="bridge")
            bridge = site.index("br0")
            site.iproute.link("set", index=site.index("lan0"), master=bridge, state="up")
            site.iproute.link("set", index=bridge, state="up")
            index = host.index("eth0")
            host.iproute.link("set", index=index, state="up")
            for network, prefix in ((NETWORK, 24), (NETWORK6, 64)):
                host.iproute.addr(
                    "add", index=index, address=f"{network}{number}", prefixlen=prefix
                )
            made.append(host)
        yield made[0], made[1]


def test_machines_of_the_usual_mtu_reach_each_other_by_tcp(
    ends: Ends, lab: Lab, hosts: tuple[Namespace, Namespace]
) -> None:
    one, two = hosts
    two.popen([sys.executable, "-c", TAKE])
    peer = f'[[peer]]\nname = "cabin"\npublic_key = "{ends.home.public_key}"\nbridge = "br0"\n'
    server = ends.vps.write("server.toml", f'listen = {PORT}\nkey_file = "key"\n{peer}')
    values = {
        "server": f"{SERVER_ADDRESS}:{PORT}",
        "server_key": ends.vps.public_key,
        "link": ["lineA", "lineB"],
        "bridge": "br0",
    }
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    client = ends.home.write("client.toml", text)
    daemons = (
        ends.start(lab.server, ends.vps, "server", ["--config", server]),
        ends.start(lab.client, ends.home, "client", ["--config", client]),
    )
    eventually(lambda: all(map(links_up, daemons)))
    eventually(lambda: one.run(["ping", "-c1", "-W1", f"{NETWORK}2"], 5.0).returncode == 0)
    for address in (f"{NETWORK}2", f"{NETWORK6}2"):
        done = one.run([sys.executable, "-c", GIVE, address], 30.0)
        assert done.stdout == f"{SIZE + 3}\n", done.stderr
    for daemon in daemons:
        assert "frame_too_big" not in daemon.status().peers[0].drops
        assert daemon.stop() == 0
