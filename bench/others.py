"""How long was a lab kept from its CPU, by other work or by the hypervisor: seen from the host.

Inside user-mode Linux nobody can tell: the guest's clock runs on while something else has its CPU,
and netem is late. So whoever started the lab looks at it from outside, row by row: how long its
processes were ready to run and did not (the scheduler's own count, proc(5)), and what was stolen.
Other work that only takes what the lab leaves does no harm and is not counted.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """Seconds of waiting by process of the lab, and seconds stolen by CPU, at a time."""

    at: float
    waited_seconds: dict[int, float]
    stolen_seconds: dict[int, float]


class Others:
    """Watches from the last `look` to the next one."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._last = self._moment()

    def look(self) -> float | None:
        """Share of the time since the last look in which a lab was kept from its CPU.

        None when it is not pinned to one: its processes then wait for each other, too.
        """
        before, after = self._last, self._moment()
        self._last = after
        cpu = _pinned_to(list(after.waited_seconds))
        seconds = after.at - before.at
        if cpu is None or seconds <= 0:
            return None
        waited = sum(
            total - before.waited_seconds.get(pid, 0.0)
            for pid, total in after.waited_seconds.items()
        )
        stolen = after.stolen_seconds[cpu] - before.stolen_seconds[cpu]
        return (waited + stolen) / seconds

    def _moment(self) -> Moment:
        waited = {pid: _waited_seconds(pid) for pid in _family(self._pid)}
        return Moment(time.monotonic(), waited, _stolen_seconds())


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
    """How long a process was ready to run and did not."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _pinned_to(family: list[int]) -> int | None:
    """The one CPU that some process of a family is bound to."""
    for pid in family:
        try:
            allowed = os.sched_getaffinity(pid)
        except OSError:
            continue
        if len(allowed) == 1 and os.cpu_count() != 1:
            return next(iter(allowed))
    return None
