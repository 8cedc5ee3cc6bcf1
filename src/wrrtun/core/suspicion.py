"""Which links have fallen silent a moment ago: small frames avoid them before a verdict is due.

To be wrong costs a few small frames the delay of another link, so a suspicion needs little: half of
what makes a link stalled. Bulk goes on until the other end's word, or silence, has decided.
"""

import math
from typing import Final

from .bond import Bond
from .member import Member

# Whoever sends bulk puts bulk or a marker on each of its links every few tens of ms.
QUIET_SECONDS: Final = 0.060
JITTERS: Final = 4
# Whoever receives bulk reports it at least every 0.1 s.
REPORTLESS_SECONDS: Final = 0.130
# Bulk counts as arriving this long after the last of it.
ARRIVING_SECONDS: Final = 0.100
# Reports go on this long after the last bulk.
REPORTED_SECONDS: Final = 0.4


class Suspicion:
    """Looks at all links of a tunnel, some tens of times a second while bulk flows."""

    def __init__(self, bond: Bond) -> None:
        self._bond = bond
        self._reporter: Member | None = None
        self._reported_at = -math.inf
        self._sending_since = -math.inf

    def on_report(self, reporter: Member, now: float) -> None:
        """Note that a report has come, and over which link."""
        self._reporter, self._reported_at = reporter, now

    def look(self, bulk_received_at: float, bulk_sent_at: float, now: float) -> list[Member]:
        """Judge all links; return those that have just come under suspicion."""
        sending = now - bulk_sent_at < REPORTED_SECONDS
        if not sending:
            self._sending_since = now
        receiving = now - bulk_received_at < ARRIVING_SECONDS
        newest = max((member.link.heard_at for member in self._bond), default=now)
        changed, fresh = False, []
        for member in self._bond:
            # A pause of the flow is no news of a link that had fallen silent before it.
            silent = (receiving or member.suspect) and self._is_quiet(member, newest)
            reportless = sending and member is self._reporter and self._misses_reports(member, now)
            suspect = silent or reportless
            changed |= suspect != member.suspect
            if suspect and not member.suspect:
                fresh.append(member)
            member.suspect = suspect
        if changed:
            self._bond.refresh()
        return fresh

    def _is_quiet(self, member: Member, newest: float) -> bool:
        """Tell whether others have been heard much later. If all are silent, none stands out."""
        link = member.link
        return newest - link.heard_at > QUIET_SECONDS + JITTERS * link.jitter_in

    def _misses_reports(self, member: Member, now: float) -> bool:
        """Tell whether the link that brings the reports has gone silent with them."""
        link = member.link
        patience = REPORTLESS_SECONDS + JITTERS * (link.rttvar or 0.0)
        first_due = self._sending_since + link.round_trip.timeout
        return now - max(self._reported_at, first_due, link.heard_at) > patience
