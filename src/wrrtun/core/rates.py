"""The rates of all links of a tunnel: reports in, paces and weights out."""

from math import inf
from typing import Final

from .bond import Bond
from .events import RateChanged
from .member import Member
from .outbound import Outbound
from .output import Outbox
from .reports import Report

# A change that is worth a line in the log.
NOTABLE: Final = 1.5
# Weights that differ by less are as good.
WEIGHT_TOLERANCE: Final = 0.02
# Of what a line that fell has under way, at once: 64 datagrams are 0.2 s of 4 Mbit/s.
MOST_COPIES: Final = 64
# A report has had everything looked at; while little is sent, time makes little due.
LOOK_SECONDS: Final = 0.02


class Rates:
    """Lets each link's finder work, one asking at a time, and the weights follow."""

    def __init__(self, peer: str, bond: Bond, outbound: Outbound, outbox: Outbox) -> None:
        self._peer = peer
        self._bond = bond
        self._outbound = outbound
        self._outbox = outbox
        self._noted: dict[int, float] = {}
        self._looked_at = -inf
        self._due = -inf

    def on_report(self, report: Report, now: float) -> None:
        """Learn what the other end says of what this one sends."""
        if report.stalled:
            self.on_stall(now)
        for entry in report.links:
            member = self._bond.get(entry.link)
            if member is not None:
                samples = member.flight.settle(entry.samples)
                received = entry.wire_bytes, entry.bulk_datagrams
                member.finder.on_report(samples, received, now)
                # More than it may have under way holds up what the other links bring.
                if member.finder.fell and member.flight.bytes > member.finder.limit_bytes:
                    self._outbound.repairs.resend_unreported(member, now, MOST_COPIES)
        self.tick(now)

    def on_stall(self, now: float) -> None:
        """Hear that an end came late to its sockets."""
        for member in self._bond:
            member.finder.on_stall(now)

    def look(self, now: float) -> float:
        """Do what time makes due, unless that has just been done; return when to come back."""
        if now >= min(self._due, self._looked_at + LOOK_SECONDS):
            self.tick(now)
        return self._due

    def tick(self, now: float) -> None:
        """Do what time makes due."""
        due = now + 1.0
        asking = any(member.finder.asking for member in self._bond)
        backlog = len(self._outbound.queue) > 0
        carrying = self._bond.carrying()
        for member in self._bond:
            finder = member.finder
            # A dead line would only keep the others from asking.
            may_ask = not asking and member in carrying
            if finder.tick(backlog=backlog, may_ask=may_ask, now=now):
                member.flight.clear()
            asking = asking or finder.asking
            member.follow(now)
            if finder.deadline > now:
                due = min(due, finder.deadline)
            self._note(member)
        self._weigh()
        self._due, self._looked_at = due, now

    def _weigh(self) -> None:
        """Give each link its rate for a weight, once a rate is known."""
        members = list(self._bond)
        if not any(member.finder.found for member in members):
            return
        for member in members:
            weight = member.finder.rate / 125_000 or member.weight
            before = self._outbound.weights[member.number]
            if abs(weight - before) > WEIGHT_TOLERANCE * weight:
                self._outbound.set_weight(member, weight)

    def _note(self, member: Member) -> None:
        rate = member.rate_bits_per_second
        before = self._noted.get(member.number, 0.0)
        if rate and not before / NOTABLE < rate < before * NOTABLE:
            self._noted[member.number] = rate
            self._outbox.note(RateChanged(self._peer, member.number, rate))
