"""The operator's programs, run when something happens, never on the tunnel's time.

They run one after another, in the order of the events, without a shell, and are killed when they
take too long. What waits is bounded: a program that hangs costs events their hook, never memory.
"""

import asyncio
import contextlib
import logging
import os
from collections import deque
from collections.abc import Mapping
from typing import Final

from wrrtun.core.events import Event, LinkChanged, PathChanged, SessionDown, SessionUp
from wrrtun.core.link_state import CARRYING
from wrrtun.status import LinkStatus, PeerStatus

HOOK_SECONDS: Final = 30.0
MAX_WAITING: Final = 64

log = logging.getLogger("wrrtun")

Argv = tuple[str, ...]


def hook_of(event: Event) -> str | None:
    """Name the hook of an event; None when it has none."""
    match event:
        case SessionUp(rekeyed=False):
            return "on_up"
        case SessionDown():
            return "on_down"
        case LinkChanged(before=before, after=after):
            carried, carries = before in CARRYING, after in CARRYING
            if carried == carries:
                return None
            return "on_link_up" if carries else "on_link_down"
        case PathChanged():
            return "on_link_address"
    return None


def environment_of(event: Event, hook: str, role: str, peer: PeerStatus | None) -> dict[str, str]:
    """Return what a hook is told; every variable begins with WRRTUN_."""
    told = {"HOOK": hook, "ROLE": role, "PEER": event.peer}
    told["DEVICE"] = peer.device.name if peer else ""
    if isinstance(event, SessionDown):
        told["REASON"] = event.reason
    if isinstance(event, LinkChanged | PathChanged):
        link = _find(peer, event.link)
        told["LINK"] = str(event.link)
        told["LINK_NAME"] = (link and link.name) or ""
        told["LOCAL_ADDRESS"] = (link and link.local_address) or ""
        told["REMOTE_ADDRESS"] = (link and link.remote_address) or ""
    if isinstance(event, LinkChanged):
        told |= {"BEFORE": event.before, "AFTER": event.after, "REASON": event.reason}
    return {f"WRRTUN_{name}": value for name, value in told.items()}


def _find(peer: PeerStatus | None, number: int) -> LinkStatus | None:
    return next((link for link in peer.links if link.number == number), None) if peer else None


class Hooks:
    """Runs the programs of one daemon, each to its end before the next."""

    def __init__(self, programs: Mapping[str, Argv]) -> None:
        self._programs = programs
        self._waiting: deque[tuple[Argv, dict[str, str]]] = deque()
        self._runner: asyncio.Task[None] | None = None

    def has(self, hook: str | None) -> bool:
        """Tell whether a program is configured for a hook."""
        return hook in self._programs

    def run(self, hook: str, environment: dict[str, str]) -> None:
        """Run a hook's program when those before it have ended."""
        if len(self._waiting) >= MAX_WAITING:
            log.warning("%s is not run: %d hooks wait already", hook, MAX_WAITING)
            return
        self._waiting.append((self._programs[hook], environment))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run_waiting())

    async def close(self) -> None:
        """End what runs, run nothing more."""
        self._waiting.clear()
        if self._runner is not None:
            self._runner.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._runner

    async def _run_waiting(self) -> None:
        while self._waiting:
            argv, environment = self._waiting.popleft()
            try:
                await _run(argv, environment)
            except OSError as error:
                log.warning("hook %s: %s", argv[0], error.strerror)


async def _run(argv: Argv, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | environment,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(HOOK_SECONDS):
            code = await process.wait()
    except TimeoutError:
        log.warning("hook %s was killed: it ran for more than %g s", argv[0], HOOK_SECONDS)
    else:
        if code != 0:
            log.warning("hook %s ended with %d", argv[0], code)
    finally:
        if process.returncode is None:
            # The whole group: a script's own children too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()
