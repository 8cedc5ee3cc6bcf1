"""The runs of one client, told apart by boot ids: what gives two clients with one key away.

A client draws a boot id when it starts. After a restart the old one is never seen again, so one
that comes back after another took its place belongs to a second client that uses the same key.
Left alone, the two would take the session from each other every few seconds.
"""

from collections import deque
from typing import Final

# Whoever has the session keeps it as long as it was heard this recently: longer than between two
# probes of a quiet tunnel.
HEARD_SECONDS: Final = 20.0
MAX_RUNS: Final = 8


class Runs:
    """The boot ids of the runs that had a session, the present one last."""

    def __init__(self) -> None:
        self._boot_ids: deque[bytes] = deque(maxlen=MAX_RUNS)

    def begin(self, boot_id: bytes) -> None:
        """Note that the session is this run's from now on."""
        if boot_id in self._boot_ids:
            self._boot_ids.remove(boot_id)
        self._boot_ids.append(boot_id)

    def returns(self, boot_id: bytes) -> bool:
        """Tell whether this is an earlier run, which cannot be there unless two are."""
        return boot_id in self._boot_ids and boot_id != self._boot_ids[-1]
