"""Two daemons of different protocol versions: no session, and a line in each log that says why."""

import sys

import pytest

from bench.lab.topology import SERVER_ADDRESS
from bench.tunnel import PORT
from tests.netns.ends import Ends, eventually

pytestmark = pytest.mark.root

# A client of the next version: the number in INIT and in the prologue is another one.
NEXT = """
import sys
from wrrtun.core import handshake, messages
messages.PROTOCOL_VERSION = handshake.PROTOCOL_VERSION = 99
messages.Init.__init__.__defaults__ = (99,)
from wrrtun.__main__ import main
sys.exit(main())
"""


def test_both_ends_say_that_their_versions_differ(ends: Ends) -> None:
    server = ends.server()
    log = ends.home.directory / "log"
    words = ["client", "--key-file", str(ends.home.key_file), "--link", "lineA", "--link", "lineB"]
    words += ["--server", f"{SERVER_ADDRESS}:{PORT}", "--server-key", ends.vps.public_key]
    words += ["--dev", "wrr0", "--socket", str(ends.home.directory / "socket")]
    with log.open("wb") as output:
        ends.lab.client.popen([sys.executable, "-c", NEXT, *words], stderr=output)
    said = "WARNING the other end speaks another version of the protocol: update both ends"
    eventually(lambda: said in server.output())
    eventually(lambda: said in log.read_text())
    assert "theirs=99" in server.output()
    assert f"{said} peer=server ours=" in log.read_text()
    assert log.read_text().count(said) == 1
    assert "session up" not in server.output()
