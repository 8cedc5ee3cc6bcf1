"""A long-running program under observation: when it is ready, what it uses, how it ends."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from bench.lab.ending import Held, end
from bench.lab.namespace import Namespace

STOP_SECONDS: Final = 5.0
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


class ProcessError(Exception):
    """The program did not become ready, or did not end; the message has its last words."""


def missing(program: str) -> str | None:
    """Say, in a short clause, that a program is not there; None when it is."""
    return None if shutil.which(program) else f"no {program} on PATH"


class Process(Held):
    """A program started in a namespace, its output in a file. The `with` block ends it."""

    def __init__(self, namespace: Namespace, argv: Sequence[str], log: Path) -> None:
        self.namespace = namespace
        self.stop_seconds = STOP_SECONDS
        module = argv.index("-m") + 1 if "-m" in argv else 0
        self.name = " ".join(argv[module : module + 2]) if module else Path(argv[0]).name
        self._log = log
        with log.open("wb") as output:
            self._process = namespace.popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )

    def close(self) -> None:
        """Stop it, whatever its exit code."""
        self.stop()

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._process.pid

    def output(self) -> str:
        """What it wrote so far, to stdout and stderr."""
        return self._log.read_text(errors="replace")

    def wait_until(
        self, ready: Callable[[], bool], what: str, timeout_seconds: float, poll_seconds: float
    ) -> None:
        """Wait until `ready()`; ProcessError when the program ends before, or time runs out."""
        deadline = time.monotonic() + timeout_seconds
        while not ready():
            if self._process.poll() is not None:
                raise ProcessError(f"{self.name} ended, it said:\n{self.output()[-2000:]}")
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"{self.name} is not {what} after {timeout_seconds:.0f} s, it said:\n"
                    f"{self.output()[-2000:]}"
                )
            time.sleep(poll_seconds)

    def cpu_seconds(self) -> float:
        """CPU time it has used, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Physical memory it holds now (RSS)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal, wait, return the exit code (negative: killed by that signal).

        ProcessError when it still runs `stop_seconds` later; it is killed then.
        """
        if not end(self._process, self.stop_seconds, signal_number):
            raise ProcessError(
                f"{self.name} did not end within {self.stop_seconds:.0f} s of signal "
                f"{signal_number}, it said:\n{self.output()[-2000:]}"
            )
        returncode: int = self._process.returncode
        return returncode
