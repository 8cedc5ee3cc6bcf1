"""What metered lines have carried this month, and how much of their time they may still carry.

Both directions count, as packets: what the client sends on a line, and what authentic comes in over
it. The figures are kept in a file, so that a restart does not make the budget new.
"""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from .config import LinkConfig, MeteredConfig
from .core.offers import LinkOffer, LinkRole

COUNT_SECONDS: Final = 10.0
SAVE_SECONDS: Final = 300.0
# A budget that melts fast is written more often than that.
SAVE_SHARE: Final = 0.01
# While more than one of these is left of the budget, the line may carry all the time.
HALVES: Final = 2
# A change of the part is told to the server; smaller ones are not worth a message.
STEPS: Final = 20
# A router without a battery begins in 1970 until it has heard the time: no month ends by that.
FIRST_GOOD_TIME: Final = 1_700_000_000.0


class Spent(msgspec.Struct):
    """What one line has carried since `month` (year-month in which it began) did."""

    month: str
    bytes: int


def month_of(wall_seconds: float, reset_day: int) -> str:
    """Name the month of the budget by the calendar month in which it began (local time)."""
    now = time.localtime(wall_seconds)
    months = now.tm_year * 12 + now.tm_mon - 1 - (now.tm_mday < reset_day)
    return f"{months // 12:04}-{months % 12 + 1:02}"


def part_left(spent_bytes: int, budget_bytes: int) -> float:
    """Say in which part of its time a line may carry: 1.0 at first, 0.0 with nothing left."""
    left = max(0, budget_bytes - spent_bytes)
    return min(STEPS, -(-left * STEPS * HALVES // budget_bytes)) / STEPS


class Ledger:
    """The figures of all metered lines, by what the user calls them."""

    def __init__(self, spent: dict[str, Spent] | None = None) -> None:
        self.spent = spent or {}
        self._totals: dict[str, int] = {}

    def count(self, where: str, metered: MeteredConfig, total: int, wall_seconds: float) -> None:
        """Take what a line has carried since the daemon's start, in bytes."""
        before = self._totals.get(where, 0)
        self._totals[where] = total
        spent = self.spent.setdefault(where, Spent("", 0))
        # A clock that goes back makes no new budget.
        if wall_seconds >= FIRST_GOOD_TIME:
            month = month_of(wall_seconds, metered.reset_day)
            if month > spent.month:
                spent.bytes = 0 if spent.month else spent.bytes
                spent.month = month
        spent.bytes += total - before if total >= before else total  # one that fell began anew

    def offer(self, number: int, link: LinkConfig) -> LinkOffer:
        """Make of a configured line what the server is told, as its budget is now."""
        role, part = link.role, 1.0
        if link.metered is not None:
            spent = self.spent.get(link.where)
            part = part_left(spent.bytes if spent else 0, link.metered.budget_bytes)
            if not part:
                role, part = LinkRole.BACKUP, 1.0
        return LinkOffer(
            number,
            link.weight_down,
            link.weight_up,
            link.rate_down_bits_per_second or 0,
            link.rate_up_bits_per_second or 0,
            role,
            part,
        )


class LedgerFile:
    """Where a ledger outlives its daemon."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_at = float("-inf")
        self._saved: dict[str, int] = {}

    def load(self) -> Ledger:
        """Read the figures; OSError or msgspec.MsgspecError when they are there and unreadable."""
        try:
            document = self.path.read_bytes()
        except FileNotFoundError:
            return Ledger()
        ledger = Ledger(msgspec.json.decode(document, type=dict[str, Spent]))
        self._saved = {where: spent.bytes for where, spent in ledger.spent.items()}
        return ledger

    def due(self, ledger: Ledger, links: list[LinkConfig], now: float) -> bytes | None:
        """Return what is to be saved now."""
        grown = [
            (ledger.spent[link.where].bytes - self._saved.get(link.where, 0), link.metered)
            for link in links
            if link.metered and link.where in ledger.spent
        ]
        much = any(more >= SAVE_SHARE * metered.budget_bytes for more, metered in grown if metered)
        if not any(more for more, _ in grown) or not (much or now - self._saved_at > SAVE_SECONDS):
            return None
        self._saved_at = now
        self._saved = {where: spent.bytes for where, spent in ledger.spent.items()}
        return msgspec.json.encode(ledger.spent)

    def write(self, document: bytes) -> None:
        """Replace the file by a whole one, so that a power cut leaves the old or the new."""
        beside = self.path.with_suffix(".new")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("wb") as file:
            file.write(document)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self.path)
