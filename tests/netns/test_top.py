"""`wrrtun top` in a real terminal, as tmux has one: what it shows, and what it leaves behind."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from bench.lab.topology import Lab
from bench.traffic import Load, throughput
from bench.tunnel import SERVER_INSIDE
from tests.netns.ends import Ends, eventually

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux"),
]


class Terminal:
    """A terminal of tmux's with a shell in it; its server is this test's own."""

    def __init__(self, name: str, columns: int, rows: int) -> None:
        self._name = name
        shell = ["-x", str(columns), "-y", str(rows), "env PS1=ready: sh"]
        self._tmux("-f", "/dev/null", "new-session", "-d", *shell)

    def _tmux(self, *words: str) -> str:
        settings = {name: value for name, value in os.environ.items() if name != "TMUX"}
        argv = ["tmux", "-u", "-L", self._name, *words]
        run = subprocess.run(
            argv, env=settings | {"LC_ALL": "C.UTF-8"}, capture_output=True, text=True, check=True
        )
        return run.stdout

    def type(self, *keys: str) -> None:
        """Press keys; text is typed as it is."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        """Make the window as large as that."""
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self) -> str:
        """Return what is to be seen."""
        return self._tmux("capture-pane", "-p")

    def close(self) -> None:
        """End the shell and all that runs in it."""
        self._tmux("kill-server")


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    with contextlib.closing(Terminal(f"wrrtun-test-{os.getpid()}", 110, 24)) as made:
        yield made


def row(screen: str, name: str) -> str:
    """Return the line of the screen that has a link's name."""
    return next((line for line in screen.splitlines() if name in line), "")


def test_top_follows_the_links_and_leaves_the_terminal_as_it_was(
    ends: Ends, lab: Lab, terminal: Terminal
) -> None:
    pair = ends.tunnel()
    command = f"{sys.executable} -m wrrtun top --socket {pair.client.socket}"
    terminal.type(command, "Enter")
    eventually(lambda: "Ctrl-C ends" in terminal.screen())
    throughput(lab.client, lab.server, SERVER_INSIDE, Load(3.0))
    eventually(lambda: "█" in terminal.screen())
    screen = terminal.screen()
    assert screen.startswith("wrrtun ")
    assert "server  wrr0  session" in screen
    for name in ("lineA", "lineB"):
        assert {"up", "lossy"} & set(row(screen, name).split())  # a busy machine loses some
        assert "ms" in row(screen, name)
    assert "ready:" not in screen

    terminal.resize(80, 24)
    eventually(lambda: "rtt" in row(terminal.screen(), "lost in"))  # drawn again, to fit
    assert "…" not in terminal.screen()
    lab.client.iproute.link("set", index=lab.client.index("lineB"), state="down")
    eventually(lambda: "down" in row(terminal.screen(), "lineB").split())
    assert "down" not in row(terminal.screen(), "lineA").split()

    pair.client.stop()
    eventually(lambda: "no daemon answers at" in " ".join(terminal.screen().split()))
    terminal.type("C-c")
    eventually(lambda: terminal.screen().rstrip().endswith("ready:"))
    terminal.type("echo code $?", "Enter")
    eventually(lambda: "code 0" in terminal.screen().splitlines())
    # The screen of before is back, and top has added nothing to it.
    left = "".join(terminal.screen().splitlines())
    assert left in f"ready:{command}ready:echo code $?code 0ready:"
