"""A program that makes or takes traffic: started in a namespace, waited for, ended."""

import contextlib
import itertools
import json
import re
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from bench.lab.ending import Held
from bench.lab.namespace import Namespace

GRACE_SECONDS: Final = 15.0  # beyond a measurement's own time, for connecting and for the last data
LISTENING: Final = {"tcp": "0A", "udp": "07"}  # states in /proc/net/{tcp,udp}

_ports: Final = itertools.count(5201)  # one per measurement: no waiting for the last one's end


class TrafficError(Exception):
    """A program that makes traffic did not do so; the message says what it said."""


def next_port() -> int:
    """Give a port that nothing of this process has used yet."""
    return next(_ports)


class Program(Held):
    """A running program whose output is read at its end. The `with` block ends it."""

    def __init__(self, namespace: Namespace, argv: Sequence[str]) -> None:
        self._name = Path(argv[0]).name if "-m" not in argv else argv[argv.index("-m") + 1]
        self._process = namespace.popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    @property
    def running(self) -> bool:
        """Tell whether it has not ended yet."""
        return self._process.poll() is None

    def wait_for_listener(self, port: int, kind: str = "tcp") -> None:
        """Wait until somebody listens on a port in the namespace that the program runs in."""
        listening = re.compile(rf":{port:04X} \S+ {LISTENING[kind]} ")
        deadline = time.monotonic() + GRACE_SECONDS
        while self.running and time.monotonic() < deadline:
            tables = (Path(f"/proc/{self._process.pid}/net", kind + six) for six in ("", "6"))
            if any(listening.search(table.read_text()) for table in tables):
                return
            time.sleep(0.01)
        said = "" if self.running else f": {self.output(0.0)[-500:]}"
        raise TrafficError(f"{self._name} does not listen{said}")

    def output(self, seconds: float) -> str:
        """Wait for the end and give what it wrote; TrafficError when it is late by GRACE_SECONDS.

        The program is dead when this returns, or raises.
        """
        try:
            out, _ = self._process.communicate(timeout=seconds + GRACE_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise TrafficError(f"{self._name} has not ended after {error.timeout:.0f} s") from error
        finally:
            self.close()
        return str(out)

    def document(self, seconds: float) -> dict[str, Any]:
        """As `output`, for a program that writes one JSON object as its last line."""
        out = self.output(seconds)
        try:
            document = json.loads(out.strip().rpartition("\n")[2])
        except json.JSONDecodeError:
            document = None
        if not isinstance(document, dict):
            raise TrafficError(f"{self._name}: {out[-500:]}")
        return document

    def close(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def listening(
    namespace: Namespace, argv: Sequence[str], port: int, kind: str = "tcp"
) -> Iterator[Program]:
    """Run a program that serves at a port; the `with` block begins when it does, and ends it."""
    with Program(namespace, argv) as program:
        program.wait_for_listener(port, kind)
        yield program
