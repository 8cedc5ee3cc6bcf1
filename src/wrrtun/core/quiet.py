"""Whether a tunnel has nothing to carry: then it is looked after ever so rarely.

A server may have a thousand such clients, and a mobile line's radio would like to sleep. The first
frame, or a probe without an answer, ends it: from then on links are probed as ever.
"""

from math import ceil, inf
from typing import Final

from .bond import Bond
from .inbound import FLOWING_SECONDS, Inbound
from .link_state import CARRYING, LinkState
from .outbound import Outbound

QUIET_AFTER_SECONDS: Final = 10.0
# A probe that has waited so long for its answer wants others.
OVERDUE_SECONDS: Final = 1.0
SOON_SECONDS: Final = 0.5
# Of the time after which keys are renewed: how often one looks at all.
LOOK_SHARE: Final = 1 / 8


class Quiet:
    """What one tunnel has carried of late. `on`: nothing."""

    def __init__(
        self, bond: Bond, inbound: Inbound, outbound: Outbound, rekey_seconds: float, now: float
    ) -> None:
        self.on = False
        self.ended_at = now
        self._bond = bond
        self._inbound = inbound
        self._outbound = outbound
        self._look_seconds = rekey_seconds * LOOK_SHARE
        self._frames = 0
        self._carried_at = now

    def look(self, now: float) -> None:
        """Look at what was carried, and how links answer."""
        out = self._outbound
        frames = self._inbound.delivered_frames + out.bulk_frames + out.express.frames
        waits = bool(out.queue) or bool(out.express)
        if waits or frames != self._frames:
            self._frames, self._carried_at = frames, now
        before, known = self.on, now - self.asked_at() < OVERDUE_SECONDS
        self.on = known and now - self._carried_at >= QUIET_AFTER_SECONDS
        if before and not self.on:
            self.ended_at = now

    def ends(self, now: float) -> bool:
        """Tell whether what is to be sent now is the first after a pause."""
        out = self._outbound
        return self.on or (bool(out.queue) and now - out.bulk_sent_at >= FLOWING_SECONDS)

    def next_look(self, due: float, now: float) -> float:
        """Say when to look again, where something else is due at `due`.

        At whole seconds: so one wake-up looks after all quiet tunnels of a server. What is due
        soon is not put off: a link that is on its way back owes up to 32 answers.
        """
        due = min(due, now + self._look_seconds)
        return due if due < now + SOON_SECONDS else ceil(due)

    def asked_at(self) -> float:
        """Say when the oldest probe left that a link which carries has not answered.

        Infinity when there is none; minus infinity when no link carries, or one has lost much: it
        takes more probes to see that it loses no more.
        """
        links = [member.link for member in self._bond if member.link.state in CARRYING]
        if any(link.state is LinkState.LOSSY for link in links):
            return -inf
        return min((link.asked_at for link in links), default=-inf)
