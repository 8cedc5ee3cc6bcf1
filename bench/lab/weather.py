"""What happens to a lab's lines in the course of a transfer: a profile's events, played on time."""

import threading
import time
from types import TracebackType
from typing import Self

from bench.lab.topology import Lab
from bench.profiles import Event, Profile


class Weather:
    """Plays a profile's events from the start of the `with` block on; its end makes lines whole.

    A thread does it: nobody else may change the lab's lines meanwhile.
    """

    def __init__(self, lab: Lab, profile: Profile) -> None:
        self._lines = {each.name: line for line, each in zip(lab.lines, profile.lines, strict=True)}
        self._namespaces = [lab.client, *(line.router for line in lab.lines if line.router)]
        self._events = profile.events
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="weather")
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._began = time.monotonic()
        if self._events:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._events:
            self._thread.join()
            for name in {event.line for event in self._events}:
                self._lines[name].restore()
        if self._error is not None and error is None:
            raise self._error

    def _play(self) -> None:
        try:
            for event in self._events:
                wait = self._began + event.at_seconds - time.monotonic()
                if self._ended.wait(max(wait, 0.0)):
                    return
                self._happen(event)
        except Exception as error:  # told where the transfer ends, not in a thread
            self._error = error
        finally:
            for namespace in self._namespaces:
                namespace.close_netlink()

    def _happen(self, event: Event) -> None:
        line = self._lines[event.line]
        match event.state:
            case "cut":
                line.cut()
            case "unplugged":
                line.unplug()
            case "moved":
                line.move()
            case "whole":
                line.restore()
            case None:
                line.set(event.down, event.up)
