"""Processes on a part of a core, as on a small router: by the kernel's quota of CPU time.

Either version of control groups will do, where its files may be written.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
PERIOD_US: Final = 10_000  # short: a slow processor does not stop for a tenth of a second


@contextlib.contextmanager
def limited(pids: Sequence[int], core_share: float) -> Iterator[None]:
    """Have each process take at most that share of one core until the end; OSError: not here."""
    one = (ROOT / "cpu" / "cpu.cfs_quota_us").exists() or (ROOT / "cpu" / "tasks").exists()
    base, quota = (ROOT / "cpu" if one else ROOT), round(core_share * PERIOD_US)
    with contextlib.ExitStack() as stack:
        for pid in pids:
            group = base / f"wrrtun-bench-{os.getpid()}-{pid}"
            group.mkdir()
            stack.callback(group.rmdir)
            if one:
                (group / "cpu.cfs_period_us").write_text(str(PERIOD_US))
                (group / "cpu.cfs_quota_us").write_text(str(quota))
            else:
                (group / "cpu.max").write_text(f"{quota} {PERIOD_US}")
            (group / "cgroup.procs").write_text(str(pid))
            stack.callback((base / "cgroup.procs").write_text, str(pid))
        yield
