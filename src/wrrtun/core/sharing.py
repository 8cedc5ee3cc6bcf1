"""How a change of the link table reaches the other end while the session runs.

The client repeats LINKS until it is acknowledged; the server takes what is newer than what it has.
A handshake carries the table too.
"""

from typing import Final

from .offers import LinkTable

REPEAT_SECONDS: Final = 0.5


class TableShare:
    """One end's view of the table. The client owns it; `owner` is False at the server."""

    def __init__(self, *, owner: bool) -> None:
        self.table: LinkTable | None = None
        self.changed = False  # at the server: since the tunnel took it over
        self.owner = owner
        self._agreed = 0  # the serial that the server is known to have; 0 comes by handshake
        self._sent_at = float("-inf")

    def use(self, table: LinkTable) -> None:
        """Have this table from now on. The owner sends it, unless a handshake will."""
        self.table, self.changed = table, False
        self._sent_at = float("-inf")

    def agree(self, serial: int) -> None:
        """Hear which table the server has."""
        self._agreed = max(self._agreed, serial)

    def restart(self, serial: int) -> None:
        """Hear that a new session was made with this table: whatever came later may be lost."""
        self._agreed = serial

    def take(self, table: LinkTable) -> None:
        """Take a table from the other end, if it is ours to take, and newer."""
        if not self.owner and (self.table is None or table.serial > self.table.serial):
            self.table, self.changed = table, True

    def due(self, now: float) -> LinkTable | None:
        """Return the table if it is to be sent now."""
        if not self.owner or self.table is None or self.table.serial <= self._agreed:
            return None
        if now - self._sent_at < REPEAT_SECONDS:
            return None
        self._sent_at = now
        return self.table
