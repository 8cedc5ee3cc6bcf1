"""The first moments of a link: faster with each report, until its queue grows or it loses much."""

from typing import Final

from .rate_window import ENOUGH_DATAGRAMS, WIRE_BYTES, History, LossGauge, QueueGauge

DATAGRAMS: Final = 10  # in the first round trip: as TCP's initial window (RFC 6928)
DEFAULT_ROUND_TRIP_SECONDS: Final = 0.1
AGE_SECONDS: Final = 0.06
REPORT_SECONDS: Final = 0.025
# Beyond 200 Mbit/s the CPU may well be the limit, and pacing takes some of it: only when such a
# line's queue grows it is paced. It is one of its own if it is longer than what waits for a CPU.
FAST_BYTES_PER_SECOND: Final = 25e6
FAST_QUEUE_SECONDS: Final = 0.02
# What such a line loses at once may have been lost in the socket of an end that had no CPU.
FAST_LOSS_SECONDS: Final = 0.2


class Search:
    """The search of one link."""

    def __init__(self) -> None:
        self._high = 0  # reports in a row that saw a queue
        self._active = 0.0  # seconds in which there was always something to send

    @staticmethod
    def first_rate(round_trip: float | None) -> float:
        """Return the rate to begin with."""
        return DATAGRAMS * WIRE_BYTES / max(round_trip or DEFAULT_ROUND_TRIP_SECONDS, 0.001)

    def step(
        self, rate: float, history: History, gauge: QueueGauge, losses: LossGauge
    ) -> tuple[float, bool]:
        """Learn from a report; return the rate to go on with, and whether it is found."""
        flow = history.over(max(0.03, 6 * WIRE_BYTES / rate, 12 * gauge.jitter))
        threshold, lossy = gauge.threshold(rate), flow
        if rate >= FAST_BYTES_PER_SECOND:
            threshold = max(threshold, FAST_QUEUE_SECONDS)
            lossy = history.over(FAST_LOSS_SECONDS)
        self._high = self._high + 1 if gauge.queue > threshold else 0
        if flow is None:
            return rate, False
        if lossy is not None and lossy.datagrams >= ENOUGH_DATAGRAMS and losses.excess(lossy):
            return losses.judge(lossy, rate), True
        full = self._high >= 2 or gauge.queue > 2 * threshold
        if full and (flow.delivered < 0.92 * flow.sent or self._high >= 4):
            return flow.delivered, True
        # Twice what has arrived, even when that was all there was: then the pacer is no limit.
        self._active += 0.0 if flow.limited else REPORT_SECONDS
        faster = rate * 2 ** (AGE_SECONDS / max(self._active, AGE_SECONDS))
        return max(rate, min(2 * flow.delivered, faster)), False
