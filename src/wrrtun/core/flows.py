"""Keep a flow together: what it sends small does not overtake what it has sent large.

Express overtakes bulk. A flow that sends both, as QUIC does when its window has room for a hundred
bytes more, would come out of order, and take that for loss: three packets are enough (RFC 9002,
6.1.1). So a flow that has sent bulk a moment ago sends nothing but bulk. Two sets take turns: a
flow is remembered for one to two times as long as a frame may be under way.
"""

from typing import Final

from .classify import Flow

# Longer than a frame is on its way: the queue's 0.1 s, a slow line's 0.5 s, a repair's 0.18 s.
UNDER_WAY_SECONDS: Final = 1.0
# A port scan shall not fill the memory; the flows that then are forgotten early are the scan's.
MOST_FLOWS: Final = 4096


class BulkFlows:
    """The flows that may have bulk under way."""

    def __init__(self) -> None:
        self._recent: set[Flow] = set()
        self._before: set[Flow] = set()
        self._turned_at = 0.0

    def holds(self, flow: Flow, now: float) -> bool:
        """Tell whether the flow has sent bulk of late."""
        age = now - self._turned_at
        if age >= UNDER_WAY_SECONDS or len(self._recent) >= MOST_FLOWS:
            self._before = self._recent if age < 2 * UNDER_WAY_SECONDS else set()
            self._recent = set()
            self._turned_at = now
        return flow in self._recent or flow in self._before

    def add(self, flow: Flow) -> None:
        """Note that the flow sends bulk."""
        self._recent.add(flow)
