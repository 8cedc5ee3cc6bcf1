"""When to report what has arrived, and over which link: what the other end finds rates from."""

import math
from collections.abc import Callable
from typing import Final

from .bond import Bond
from .inbound import Inbound
from .link_state import LinkState
from .member import Member
from .messages import ControlMessage
from .reports import Report

# Every 50 ms would cost a tenth on a line that changes each second. On a slow way back they may
# take a small share of it.
REPORT_SECONDS: Final = 0.025
REPORT_SHARE: Final = 0.04
MAX_REPORT_SECONDS: Final = 0.1


class Reporting:
    """Makes one end's reports."""

    def __init__(
        self,
        bond: Bond,
        inbound: Inbound,
        send: Callable[[Member, ControlMessage, float], None],
        now: float,
    ) -> None:
        self.due_at = now + REPORT_SECONDS  # if there is anything to report
        self.stalled_at = -math.inf  # when this end last came late to its sockets
        self._bond = bond
        self._inbound = inbound
        self._send = send
        self._reported_at = now

    def doubtful(self) -> bool:
        """Tell whether the other end needs a report though no bulk arrives.

        While its own reports are missing, it may need to hear whom they do not reach by. Where this
        end's datagrams do not arrive, its answers to probes do not either: a report over another
        link then says that the other direction is well.
        """
        bond = self._bond
        if bond.trusted is not bond.carrying():
            return True
        return any(member.link.state is LinkState.STALLED for member in bond)

    def report(self, now: float) -> None:
        """Tell the other end what has arrived over each link, and which has no socket any more."""
        member = self._bond.fastest(now)
        if member is None:
            return
        floor = self._inbound.reorder.floor
        entries = tuple(
            one.arrivals.report(one.number, floor(one.number), one.link.quiet_seconds(now))
            for one in self._bond
        )
        stalled = self.stalled_at > self._reported_at
        before = member.link.outgoing.bytes
        self._send(member, Report(entries, stalled), now)
        self._reported_at = now
        pause = REPORT_SECONDS
        rate = member.rate_bits_per_second
        if rate:
            least = (member.link.outgoing.bytes - before) * 8 / (REPORT_SHARE * rate)
            pause = min(max(REPORT_SECONDS, least), MAX_REPORT_SECONDS)
        self.due_at = now + pause
