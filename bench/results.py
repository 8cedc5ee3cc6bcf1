"""What a run leaves behind: a folder with one JSON document per line, each a `Result`.

The first line of a folder says where and of what it was measured (`Environment`). A folder is used
again by giving it again: rows that are there and did not fail are not measured a second time.
"""

import datetime
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Final

import msgspec

from bench.workloads import Outcome

FILE: Final = "results.jsonl"
HELD_SECONDS: Final = 0.5
_REPOSITORY: Final = Path(__file__).parents[1]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured: names of a profile, a contender and a workload, and which run of it."""

    profile: str
    contender: str
    traffic: str
    run: int
    seconds: float


class Samples(msgspec.Struct, frozen=True, kw_only=True):
    """A line's bytes and packets, both directions, in each `interval_seconds`: IP packets' bytes.

    Counted at the client's device: down after netem, up before it.
    """

    line: str
    interval_seconds: float
    down_bytes: tuple[int, ...]
    up_bytes: tuple[int, ...]
    down_packets: int
    up_packets: int


class Result(msgspec.Struct, frozen=True, kw_only=True, tag="result"):
    """One row, measured; or `error` says why it was not.

    `held_frames` is how many frames waited for order at the client, every HELD_SECONDS (None: it
    did not say). `cpu_seconds` and `memory_bytes` (the most that was seen) are those of the
    contender's processes during the transfer. `idle_share` is how much of the CPU idled; little
    means that the CPU set the figures. `void` says why they must not be used.
    """

    row: Row
    began: str
    error: str | None = None
    void: str | None = None
    outcome: Outcome | None = None
    lines: tuple[Samples, ...] = ()
    held_frames: tuple[int | None, ...] = ()
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    idle_share: float | None = None


class Environment(msgspec.Struct, frozen=True, kw_only=True, tag="environment"):
    """Where, when and of what a folder's rows were measured."""

    began: str
    host: str
    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    clock: str
    python: str
    versions: dict[str, str]
    commit: str
    seed: int


class Proof(msgspec.Struct, frozen=True, kw_only=True, tag="proof"):
    """What a profile's lines were found to carry, against what netem was told.

    `measured` and `told` are bits per second of IP packets, by line and direction; `void` says what
    is wrong.
    """

    profile: str
    began: str
    measured: dict[str, float]
    told: dict[str, float]
    round_trips_seconds: dict[str, float]
    largest_packet_bytes: float
    void: str | None = None


class Costs(msgspec.Struct, frozen=True, kw_only=True, tag="costs"):
    """What micro.py found: nanoseconds a datagram by cipher and step, calls a megabyte by name."""

    began: str
    nanoseconds: dict[str, dict[str, float]]
    calls_per_megabyte: dict[str, float]


Record = Environment | Proof | Result | Costs


def now() -> str:
    """Date and time, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def environment(seed: int) -> Environment:
    """Describe this machine and this checkout."""
    return Environment(
        began=now(),
        host=platform.node(),
        cpu=_first_of("/proc/cpuinfo", "model name"),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        clock=_read("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        python=platform.python_version(),
        versions={
            name: metadata.version(name)
            for name in ("cryptography", "numpy", "uvloop", "pyroute2", "construct")
        }
        | {name: _said_by(argv) for name, argv in PROGRAMS.items()},
        commit=_commit(),
        seed=seed,
    )


PROGRAMS: Final = {
    "iperf3": ("iperf3", "--version"),
    "openvpn": ("openvpn", "--version"),
    "user-mode-linux": ("linux.uml", "--version"),
}


def _said_by(argv: tuple[str, ...]) -> str:
    """First line of what a program says of its version; "none" when there is none."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    return next(iter(done.stdout.splitlines()), "").strip()[:60]


def _commit() -> str:
    """Commit of this checkout, with a "+" when files differ from it; "unknown" without git."""

    def git(*words: str) -> str:
        argv = ("git", "-C", str(_REPOSITORY), *words)
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _first_of(path: str, key: str) -> str:
    for line in _read(path).splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return "unknown"


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return "unknown"


class Folder:
    """A results folder: append records, read them back."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path / FILE

    def add(self, record: Record) -> None:
        """Append a record."""
        with self._file.open("ab") as file:
            file.write(msgspec.json.encode(record) + b"\n")

    def records(self) -> list[Record]:
        """Read all records; a last line that was cut off by a crash is left out."""
        if not self._file.exists():
            return []
        lines = self._file.read_bytes().split(b"\n")
        return [decode(line) for line in lines[:-1]]

    def results(self) -> list[Result]:
        """The last result of each row, in the order of first measurement."""
        last: dict[Row, Result] = {}
        for record in self.records():
            if isinstance(record, Result):
                last[record.row] = record
        return list(last.values())


def decode(line: bytes) -> Record:
    """Read one record."""
    record: Record = msgspec.json.decode(line, type=Record)
    return record
