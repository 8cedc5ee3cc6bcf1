"""The systemd unit gives little away, and the daemon can do its work with what it leaves."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bench.lab.namespace import Namespace
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.traffic import ping
from bench.tunnel import CLIENT_INSIDE, PORT, SERVER_INSIDE
from tests.netns.ends import Ends, eventually
from wrrtun.core.errors import WrrtunError
from wrrtun.linux.control_socket import fetch
from wrrtun.status import Snapshot

TEMPLATE = Path(__file__).parents[2] / "packaging" / "wrrtun.service.in"
USER = 65534
# udev opens the device to everybody; where no udev runs, a node of our own stands for it.
WITH_TUN = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/net/tun; exec "$@"']
RIGHTS = [
    *("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs"),
    *("--inh-caps=-all,+net_admin", "--ambient-caps=-all,+net_admin"),
    "--bounding-set=-all,+net_admin",
]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
@pytest.mark.parametrize("role", ["client", "server"])
def test_the_unit_s_exposure_is_2_at_most(tmp_path: Path, role: str) -> None:
    unit = tmp_path / f"wrrtun-{role}.service"
    text = TEMPLATE.read_text().replace("@ROLE@", role).replace("@PREFIX@", "/opt/wrrtun")
    unit.write_text(text)
    analyze = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)]
    done = subprocess.run(analyze, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.root
def test_the_daemons_do_all_their_work_as_a_user_with_one_capability(ends: Ends, lab: Lab) -> None:
    ends.room.chmod(0o755)
    tun = ends.room / "tun"
    os.mknod(tun, 0o600 | stat.S_IFCHR, os.stat("/dev/net/tun").st_rdev)
    tun.chmod(0o666)
    state = ends.room / "state"
    state.mkdir()
    for path in ends.room.rglob("*"):
        os.chown(path, USER, USER)

    def start(namespace: Namespace, directory: Path, *words: str) -> Path:
        control = directory / "socket"
        common = ["--key-file", str(directory / "key"), "--socket", str(control)]
        common += ["--dev", "wrr0", "--state-dir", str(state), "--nat"]
        namespace.popen(
            [*WITH_TUN, str(tun), *RIGHTS, sys.executable, "-m", "wrrtun", *words, *common]
        )
        return control

    def is_up(control: Path) -> bool:
        try:
            (peer,) = Snapshot.from_json(fetch(control, "status", 5.0)).peers
        except (OSError, WrrtunError):
            return False
        return peer.session.up and {link.state for link in peer.links} == {"up"}

    server = start(
        lab.server,
        ends.vps.directory,
        *("server", "--listen", str(PORT), "--peer", f"home={ends.home.public_key}"),
        *("--address", f"{SERVER_INSIDE}/24"),
    )
    eventually(server.exists)
    client = start(
        lab.client,
        ends.home.directory,
        *("client", "--server", f"{SERVER_ADDRESS}:{PORT}", "--server-key", ends.vps.public_key),
        *("--address", f"{CLIENT_INSIDE}/24", "--link", "lineA", "--link", "lineB"),
        *("--route", "all"),
    )
    eventually(lambda: is_up(client) and is_up(server))
    assert ping(lab.client, SERVER_INSIDE, 0.5).lost == 0.0
    # What is not on the way to the server itself goes through the tunnel.
    (route,) = lab.client.iproute.route("get", dst="203.0.113.77")
    assert route.get_attr("RTA_OIF") == lab.client.index("wrr0")
