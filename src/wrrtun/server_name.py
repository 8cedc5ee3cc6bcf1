"""The server's addresses: looked up at the start, and again when nothing answers there."""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from typing import Final

from .config import IPAddress
from .core.errors import ConfigError
from .link_socket import resolve

log = logging.getLogger("wrrtun")

# How long the server may be out of reach before its name is looked up again, at first and at last.
LEAST_PATIENCE_SECONDS: Final = 5.0
MOST_PATIENCE_SECONDS: Final = 60.0


class ServerName:
    """Keeps `addresses` true: the list stays the same object, so that every link sees the change.

    Looking a name up may take many seconds, so a thread of its own does it; one that hangs keeps
    nobody from ending.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        self.addresses: list[IPAddress] = []
        self._loop = loop
        self.host, self.port = host, port
        self._patience = LEAST_PATIENCE_SECONDS
        self._lost_at: float | None = None
        self._looking = False

    def look_up(self) -> None:
        """Look it up now, however long it takes; ConfigError when it has no address."""
        self.addresses[:] = resolve(self.host, self.port)

    def look(self, usable: bool, now: float, changed: Callable[[], None]) -> None:
        """Hear whether the server is within reach; after a while without, ask again.

        Calls `changed` on the loop when the answer is another one.
        """
        if usable:
            self._lost_at, self._patience = None, LEAST_PATIENCE_SECONDS
            return
        if self._lost_at is None:
            self._lost_at = now
        if self._looking or now - self._lost_at < self._patience:
            return
        self._lost_at = now
        self._patience = min(2 * self._patience, MOST_PATIENCE_SECONDS)
        self._looking = True
        threading.Thread(target=self._ask, args=(changed,), daemon=True).start()

    def _ask(self, changed: Callable[[], None]) -> None:
        try:
            found = resolve(self.host, self.port)
        except ConfigError:
            found = []
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
            self._loop.call_soon_threadsafe(self._answered, found, changed)

    def _answered(self, found: list[IPAddress], changed: Callable[[], None]) -> None:
        self._looking = False
        if found and set(found) != set(self.addresses):
            log.info("%s is now at %s", self.host, ", ".join(map(str, found)))
            self.addresses[:] = found
            changed()
