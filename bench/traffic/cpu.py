"""How busy the machine was."""

from collections.abc import Mapping
from pathlib import Path
from typing import Self


class CpuMeter:
    """How much of the machine's CPU time idled while the `with` block ran.

    Inside user-mode Linux the machine is the guest's one CPU. Less than 20 % idle there means that
    the CPU, and not netem, set the figures: they are void.
    """

    ENOUGH_IDLE = 0.2

    def __enter__(self) -> Self:
        self._before = _cpu_ticks()
        return self

    def __exit__(self, *_error: object) -> None:
        after = _cpu_ticks()
        ticks = {name: after[name] - self._before[name] for name in after}
        self.idle_share = (ticks["idle"] + ticks["iowait"]) / max(sum(ticks.values()), 1)


def _cpu_ticks() -> Mapping[str, int]:
    """Clock ticks of all CPUs since boot, by what they were spent on (proc(5))."""
    names = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal")
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    return dict(zip(names, map(int, fields), strict=False))
