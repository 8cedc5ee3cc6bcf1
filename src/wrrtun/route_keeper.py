"""When the client's routes are looked at again: at each change of the network or of the tunnel."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from .config import ClientConfig
from .core.errors import ConfigError, WrrtunError
from .core.events import Event, LinkChanged, SessionDown, SessionUp
from .router import ClientRouter, claim_routes

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
        self._claim: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._losing: asyncio.TimerHandle | None = None

    @property
    def active(self) -> bool:
        """Tell whether the configuration routes anything."""
        return self._router.active

    def prepare(self) -> None:
        """Before there is a device: set the kill switch, or take away what a crash has left.

        ConfigError when another client of this machine routes and this one shall too.
        """
        if not self._is_ours():
            return
        self._router.update(present=False, carrying=False)
        if not self.active:
            self._let_go()

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

    def configure(self, config: ClientConfig) -> str:
        """Go by another configuration from now on; return a sentence on what failed, if it did."""
        before = self.active
        self._config = config
        self._router.configure(config)
        if not (before or self.active):
            return ""
        try:
            if self._is_ours():
                self._carrying = config.when_down != "fallback" or self._usable()
                self._router.update(present=True, carrying=self._carrying)
        except (WrrtunError, OSError) as error:
            return f"; routes: {error}"
        if not self.active:
            self._let_go()
        return ""

    def close(self) -> None:
        """Take everything away but a kill switch."""
        for timer in (self._timer, self._losing):
            if timer is not None:
                timer.cancel()
        if self.active and self._claim is not None:
            self._try(present=False)
            if self._config.when_down == "block":
                log.info("the kill switch stays; wrrtun client unblock lifts it")
        self._let_go()

    def _is_ours(self) -> bool:
        """Claim the machine's routes; ConfigError when they are needed and another's."""
        if self._claim is None:
            self._claim = claim_routes()
        if self._claim is None and self.active:
            raise ConfigError("another wrrtun client of this machine routes; only one can")
        return self._claim is not None

    def _let_go(self) -> None:
        if self._claim is not None:
            self._claim.close()
            self._claim = None

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
