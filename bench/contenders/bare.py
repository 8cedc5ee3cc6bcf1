"""A line as it is: what the others are measured against."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import Way
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.profiles import Profile


@dataclass(frozen=True)
class Bare:
    """One line of the profile, counted from 1."""

    number: int

    @property
    def name(self) -> str:
        return f"bare-{self.number}"

    @property
    def about(self) -> str:
        return f"line {self.number} alone"

    def available(self, lab: Lab) -> str | None:
        return None if self.number <= len(lab.lines) else "the profile has no such line"

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        del profile
        yield Way(lab.client, lab.server, SERVER_ADDRESS, lab.lines[self.number - 1].device)
