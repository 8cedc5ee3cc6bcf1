"""What the core hands to its shell: batches to send, frames to write, events to note."""

from dataclasses import dataclass, field
from typing import NamedTuple

from .events import Event
from .headers import Buffer
from .paths import Path


class Transmit(NamedTuple):
    """One batch for one link: datagrams of `datagram_bytes`, the last may be shorter."""

    link: int
    path: Path
    data: Buffer
    datagram_bytes: int


@dataclass
class Output:
    """What the shell is to do: send, write to the TAP, note; and when to poll again.

    Each of `frames` is a vector for one write: virtio-net header and frame, in parts.
    """

    transmits: list[Transmit] = field(default_factory=list)
    frames: list[list[Buffer]] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    deadline: float | None = None


class Outbox:
    """Gathers what is to be sent and noted until the next poll."""

    def __init__(self) -> None:
        self.transmits: list[Transmit] = []
        self._events: list[Event] = []

    def note(self, event: Event | None) -> None:
        """Hand an event to the shell; None is nothing to note."""
        if event is not None:
            self._events.append(event)

    def take(self) -> Output:
        """Hand everything over."""
        output = Output(self.transmits, [], self._events)
        self.transmits, self._events = [], []
        return output
