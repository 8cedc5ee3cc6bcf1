"""What a daemon owns to be watched: log, hooks, web page, metrics, sums, systemd's watchdog.

Nothing here runs per datagram, and nothing waits for a disk, a program or a browser on the loop: a
snapshot is taken when somebody looks, and once a minute for the sums.
"""

import asyncio
import contextlib
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from wrrtun.config import Role, WatchConfig
from wrrtun.core.errors import WrrtunError
from wrrtun.core.events import Event
from wrrtun.core.link_state import CARRYING
from wrrtun.linux.notify import notify, watchdog_seconds
from wrrtun.status import Snapshot

from .history import History, Meter
from .hooks import Hooks, environment_of, hook_of
from .journal import note_of, write

if TYPE_CHECKING:
    from wrrtun.linux.http_server import Document, HttpServer

METER_SECONDS: Final = 60.0
SAVE_EVERY: Final = 10  # meter's turns
KEPT_EVENTS: Final = 100
CLOSE_SECONDS: Final = 1.0
TELL_SECONDS: Final = 1.0

log = logging.getLogger("wrrtun")


class Observer:
    """Lets a daemon be watched, from its start to its end."""

    def __init__(self, config: WatchConfig, role: Role, snapshot: Callable[[], Snapshot]) -> None:
        """Prepare; `snapshot` is called on the loop, from `start` on."""
        self._config = config
        self._role = role
        self._snapshot = snapshot
        self._hooks = Hooks(config.hooks)
        self._events: deque[dict[str, object]] = deque(maxlen=KEPT_EVENTS)
        self._file = config.state_directory and config.state_directory / f"{role}-traffic.json"
        self._meter = Meter(History())
        self._web: HttpServer | None = None
        self._page: Document | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._could_save = True
        self._telling: asyncio.TimerHandle | None = None  # systemd what has happened

    async def start(self) -> None:
        """Serve the web page, read the sums, tell systemd that the daemon is ready."""
        if self._file is not None:
            self._meter = Meter(_read_history(self._file))
        if self._config.web is not None:
            # Not at the top, as below: a daemon without --web need not have it, nor its memory.
            from importlib import resources  # noqa: PLC0415

            from wrrtun.linux.http_server import Document, HttpServer  # noqa: PLC0415

            from .page import make_page  # noqa: PLC0415

            text = resources.files("wrrtun.watch").joinpath("page.html").read_text("utf-8")
            self._page = Document("text/html; charset=utf-8", *make_page(text))
            self._web = HttpServer(self._find)
            await self._web.start(*self._config.web)
        self._tasks.append(asyncio.create_task(self._keep_sums()))
        pause = watchdog_seconds()
        if pause is not None:
            self._tasks.append(asyncio.create_task(self._feed_watchdog(pause / 2)))
        notify("READY=1", f"STATUS={self._summary()}")

    def note(self, event: Event) -> None:
        """Log an event, remember it for the page, run its hook."""
        note = note_of(event)
        write(note)
        if note.level >= logging.INFO:
            words = {"at": time.time(), "message": note.message, **note.fields}
            self._events.append(words)
            # After the poll that the event came from: the snapshot is then about what follows it.
            asyncio.get_running_loop().call_soon(self._react, event)

    async def close(self) -> None:
        """Stop serving, end the hooks, write the sums."""
        notify("STOPPING=1")
        if self._telling is not None:
            self._telling.cancel()
        for task in self._tasks:
            task.cancel()
        started = bool(self._tasks)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._hooks.close()
        if self._web is not None:
            await self._web.close()
        if started:
            self._meter.update(self._snapshot(), time.time())
            self._save()

    def _react(self, event: Event) -> None:
        hook = hook_of(event)
        if hook is not None and self._hooks.has(hook):
            peers = {peer.name: peer for peer in self._snapshot().peers}
            about = environment_of(event, hook, self._role, peers.get(event.peer))
            self._hooks.run(hook, about)
        if hook is not None and self._telling is None:
            # A server's clients may all come at once, and each summary asks for all of them.
            self._telling = asyncio.get_running_loop().call_later(TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        self._telling = None
        notify(f"STATUS={self._summary()}")

    def _find(self, path: str) -> "Document | None":
        from wrrtun.linux.http_server import Document  # noqa: PLC0415

        if path == "/":
            return self._page
        if path == "/status.json":
            return Document("application/json", self._status())
        if path == "/metrics":
            # Not at the top: it takes 60 ms and 4 MB that a daemon without --web need not have.
            from .metrics import CONTENT_TYPE, to_text  # noqa: PLC0415

            return Document(CONTENT_TYPE, to_text(self._snapshot()))
        return None

    def _status(self) -> bytes:
        snapshot = self._snapshot()
        self._meter.update(snapshot, time.time())
        events = json.dumps(list(self._events), default=str).encode()
        return b'{"status":%b,"events":%b,"carried":%b}' % (
            snapshot.to_json(),
            events,
            self._meter.history.to_json(),
        )

    def _summary(self) -> str:
        """Say in one line how things are, for `systemctl status`."""
        parts = []
        for peer in self._snapshot().peers:
            carrying = sum(link.state in CARRYING for link in peer.links)
            links = f"{carrying} of {len(peer.links)} links up"
            parts.append(f"{peer.name}: {links if peer.session.up else 'no session'}")
        return "; ".join(parts[:8])

    async def _keep_sums(self) -> None:
        turns = 0
        while True:
            await asyncio.sleep(METER_SECONDS)
            self._meter.update(self._snapshot(), time.time())
            turns += 1
            if turns % SAVE_EVERY == 0 and self._file is not None:
                document = self._meter.history.to_json()
                # In a thread: a memory card may take a second.
                failure = await asyncio.to_thread(_write, self._file, document)
                self._saved(failure)

    def _save(self) -> None:
        if self._file is not None:
            self._saved(_write(self._file, self._meter.history.to_json()))

    def _saved(self, failure: str | None) -> None:
        """Say once that the sums cannot be kept, not every ten minutes."""
        if failure is not None and self._could_save:
            log.warning("the sums of the traffic cannot be kept in %s: %s", self._file, failure)
        self._could_save = failure is None

    async def _feed_watchdog(self, pause_seconds: float) -> None:
        """Show systemd that the loop turns."""
        while True:
            notify("WATCHDOG=1")
            await asyncio.sleep(pause_seconds)


def _read_history(path: Path) -> History:
    """Read the sums; start anew, with a warning, if the file is of no use."""
    try:
        return History.from_json(path.read_bytes())
    except FileNotFoundError:
        return History()
    except (OSError, WrrtunError) as error:
        log.warning("the sums in %s cannot be read and begin anew: %s", path, error)
        with contextlib.suppress(OSError):
            path.replace(path.with_suffix(".bad"))
        return History()


def _write(path: Path, document: bytes) -> str | None:
    """Replace the file by a whole one; return what went wrong."""
    beside = path.with_suffix(".new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        return error.strerror or str(error)
    return None
