"""When to probe a link, and when its answers are to be trusted again."""

from dataclasses import dataclass
from math import inf
from typing import Final

START_SECONDS: Final = 0.2
START_INTERVAL_SECONDS: Final = 0.02
FLOWING_INTERVAL_SECONDS: Final = 0.1
# Over all links, at each end: with eight, reports say enough of each between two probes.
MOST_PROBES_PER_SECOND: Final = 40
IDLE_INTERVAL_SECONDS: Final = 1.0
# A metered or backup link that carries nothing, and every link of a quiet tunnel, is asked by the
# client, often enough for NAT to remember it: some 40 MB in a month, with answers and handshakes.
# The server asks when the client does not.
RESTING_INTERVAL_SECONDS: Final = {"client": 15.0, "server": 20.0}
# A dead link is asked ever less often, and quickly again once it has answered.
DOWN_INTERVALS_SECONDS: Final = (0.2, 1.0)

ENOUGH_UNANSWERED: Final = 3
ANSWERS_TO_RETURN: Final = (2, 32)
TRUSTED_AFTER_SECONDS: Final = 5.0

# Answers later than this many probes are no news. A minute of silence keeps no more.
MAX_OUTSTANDING: Final = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A probe under way."""

    sent_at: float
    sent_datagrams: int  # on its link until then, itself included


class Prober:
    """The probes of one link."""

    def __init__(self, now: float) -> None:
        self.answers_in_row = 0
        self.resting_interval: float | None = None  # None: not at rest
        self.flowing_interval = FLOWING_INTERVAL_SECONDS
        self._first_at: float | None = None
        self._sent_at = now - IDLE_INTERVAL_SECONDS  # the first is due at once
        self._was_asked_at = self._sent_at
        self._next_id = 0
        self._outstanding: dict[int, Asked] = {}  # in the order they were sent
        self._newest_answered = -1
        self._proven_at = float("-inf")
        self._down_interval: float | None = None  # None: not down

    def sent(self, sent_datagrams: int, now: float) -> int:
        """Number a probe that is about to leave as the link's datagram `sent_datagrams`."""
        number = self._next_id
        self._next_id += 1
        self._sent_at = now
        if self._first_at is None:
            self._first_at = now
        self._outstanding[number] = Asked(now, sent_datagrams)
        if len(self._outstanding) > MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        if self._down_interval is not None:
            self._down_interval = min(2 * self._down_interval, DOWN_INTERVALS_SECONDS[1])
        return number

    def answered(self, number: int) -> Asked | None:
        """Take an answer, once; None when that probe is unknown, answered, or overtaken."""
        asked = self._outstanding.get(number)
        if asked is None:
            return None
        in_row = number == self._newest_answered + 1
        self.answers_in_row = self.answers_in_row + 1 if in_row else 1
        self._newest_answered = number
        for earlier in [other for other in self._outstanding if other <= number]:
            del self._outstanding[earlier]
        if self._down_interval is not None:
            self._down_interval = FLOWING_INTERVAL_SECONDS / 2
        return asked

    def owes(self, answers: int) -> bool:
        """Tell whether it answers, but not yet as often in a row as it should."""
        return 0 < self.answers_in_row < answers and not self.may_fall()

    def asked(self, now: float) -> None:
        """Hear that the other end has asked: it learns whether both directions deliver."""
        self._was_asked_at = now

    def prove(self, now: float) -> None:
        """Hear by other means that what was sent until now arrives."""
        self._proven_at = now

    @property
    def asked_at(self) -> float:
        """When the oldest probe left that may yet be answered; infinity when there is none."""
        waiting = (asked.sent_at for asked in self._outstanding.values())
        return next((sent_at for sent_at in waiting if sent_at > self._proven_at), inf)

    def may_fall(self) -> bool:
        """Tell whether so many probes are unanswered that time alone may bring a verdict."""
        return len(self._outstanding) >= ENOUGH_UNANSWERED

    def unanswered_since(self, timeout_seconds: float, now: float) -> float | None:
        """Say since when probes go unanswered; None while fewer than three have timed out."""
        if len(self._outstanding) < ENOUGH_UNANSWERED:
            return None
        overdue = [
            asked.sent_at
            for asked in self._outstanding.values()
            if asked.sent_at > self._proven_at and now - asked.sent_at >= timeout_seconds
        ]
        return overdue[0] if len(overdue) >= ENOUGH_UNANSWERED else None

    def due_at(self, flowing: bool, now: float) -> float:
        """Say when the next probe is due; the first at once."""
        if self._down_interval is not None:
            return self._sent_at + self._down_interval
        if self._first_at is None or now - self._first_at < START_SECONDS:
            return self._sent_at + START_INTERVAL_SECONDS
        if flowing:
            return self._sent_at + self.flowing_interval
        if self.resting_interval is None:
            return self._sent_at + IDLE_INTERVAL_SECONDS
        return max(self._sent_at, self._was_asked_at) + self.resting_interval

    def slow_down(self, now: float) -> None:
        """Probe a link that has just gone down: soon, then ever less often."""
        self.answers_in_row = 0
        self._sent_at = now
        self._down_interval = DOWN_INTERVALS_SECONDS[0]

    def speed_up(self) -> None:
        """Probe as usual; answers are counted from here."""
        self.answers_in_row = 0
        self._down_interval = None


class Trust:
    """How often in a row a link must answer before it carries again.

    A link that falls soon after its return, as where small probes pass and full frames do not,
    owes twice as many answers each time, so that it does not take frames down with it each time.
    """

    def __init__(self) -> None:
        self.answers_owed = ANSWERS_TO_RETURN[0]
        self._rose_at = float("-inf")

    def rise(self, now: float) -> None:
        """Note that the link carries from now on."""
        self._rose_at = now

    def fall(self, now: float) -> None:
        """Note that it does not any more."""
        least, most = ANSWERS_TO_RETURN
        soon = now - self._rose_at < TRUSTED_AFTER_SECONDS
        self.answers_owed = min(2 * self.answers_owed, most) if soon else least
