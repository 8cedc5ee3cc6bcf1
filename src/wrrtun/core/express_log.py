"""What went express of late, to send it again when its link has fallen silent.

Among what a dying line swallows are the last acknowledgements of a download: without them the far
end's TCP runs into a timeout though all of its data arrives. The window of the other end drops what
comes twice.
"""

from collections import deque
from typing import Final

from .member import Member
from .output import Transmit

# As much as it takes to suspect a link.
KEPT: Final = 64
KEPT_SECONDS: Final = 0.25


class ExpressLog:
    """The last express batches of all links, as sealed."""

    def __init__(self) -> None:
        self._sent: deque[tuple[float, Transmit]] = deque(maxlen=KEPT)

    def add(self, sent: Transmit, now: float) -> None:
        """Keep what leaves now; its bytes must not change."""
        self._sent.append((now, sent))

    def again(self, silent: Member, other: Member | None, now: float) -> list[Transmit]:
        """Take out what a link was given since it was last heard, to go over the other one."""
        if other is None or other is silent:
            return []
        since = max(silent.link.heard_at - (silent.link.srtt or 0.0), now - KEPT_SECONDS)
        found = [one for one in self._sent if one[0] >= since and one[1].link == silent.number]
        for one in found:
            self._sent.remove(one)
        for _, sent in found:
            count = -(-len(sent.data) // sent.datagram_bytes)
            other.charge(count, len(sent.data), now)
            # Those that came the first time are refused as replays: that is no loss of this link.
            other.link.outgoing.datagrams -= count
        return [sent._replace(link=other.number, path=other.path) for _, sent in found]

    def clear(self) -> None:
        """Keep nothing: whom it was sent to has started anew."""
        self._sent.clear()
