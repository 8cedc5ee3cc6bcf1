"""scripts/install on a machine of its own: /etc, /opt, /usr/local and /run are this test's.

Python's environment is a stand-in, so that nothing is fetched; all else is the script's own work.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from wrrtun import __version__

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
OWN = """
cp -a /etc "$0/etc" && rm -rf "$0/etc/wrrtun"
for place in etc opt usr/local; do
  mkdir -p "$0/$place" && mount --bind "$0/$place" "/$place" || exit 1
done
mount -t tmpfs none /run
export PATH="$0/stub:/usr/local/bin:$PATH"
exec "$@"
"""
# The first name that the script looks for; it makes environments whose pip does nothing.
STUB = f"""#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$3/bin"
printf '#!/bin/sh\\n[ "$2" != pip ] || exit 0\\nexec {sys.executable} "$@"\\n' >"$3/bin/python"
printf '#!%s/bin/python\\nfrom wrrtun.cli import main\\nmain()\\n' "$3" >"$3/bin/wrrtun"
chmod 755 "$3/bin/python" "$3/bin/wrrtun"
"""
STORY = """set -e
scripts/install
wrrtun --version
wrrtun server init --public 203.0.113.10
stat -c '%U %a %n' /etc/wrrtun /etc/wrrtun/server.*
ls /usr/local/lib/systemd/system /usr/local/share/man/man?
grep ExecStart= /usr/local/lib/systemd/system/wrrtun-client.service
scripts/install     # an upgrade
wrrtun check-config
scripts/install --remove
echo "left: $(find /opt /usr/local -type f) $(ls /etc/wrrtun)"
"""


def test_it_installs_upgrades_and_removes_and_leaves_the_configuration(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "python3.14").write_text(STUB)
    (stub / "python3.14").chmod(0o755)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", OWN, str(tmp_path), "sh", "-c", STORY],
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout
    assert done.returncode == 0, said + done.stderr
    assert said.count(f"Installed wrrtun {__version__} in /opt/wrrtun.") == 2
    for owned in ("700 /etc/wrrtun", "600 /etc/wrrtun/server.key", "600 /etc/wrrtun/server.toml"):
        assert f"wrrtun {owned}\n" in said
    for file in ("wrrtun-client.service", "wrrtun-server.service", "wrrtun.8", "wrrtun.toml.5"):
        assert f"{file}\n" in said
    assert "ExecStart=/opt/wrrtun/bin/wrrtun client\n" in said
    assert "no mistake found" in said
    assert said.endswith("left:  server.key\nserver.toml\n")
