"""When the client's routes are looked at again: at each change of the network or of the tunnel."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from .config import ClientConfig
from .core.errors import WrrtunError
from .core.events import Event, LinkChanged, SessionDown, SessionUp
from .router import ClientRouter

log = logging.getLogger("wrrtun")

# News come in bursts: an interface that comes up brings addresses and routes one by one.
SETTLE_SECONDS: Final = 0.2
# How long a tunnel must be unusable before its packets go elsewhere: connections do not survive it.
FALLBACK_SECONDS: Final = 2.0


class RouteKeeper:
    """Keeps a client's routes true while its daemon runs."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        config: ClientConfig,
        usable: Callable[[], bool],
    ) -> None:
        """Prepare; `usable` tells whether the tunnel can carry packets now."""
        self._loop = loop
        self._config = config
        self._router = ClientRouter(config)
        self._usable = usable
        self._carrying = False
        self._timer: asyncio.TimerHandle | None = None
        self._losing: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Tell whether the configuration routes anything."""
        return self._router.active

    def prepare(self) -> None:
        """Before there is a device: set the kill switch, or take away what a crash has left."""
        self._router.update(present=False, carrying=False)

    def start(self) -> None:
        """The device is there; ConfigError when the machine cannot do what is configured."""
        self._carrying = self._config.when_down != "fallback"
        if self.active:
            self._router.update(present=True, carrying=self._carrying)

    def network_changed(self) -> None:
        """Look again soon: an address, a device or a default route has changed."""
        if self.active and self._timer is None:
            self._timer = self._loop.call_later(SETTLE_SECONDS, self._look)

    def note(self, event: Event) -> None:
        """Hear of the tunnel: with `fallback` its routes come and go with it."""
        if self._config.when_down != "fallback" or not self.active:
            return
        if isinstance(event, SessionUp | SessionDown | LinkChanged):
            if self._usable():
                self._carry(carrying=True)
            elif self._losing is None:
                self._losing = self._loop.call_later(FALLBACK_SECONDS, self._lost)

    def configure(self, config: ClientConfig) -> None:
        """Go by another configuration from now on."""
        self._config = config
        self._router.configure(config)
        self._carrying = config.when_down != "fallback" or self._usable()
        self._router.update(present=True, carrying=self._carrying)

    def close(self) -> None:
        """Take everything away but a kill switch."""
        for timer in (self._timer, self._losing):
            if timer is not None:
                timer.cancel()
        if self.active:
            self._try(present=False)
            if self._config.when_down == "block":
                log.info("the kill switch stays; wrrtun client unblock lifts it")

    def _lost(self) -> None:
        self._losing = None
        if not self._usable():
            self._carry(carrying=False)

    def _carry(self, *, carrying: bool) -> None:
        if carrying != self._carrying:
            self._carrying = carrying
            log.info("routes lead %s", "into the tunnel" if carrying else "over the lines")
            self._try(present=True)

    def _look(self) -> None:
        self._timer = None
        self._try(present=True)

    def _try(self, *, present: bool) -> None:
        try:
            self._router.update(present=present, carrying=self._carrying)
        except (WrrtunError, OSError) as error:
            log.error("routes: %s", error)
