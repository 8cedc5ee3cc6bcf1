"""How long was a lab kept from its CPU, by other work or by the hypervisor: seen from the host.

Inside user-mode Linux nobody can tell: the guest's clock runs on while something else has its CPU,
and netem is late. So whoever started the lab looks at it from outside, row by row: how long its
processes were ready to run and did not (the scheduler's own count, proc(5)), and what was stolen.
Other work that only takes what the lab leaves does no harm and is not counted.
"""

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.lab.ending import Held

SAMPLE_SECONDS: Final = 1.0
# A guest's processes hand its CPU over to each other tens of thousands of times a second, and wait
# 0.7 to 1.5 us each time, with nobody else there.
TURN_SECONDS: Final = 2e-6
TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """The lab's pinned processes and their CPUs, how long each has waited, what was stolen of each.

    At a time; in seconds.
    """

    at: float
    pinned: dict[int, int]
    waited_seconds: dict[int, float]
    stolen_seconds: dict[int, float]


class Others(Held):
    """Watches from the last `look` to the next one, in a thread of its own until it is closed.

    A process takes its count along when it ends, so the thread looks every SAMPLE_SECONDS.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = _moment(pid)
        self._looked_at = self._last.at
        self._kept_seconds = 0.0
        self._pinned = False
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="others")
        self._thread.start()

    def close(self) -> None:
        """Look no longer."""
        self._ended.set()
        self._thread.join()

    def look(self) -> float | None:
        """Share of the time since the last look in which a lab was kept from its CPU.

        None when nothing of it is pinned to one: what is not waits for its own kind, too.
        """
        self._sample()
        with self._lock:
            seconds = self._last.at - self._looked_at
            kept, pinned = self._kept_seconds, self._pinned
            self._looked_at, self._kept_seconds, self._pinned = self._last.at, 0.0, False
        return kept / seconds if pinned and seconds > 0 else None

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLE_SECONDS):
            self._sample()

    def _sample(self) -> None:
        with self._lock:
            before, after = self._last, _moment(self._pid)
            self._last = after
            self._pinned |= bool(after.pinned)
            for cpu in set(after.pinned.values()):
                self._kept_seconds += after.stolen_seconds[cpu] - before.stolen_seconds[cpu]
            for pid, total in after.waited_seconds.items():
                self._kept_seconds += max(total - before.waited_seconds.get(pid, 0.0), 0.0)


def _moment(pid: int) -> Moment:
    pinned = {each: cpu for each in _family(pid) if (cpu := _pinned_to(each)) is not None}
    waited = {each: _waited_seconds(each) for each in pinned}
    return Moment(time.monotonic(), pinned, waited, _stolen_seconds())


def _stolen_seconds() -> dict[int, float]:
    """Time that was taken from each CPU of this host since boot."""
    stolen = {}
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name.startswith("cpu") and name != "cpu":
            stolen[int(name[3:])] = int(ticks[7]) / TICKS_PER_SECOND
    return stolen


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on; empty when the process has gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    family, new = [pid], [pid]
    while new:
        new = [child for parent in new for child in children.get(parent, [])]
        family += new
    return family


def _waited_seconds(pid: int) -> float:
    """How long a process was ready to run and did not, beyond its turns among its own family."""
    try:
        _ran, waited, slices = Path(f"/proc/{pid}/schedstat").read_text().split()
    except (OSError, ValueError):
        return 0.0
    return int(waited) / 1e9 - int(slices) * TURN_SECONDS


def _pinned_to(pid: int) -> int | None:
    """The one CPU that a process is bound to."""
    try:
        allowed = os.sched_getaffinity(pid)
    except OSError:
        return None
    return next(iter(allowed)) if len(allowed) == 1 and os.cpu_count() != 1 else None
