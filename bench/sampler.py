"""What the lines carry while a transfer runs, and what the contender's processes use."""

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TextIO

from bench.contenders import Way
from bench.lab.topology import Lab, LabLine
from bench.results import HELD_SECONDS, Samples
from wrrtun.core.errors import WrrtunError

INTERVAL_SECONDS: Final = 0.1
ETHERNET_BYTES: Final = 14
HELD_EVERY: Final = round(HELD_SECONDS / INTERVAL_SECONDS)


@dataclass(frozen=True)
class Counters:
    """A device's bytes (of IP packets) and packets since it was made; down is what it received."""

    down_bytes: int
    down_packets: int
    up_bytes: int
    up_packets: int


class DeviceTable:
    """/proc/net/dev of a lab's client: one cheap read for all of its devices.

    The file stays open: it shows the namespace that it was opened in. Netlink would take
    milliseconds of a guest's CPU each time.
    """

    def __init__(self, lab: Lab) -> None:
        with lab.client.entered():
            self._file: TextIO = open("/proc/thread-self/net/dev")  # noqa: SIM115

    def read(self) -> dict[str, Counters]:
        """Counters by device."""
        self._file.seek(0)
        table = {}
        for line in self._file.read().splitlines()[2:]:
            device, _, numbers = line.partition(":")
            fields = [int(number) for number in numbers.split()]
            down_packets, up_packets = fields[1], fields[9]
            table[device.strip()] = Counters(
                fields[0] - ETHERNET_BYTES * down_packets,
                down_packets,
                fields[8] - ETHERNET_BYTES * up_packets,
                up_packets,
            )
        return table

    def close(self) -> None:
        """Let the file go."""
        self._file.close()


class Sampler:
    """Reads the lines' counters every INTERVAL_SECONDS while its `sampling` block runs."""

    def __init__(self, lab: Lab, names: Sequence[str], way: Way) -> None:
        self._table = DeviceTable(lab)
        self._lines: dict[str, LabLine] = dict(zip(names, lab.lines, strict=True))
        self._processes = way.processes
        self._held_frames = way.held_frames
        self.held_frames: list[int | None] = []
        self._seen: list[dict[str, Counters]] = []
        self._ended = threading.Event()
        self.memory_bytes: int | None = None

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample until the end of the block."""
        thread = threading.Thread(target=self._sample, name="sampler")
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()
            self._table.close()

    def _sample(self) -> None:
        due = time.monotonic()
        while True:
            self._seen.append(self._table.read())
            if self._held_frames is not None and len(self._seen) % HELD_EVERY == 0:
                self._look_at_held(self._held_frames)
            if len(self._seen) % 10 == 0:
                self._look_at_memory()
            due += INTERVAL_SECONDS
            if self._ended.wait(max(due - time.monotonic(), 0.0)):
                self._look_at_memory()
                return

    def _look_at_held(self, ask: Callable[[], int]) -> None:
        try:
            self.held_frames.append(ask())
        except (OSError, WrrtunError):
            self.held_frames.append(None)

    def _look_at_memory(self) -> None:
        with contextlib.suppress(OSError):  # a process that ended: its row will say why
            held = sum(process.resident_bytes() for process in self._processes)
            if self._processes:
                self.memory_bytes = max(self.memory_bytes or 0, held)

    def samples(self) -> tuple[Samples, ...]:
        """What each line carried, interval by interval."""
        result = []
        for name, line in self._lines.items():
            seen = [each[line.device] for each in self._seen]
            pairs = list(itertools.pairwise(seen))
            result.append(
                Samples(
                    line=name,
                    interval_seconds=INTERVAL_SECONDS,
                    down_bytes=tuple(b.down_bytes - a.down_bytes for a, b in pairs),
                    up_bytes=tuple(b.up_bytes - a.up_bytes for a, b in pairs),
                    down_packets=seen[-1].down_packets - seen[0].down_packets,
                    up_packets=seen[-1].up_packets - seen[0].up_packets,
                )
            )
        return tuple(result)
