"""Which links make the tunnel faster: a line much later than the best, or that loses much, rests.

A frame that comes later than the other end may hold back those behind it is as good as lost to
TCP, whatever the line's rate; and a line that loses two of five datagrams costs the others nearly
as much for repairs, and the frames behind them more time, than it brings. A resting link is probed
as before and carries again once it has been better for a while, or when no other carries.
"""

from dataclasses import dataclass
from math import inf
from typing import Final

from .bond import Bond
from .events import LinkChanged
from .link_state import CARRYING
from .member import Member
from .offers import LinkRole

# The hold ends at 180 ms, and a line's jitter and the markers on it need some of that.
LATE_SECONDS: Final = (0.120, 0.150)  # until, from
LOST_SHARE: Final = (0.25, 0.40)
# Another line must be that much better before one is left for its loss.
CLEARLY_BETTER: Final = 0.5
FRAME_BYTES: Final = 1500
RESTING: Final = "resting"  # in events: the link's own state stays what it is
# The search for a line's rate, and a line that has become slower, lose much for a moment.
LOSING_SECONDS: Final = 3.0
# How long a line must be good again; twice as long each time it was not good for long.
BETTER_SECONDS: Final = (2.0, 60.0)
GOOD_SECONDS: Final = 30.0


@dataclass
class Rest:
    """How a link that rests, or has rested, is doing."""

    better_seconds: float = BETTER_SECONDS[0]
    bad_at: float = -inf
    losing_since: float = inf
    back_at: float = -inf


class Fitness:
    """Judges all links of a tunnel, for what this end sends."""

    def __init__(self, bond: Bond) -> None:
        self._bond = bond
        self._rests: dict[int, Rest] = {}

    def judge(self, now: float) -> list[LinkChanged]:
        """Let links rest or carry again; say which, and why."""
        members = [
            member
            for member in self._bond
            if member.link.state in CARRYING and member.role is LinkRole.USUAL
        ]
        changed = []
        for member in members:
            trouble = self._trouble(member, members, now)
            if self._move(member, trouble, now):
                state = member.link.state.value
                move = (state, RESTING) if trouble else (RESTING, state)
                reason = trouble or "it is as good as the others again"
                changed.append(LinkChanged(member.link.peer, member.number, *move, reason))
            elif trouble and member.unfit:
                member.unfit = trouble
        if changed:
            self._bond.refresh()
        return changed

    def _move(self, member: Member, trouble: str, now: float) -> bool:
        """Apply what was found; tell whether the link rests now and did not before, or back."""
        rest = self._rests[member.number]
        if trouble:
            rest.bad_at = now
            if member.unfit:
                return False
            again = now - rest.back_at < GOOD_SECONDS
            longer = min(2 * rest.better_seconds, BETTER_SECONDS[1])
            rest.better_seconds = longer if again else BETTER_SECONDS[0]
            member.unfit = trouble
            return True
        if not member.unfit or now - rest.bad_at < rest.better_seconds:
            return False
        rest.back_at = now
        member.unfit = ""
        return True

    def _trouble(self, member: Member, members: list[Member], now: float) -> str:
        """Say in what a link is worse than another that carries; nothing when it is not."""
        fresh = not member.unfit
        others = [one for one in members if one is not member and not one.unfit]
        rest = self._rests.setdefault(member.number, Rest())
        loss = member.link.outgoing.steady_loss.share
        losing = loss > LOST_SHARE[fresh]
        rest.losing_since = min(rest.losing_since, now) if losing else inf
        if losing and (not fresh or now - rest.losing_since >= LOSING_SECONDS):
            known = [one.link.outgoing.steady_loss for one in others]
            least = min((one.share for one in known if one.judged), default=1.0)
            if least < CLEARLY_BETTER * loss:
                return f"rests: it loses {loss:.0%}"
        late = _delay(member) - min((_delay(one) for one in others), default=inf)
        if late > LATE_SECONDS[fresh]:
            return f"rests: frames come {late * 1e3:.0f} ms later than over the best line"
        return ""


def _delay(member: Member) -> float:
    """How long a full frame takes at least, off by the same for all; 0.0 while it is unknown."""
    delay = member.link.outgoing.delay.late_base
    if delay is None:
        return 0.0
    rate = member.rate_bits_per_second
    return delay + (FRAME_BYTES * 8 / rate if rate else 0.0)
