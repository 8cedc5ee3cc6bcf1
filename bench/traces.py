"""Lines whose rate and delay change all the time: from a seeded generator, read from small files.

The files in the folder `trace` are what `python -m bench.traces` writes, so everybody replays the
same lines. They are not recordings: a recording belongs to one place and one hour. The generators
keep what makes such lines hard, in round figures that others have reported of them:

- Starlink-like: the satellite changes every 15 s, and delay and rate step with it; between, the
  delay wanders a little each second.
- LTE-like: another rate each second, between 2 and 12 Mbit/s, mostly near the last one, at times
  far from it; the delay grows as the rate falls.
"""

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "trace"
SECONDS: Final = 60
SEED: Final = 20261123


@dataclass(frozen=True, slots=True)
class Row:
    """What a direction is like from `at_seconds` on; the delay is one way."""

    at_seconds: float
    rate_bits_per_second: float
    delay_seconds: float


def starlink(seed: int) -> Iterator[Row]:
    """Make a line that steps every 15 s and wanders between."""
    chance = random.Random(seed)
    rate = delay = 0.0
    for second in range(SECONDS):
        if second % 15 == 0:
            rate = chance.uniform(14e6, 24e6)
            delay = chance.uniform(0.014, 0.030)
        yield Row(second, round(rate, -4), round(delay + chance.uniform(0.0, 0.003), 4))


def lte(seed: int) -> Iterator[Row]:
    """Make a line with another rate each second."""
    chance = random.Random(seed)
    rate = 6e6
    for second in range(SECONDS):
        leap = chance.random() < 0.15
        wanted = chance.uniform(2e6, 12e6) if leap else rate * chance.uniform(0.75, 1.33)
        rate = min(max(wanted, 2e6), 12e6)
        yield Row(second, round(rate, -4), round(0.022 + 0.010 * (2e6 / rate), 4))


GENERATORS: Final = {"starlink": starlink, "lte": lte}


def read(name: str) -> list[Row]:
    """Read a trace of the folder, in the order of time."""
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return [Row(*map(float, row)) for row in list(csv.reader(file))[1:]]


def write(folder: Path) -> None:
    """Write every trace into a folder."""
    for name, generator in GENERATORS.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("at_seconds", "rate_bits_per_second", "delay_seconds"))
            for row in generator(SEED):
                writer.writerow((row.at_seconds, int(row.rate_bits_per_second), row.delay_seconds))


if __name__ == "__main__":
    write(FOLDER)
