"""What each link carried, by day and by month: for the meter, and kept across restarts.

The daemon's counters begin at zero with each start and whenever a link is made anew; sums are made
of their growth. Days are those of the machine's time zone. A clock that has not been set yet (a
router without a battery) dates nothing: what was carried meanwhile belongs to the first good day.
"""

import time
from collections.abc import Iterator
from typing import Final

import msgspec

from wrrtun.core.errors import WrrtunError
from wrrtun.status import Snapshot

KEPT_DAYS: Final = 62
KEPT_MONTHS: Final = 24
# No clock that shows less is right: this program is younger.
FIRST_GOOD_TIME: Final = 1_760_000_000.0  # October 2025


class Carried(msgspec.Struct):
    """Bytes of UDP payload over one link."""

    sent_bytes: int = 0
    received_bytes: int = 0


Sums = dict[str, dict[str, Carried]]  # "2026-03-01" or "2026-03", then the link


class History(msgspec.Struct):
    """The sums of one daemon, as its file and `/status.json` have them."""

    days: Sums = {}
    months: Sums = {}

    def to_json(self) -> bytes:
        """Write the sums as one line of JSON."""
        return msgspec.json.encode(self)

    @staticmethod
    def from_json(document: bytes) -> "History":
        """Read the sums; WrrtunError if these are none."""
        try:
            return msgspec.json.decode(document, type=History)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise WrrtunError(f"no sums of wrrtun's: {error}") from None


class Meter:
    """Adds up what the links carried."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._last: dict[str, tuple[int, int]] = {}

    def update(self, snapshot: Snapshot, wall_seconds: float) -> None:
        """Add what was carried since the last call; `wall_seconds` since 1970."""
        if wall_seconds < FIRST_GOOD_TIME:
            return
        now = time.localtime(wall_seconds)
        day, month = time.strftime("%Y-%m-%d", now), time.strftime("%Y-%m", now)
        for name, sent, received in _counts(snapshot):
            sent_before, received_before = self._last.get(name, (0, 0))
            self._last[name] = (sent, received)
            # A counter that fell began anew.
            more_sent = sent - sent_before if sent >= sent_before else sent
            more_received = received - received_before if received >= received_before else received
            for sums, period in ((self.history.days, day), (self.history.months, month)):
                carried = sums.setdefault(period, {}).setdefault(name, Carried())
                carried.sent_bytes += more_sent
                carried.received_bytes += more_received
        _forget(self.history.days, KEPT_DAYS)
        _forget(self.history.months, KEPT_MONTHS)


def _counts(snapshot: Snapshot) -> Iterator[tuple[str, int, int]]:
    """Name each link: as the client's user does, or after the server's peer and its number."""
    for peer in snapshot.peers:
        for link in peer.links:
            name = link.name or f"{peer.name} {link.number}"
            yield name, link.sent_bytes, link.received_bytes


def _forget(sums: Sums, kept: int) -> None:
    for period in sorted(sums)[:-kept]:
        del sums[period]
