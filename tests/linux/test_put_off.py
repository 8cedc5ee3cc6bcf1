"""Parts of a package without the package."""

import subprocess
import sys

PARTS = """
import sys
from wrrtun.linux import netlink
assert "pyroute2.ndb" not in sys.modules, "what nobody asked for was imported"
"""
WHOLE = """
from wrrtun.linux import netlink
from pyroute2 import IPRoute, netns
import pyroute2
assert pyroute2.IPRoute is IPRoute
assert pyroute2.netlink.rtnl.ifinfmsg.ifinfmsg is netlink.ifinfmsg
try:
    pyroute2.nothing
except AttributeError:
    print("whole")
"""


def run(code: str) -> str:
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_netlink_is_had_without_all_that_pyroute2_imports() -> None:
    run(PARTS)


def test_who_asks_for_the_package_gets_all_of_it() -> None:
    assert run(WHOLE) == "whole\n"
