"""Counts what metered lines carry, from the start of a client to its end, and keeps the figures."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

import msgspec

from .config import LinkConfig, WatchConfig
from .core.bond import Bond
from .core.offers import LinkOffer
from .metering import COUNT_SECONDS, Ledger, LedgerFile

log = logging.getLogger("wrrtun")


class MeterKeeper:
    """The ledger of a running client."""

    def __init__(self, config: WatchConfig) -> None:
        directory = config.state_directory
        self._file = LedgerFile(directory / "client-metered.json") if directory else None
        self._ledger = Ledger()
        self._warned = False
        self._task: asyncio.Task[None] | None = None

    def load(self, links: Iterable[LinkConfig]) -> None:
        """Read what was carried before this start."""
        if self._file is None:
            if any(link.metered for link in links):
                self._warn("without state_dir, a restart makes the budget of metered links new")
            return
        try:
            self._ledger = self._file.load()
        except (OSError, msgspec.MsgspecError) as error:
            self._warn(f"{self._file.path} cannot be read, metered links begin anew: {error}")

    def offers(self, links: dict[int, LinkConfig]) -> tuple[LinkOffer, ...]:
        """Say what the server is told of each line, by its number."""
        return tuple(self._ledger.offer(number, link) for number, link in links.items())

    def start(
        self,
        links: Callable[[], dict[int, LinkConfig]],
        bond: Bond,
        changed: Callable[[], None],
    ) -> None:
        """Count from now on; `changed` is called when a line's part has."""
        self._task = asyncio.create_task(self._keep(links, bond, changed))

    async def close(self, links: dict[int, LinkConfig], bond: Bond | None) -> None:
        """Count a last time, and write."""
        if self._task is not None:
            self._task.cancel()
        if bond is not None:
            self._count(links, bond)
            document = self._due(links, float("inf"))
            if document is not None:
                self._write(document)

    async def _keep(
        self,
        links: Callable[[], dict[int, LinkConfig]],
        bond: Bond,
        changed: Callable[[], None],
    ) -> None:
        offered = self.offers(links())
        while True:
            await asyncio.sleep(COUNT_SECONDS)
            self._count(links(), bond)
            document = self._due(links(), time.monotonic())
            if document is not None:
                # In a thread: a memory card may take a second.
                await asyncio.to_thread(self._write, document)
            before, offered = offered, self.offers(links())
            if before != offered:
                for number, link in links().items():
                    spent = self._ledger.spent.get(link.where)
                    if link.metered is not None and spent is not None:
                        log.info(
                            "link %d metered spent_bytes=%d budget_bytes=%d",
                            number,
                            spent.bytes,
                            link.metered.budget_bytes,
                        )
                changed()

    def _count(self, links: dict[int, LinkConfig], bond: Bond) -> None:
        for number, link in links.items():
            member = bond.get(number)
            if link.metered is not None and member is not None:
                total = member.link.outgoing.bytes + member.link.incoming.bytes
                self._ledger.count(link.where, link.metered, total, time.time())

    def _due(self, links: dict[int, LinkConfig], now: float) -> bytes | None:
        """Return what is to be saved now."""
        return self._file.due(self._ledger, list(links.values()), now) if self._file else None

    def _write(self, document: bytes) -> None:
        assert self._file is not None
        try:
            self._file.write(document)
        except OSError as error:
            self._warn(f"{self._file.path} cannot be written: {error.strerror or error}")

    def _warn(self, sentence: str) -> None:
        """Say it once."""
        if not self._warned:
            log.warning("%s", sentence)
        self._warned = True
