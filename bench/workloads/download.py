"""A file by curl from a web server: the story's wget."""

import hashlib
import itertools
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.contenders import Way
from bench.processes import missing
from bench.programs import command, url
from bench.programs.web_server import content
from bench.traffic import Program, TrafficError, listening, next_port
from bench.workloads import Direction, Outcome, transfer

SIZE_BYTES: Final = 10**12  # never all of it
INTERVAL_SECONDS: Final = 0.5
OUT_OF_TIME: Final = 28  # curl's exit code
SAID: Final = (
    '{"bytes": %{size_download}, "seconds": %{time_total}, "code": %{exitcode}, '
    '"first_byte_seconds": %{time_starttransfer}}'
)


@dataclass(frozen=True)
class Download:
    """As much of a large file as comes in time; what came is compared with what was sent."""

    name: str = "download"
    about: str = "a file by curl, as wget in the story"
    direction: Direction = "down"
    pinged: bool = True
    congestion: str = "cubic"

    def available(self) -> str | None:
        return missing("curl")

    def run(self, way: Way, seconds: float, seed: int) -> Outcome:
        del seed
        port = next_port()
        serve = command("web_server", way.address, str(port), "--congestion", self.congestion)
        with tempfile.TemporaryDirectory("-download") as room:
            file = Path(room, "file")
            file.touch()
            fetch = ["curl", "--silent", "--max-time", f"{seconds:g}", "--write-out", SAID]
            fetch += ["--interface", f"if!{way.device}"] if way.device is not None else []
            fetch += ["--output", str(file), url(way.address, port, SIZE_BYTES)]
            with (
                listening(way.server, [*way.wrap, *serve], port),
                Program(way.client, [*way.wrap, *fetch]) as client,
            ):
                sizes = _watch(client, file)
                said = client.document(seconds)
            if said["code"] != OUT_OF_TIME or said["bytes"] == 0:
                raise TrafficError(f"curl: exit code {said['code']} after {said['bytes']} bytes")
            _compare(file)
        growth = [after - before for before, after in itertools.pairwise([0, *sizes])]
        first = {"first_byte_seconds": said["first_byte_seconds"]}
        return transfer(said["bytes"], said["seconds"], growth, INTERVAL_SECONDS, first)


def _watch(program: Program, file: Path) -> list[int]:
    """Note the file's size at the end of every interval, until the program ends."""
    sizes: list[int] = []
    due = time.monotonic() + INTERVAL_SECONDS
    while program.running:
        time.sleep(min(max(due - time.monotonic(), 0.0), 0.1))
        if time.monotonic() >= due:
            sizes.append(os.stat(file).st_size)
            due += INTERVAL_SECONDS
    return sizes


def _compare(file: Path) -> None:
    """Raise TrafficError unless the file begins what the server sends."""
    expected, found = hashlib.sha256(), hashlib.sha256()
    with file.open("rb") as got:
        for piece in content(file.stat().st_size):
            expected.update(piece)
            found.update(got.read(len(piece)))
    if expected.digest() != found.digest():
        raise TrafficError("curl got something else than was sent")
