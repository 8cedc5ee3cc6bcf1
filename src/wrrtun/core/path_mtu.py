"""How long a datagram one link carries: a search with datagrams of chosen sizes (RFC 8899).

A *round* is one datagram of the size in question and a small one behind it. A link keeps order: if
only the small one is answered, the other one was lost; if neither is, nothing was learned. Answers
are as long as what they answer, so a size holds in both directions. What ICMP says is not asked:
anybody can forge it, and where it is filtered it says nothing.

    taken for granted --doubt--> asked at its size --several rounds fail--> searched below
           ^                          |                                         |
           +---------answered---------+            the greatest that is answered, and
           +---------------------------------------asked for more now and then--+

Sizes are UDP payload, in bytes.
"""

from math import inf
from typing import Final

# IP packets that lines are known to carry, headers included: Ethernet, PPPoE, tunnels, mobile
# lines; and a few between, for the search to find something near.
KNOWN_PACKET_BYTES: Final = (
    *(576, 640, 704, 768, 832, 896, 960, 1024, 1088, 1152, 1216, 1280, 1300, 1320, 1340, 1358),
    *(1372, 1380, 1392, 1400, 1410, 1420, 1428, 1432, 1436, 1440, 1444, 1448, 1450, 1452, 1454),
    *(1456, 1458, 1460, 1462, 1464, 1468, 1472, 1476, 1480, 1484, 1488, 1492, 1496, 1500),
    *(2048, 3072, 4352, 6144, 8192, 9000, 16_384, 32_768),
)
# Rounds that must fail, with no answer at that size between them; a line that loses 30 % does so
# once in a thousand times. From a few on no frame is risked, if other links can take it. In the
# search below a mistake costs some bytes for some seconds: there fewer do.
TRIES: Final = 5
TRIES_TO_DOUBT: Final = 2
TRIES_TO_SEARCH: Final = 3
# A round that lost both of its datagrams says that the line loses anything: so many more must fail.
TRIES_FOR_SILENCE: Final = 3
MOST_TRIES: Final = 20
ROUND_SECONDS: Final = 0.05  # between two rounds at least: a full buffer empties meanwhile
# An answer may be this much later than a probe's: the long datagram goes before it, twice.
MARGIN_SECONDS: Final = 0.1
MAX_ROUND_SECONDS: Final = 5.0  # while nothing is answered at all
# How long after a size was confirmed it is doubted again, if there is no better reason than loss.
DOUBT_SECONDS: Final = (1.0, 60.0)
# A line that carried more before is asked soon whether it does again, then ever less often, at
# last at RFC 8899's pace (PMTU_RAISE_TIMER, 5.1.1).
HOPE_SECONDS: Final = (5.0, 600.0)


class PathMtu:
    """The search of one link."""

    def __init__(self) -> None:
        self.size_bytes = 65_507  # what frames may take; 0: not even the least size passes
        self.known = False  # answered at that size
        self.round = 0
        self._least_bytes = 0
        self._ceiling_bytes = self.size_bytes
        self._header_bytes = 0
        # The search: sizes in ascending order, and of these the greatest that passed (-1: none
        # yet), the least that did not, and the one in question (None: no search is on).
        self._sizes: list[int] = []
        self._passed = -1
        self._failed = 0
        self._asked: int | None = None
        self._confirming = False  # that what is taken for granted passes
        self._hoping = False  # that the ceiling does
        self._hint = 0  # what the other end has found to pass
        self._free = False  # the device refuses: asking again soon costs nothing
        self._tries = self._silent = 0  # rounds that lost the long datagram, and both
        self._sent_at = -inf
        self._over = True  # what there was to learn from the last round is learned
        self._unanswered = 0  # rounds in a row
        self._doubt_at = -inf
        self._doubt_seconds = DOUBT_SECONDS[0]
        self._hope_at = inf
        self._hope_seconds = HOPE_SECONDS[0]

    @property
    def doubted(self) -> bool:
        """Whether frames of the tunnel's size had better take another link."""
        if self._asked is not None and not self.known and not self._confirming:
            return True
        return (self.confirming and self._failed_rounds(TRIES_TO_DOUBT)) or not self.size_bytes

    @property
    def confirming(self) -> bool:
        """Whether it is being asked if what was taken for granted passes."""
        return self._asked is not None and self._confirming

    @property
    def says(self) -> int:
        """What to tell the other end of this link: its size, or 0 when that is not known."""
        return self.size_bytes if self.known and not self.doubted else 0

    @property
    def asked_bytes(self) -> int | None:
        """The size in question; None while there is none."""
        return None if self._asked is None else self._sizes[self._asked]

    def bound(self, least_bytes: int, ceiling_bytes: int, header_bytes: int, now: float) -> None:
        """Say what is of use: nothing below the least size, nothing above the ceiling."""
        wanted = least_bytes, ceiling_bytes, header_bytes
        before = self._ceiling_bytes
        if wanted == (self._least_bytes, before, self._header_bytes):
            return
        self._least_bytes, self._ceiling_bytes, self._header_bytes = wanted
        if (self.size_bytes and not self.known) or self.size_bytes > ceiling_bytes:
            self.size_bytes = ceiling_bytes
        elif ceiling_bytes > before:
            self._hope_at = now
        if self._asked is not None:
            self._confirm(now)

    def doubt(self, now: float, *, urgent: bool = False) -> None:
        """Ask whether the size still passes; without urgency only now and then."""
        if self._asked is not None:
            if urgent:
                self._unanswered = 0
        elif not self.size_bytes:
            self._hope_at = min(self._hope_at, now) if urgent else self._hope_at
        elif urgent or now >= self._doubt_at:
            self._confirm(now)

    def hope(self, now: float) -> None:
        """Ask whether more passes than before: something may have changed."""
        if self.size_bytes < self._ceiling_bytes:
            self._hope_at = min(self._hope_at, max(now, self._sent_at + self._hope_seconds))

    def renew(self, now: float) -> None:
        """Begin anew, with what is known for a guess: datagrams may go another way now."""
        self._hope_seconds = HOPE_SECONDS[0]
        self.doubt(now, urgent=True)
        self.hope(now)

    def hear(self, says: int, now: float) -> None:
        """Take what the other end says of this link, as `says`: where it differs, look again."""
        mine = self.says
        if says > mine > 0:
            self._hint = says
            self.hope(now)
        elif says < mine and now >= self._sent_at + DOUBT_SECONDS[0]:
            self.doubt(now, urgent=True)

    def alive(self) -> None:
        """Hear that the link answers small datagrams: there is no reason to wait any longer."""
        self._unanswered = 0

    def refused(self, size_bytes: int, now: float) -> None:
        """Hear from the kernel that a datagram is longer than what the device sends."""
        if self._asked is None:
            if size_bytes > self.size_bytes:
                return  # sealed before the size was found
            self._confirm(now)
        asked = self.asked_bytes
        if asked is not None and size_bytes <= asked:
            self._free = True
            self._fail(now)

    def on_reply(self, number: int, size_bytes: int, small: bool, now: float) -> None:
        """Take the answer to one of round `number`'s datagrams; `small`: to the one behind."""
        if self._asked is None:
            return
        if not small and size_bytes == self._sizes[self._asked]:
            self._over = True
            self._unanswered = 0
            self._pass(now)
        elif small and number == self.round and not self._over:
            self._over = True
            self._unanswered = 0
            self._tries += 1
            if self._failed_rounds(TRIES if self._confirming else TRIES_TO_SEARCH):
                self._fail(now)

    def due_at(self, timeout_seconds: float) -> float:
        """Say when `begin_round` has something to do; `timeout_seconds`: the link's."""
        if self._asked is None:
            return self._hope_at
        if self._over:
            return self._sent_at + ROUND_SECONDS if self._tries else -inf
        timeout = (timeout_seconds + MARGIN_SECONDS) * 2.0**self._unanswered
        return self._sent_at + min(timeout, MAX_ROUND_SECONDS)

    def begin_round(self, timeout_seconds: float, now: float) -> int | None:
        """Return the size to send, before a small datagram, if it is time to."""
        if now < self.due_at(timeout_seconds):
            return None
        if self._asked is None:
            self._look_above()
        elif not self._over:
            self._unanswered = min(self._unanswered + 1, 16)
            self._silent += 1
        self.round = self.round + 1 & 0xFFFF_FFFF
        self._sent_at, self._over = now, False
        return self.asked_bytes

    def _failed_rounds(self, enough: int) -> bool:
        return self._tries >= min(enough + TRIES_FOR_SILENCE * self._silent, MOST_TRIES)

    def _table(self) -> None:
        least, most = self._least_bytes, self._ceiling_bytes
        sizes = {size - self._header_bytes for size in KNOWN_PACKET_BYTES}
        within = {size for size in sizes if least <= size <= most}
        told = {min(max(size, least), most) for size in (self.size_bytes, self._hint)}
        self._sizes = sorted(within | {least, most} | told)
        self._passed, self._failed = -1, len(self._sizes)
        self._confirming = self._hoping = self._free = False

    def _confirm(self, now: float) -> None:
        """Begin to ask whether what is taken for granted passes."""
        self._table()
        self._confirming = True
        self._ask(self._sizes.index(self.size_bytes) if self.size_bytes in self._sizes else 0)
        self._doubt_at = now + self._doubt_seconds

    def _look_above(self) -> None:
        """Begin to ask for the most, or what the other end found; if not, for a little more."""
        self._table()
        if self.size_bytes in self._sizes:
            self._passed = self._sizes.index(self.size_bytes)
            self._hoping = True
        if self.size_bytes < self._hint and self._hint in self._sizes:
            self._failed = self._sizes.index(self._hint) + 1
        self._hint = 0
        self._ask(self._failed - 1)

    def _ask(self, index: int) -> None:
        self._asked, self._over = index, True
        self._tries = self._silent = 0

    def _pass(self, now: float) -> None:
        assert self._asked is not None
        self._passed = self._asked
        if self._confirming:
            self._doubt_seconds = min(2 * self._doubt_seconds, DOUBT_SECONDS[1])
            self._finish(now)
        else:
            self._go_on(now)

    def _fail(self, now: float) -> None:
        assert self._asked is not None
        self._failed = self._asked
        self._doubt_seconds = DOUBT_SECONDS[0]
        if self._confirming:
            self._confirming, self.known = False, False
        self._go_on(now)

    def _go_on(self, now: float) -> None:
        if self._failed - self._passed <= 1:
            self._finish(now)
        elif self._hoping:
            self._hoping = False
            self._ask(self._passed + 1)
        else:
            self._ask((self._passed + self._failed) // 2)

    def _finish(self, now: float) -> None:
        self._asked = None
        found = self._sizes[self._passed] if self._passed >= 0 else 0
        if found != self.size_bytes:
            self._hope_seconds = HOPE_SECONDS[0]
        elif self._confirming and self._hope_at > now:
            self.known = True
            return
        self.size_bytes, self.known = found, found > 0
        self._hope_at = now + self._hope_seconds if found < self._ceiling_bytes else inf
        if not self._free:
            self._hope_seconds = min(2 * self._hope_seconds, HOPE_SECONDS[1])
