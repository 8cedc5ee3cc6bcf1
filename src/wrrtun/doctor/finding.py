"""What a check has found."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is; the value is what is printed."""

    OK = "ok"
    NOTE = "note"  # worth knowing, nothing to do
    ODD = "odd"  # works, but not well
    BAD = "BAD"  # keeps the tunnel, or a line, from working


@dataclass(frozen=True)
class Finding:
    """One sentence, and what to do about it."""

    level: Level
    what: str
    advice: str = ""

    def to_lines(self) -> Iterator[str]:
        """Write it for people."""
        yield f"{self.level:>4}  {self.what}"
        if self.advice:
            yield f"      -> {self.advice}"


def ok(what: str) -> Finding:
    """Say that something is as it should be."""
    return Finding(Level.OK, what)


def bad(what: str, advice: str) -> Finding:
    """Say that something does not work, and what to do."""
    return Finding(Level.BAD, what, advice)
