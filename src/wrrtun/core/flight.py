"""What bulk one link has under way: when each run left, and what a report's samples say of it.

Reports name seqs in the order in which they left, so runs are forgotten from the front.
"""

from collections import deque
from typing import NamedTuple

from .reports import Samples
from .wire import seq_distance


class SentRun(NamedTuple):
    """Datagrams with seqs `first` to `first + datagrams - 1` that left together."""

    first: int
    datagrams: int
    sent_at: float | None  # None: nobody knows, the process was held up
    datagram_bytes: int  # with UDP and IP headers
    wire_bytes_before: int  # all that the link was given before it
    bulk_bytes_before: int
    bulk_before: int  # datagrams
    limited: bool  # nothing was left to be sent after it
    pulse: int  # the number of the pulse that it was part of, or 0


class Sample(NamedTuple):
    """A bulk datagram that has arrived: both ends' clocks, and totals with it included."""

    arrived: float
    sent_at: float
    wire_bytes: int  # that the link was given
    bulk: int  # datagrams that the link was given
    limited: bool
    pulse: int

    @property
    def delay(self) -> float:
        """Its one-way delay in seconds, off by the difference of the two clocks."""
        return self.arrived - self.sent_at


class Flight:
    """The bulk of one link that no report has mentioned yet."""

    def __init__(self) -> None:
        self.bytes = 0  # under way, with UDP and IP headers
        self._runs: deque[SentRun] = deque()
        self._bulk_bytes = 0
        self._bulk = 0

    def add(
        self,
        first: int,
        count: int,
        datagram_bytes: int,
        wire_bytes_before: int,
        limited: bool,
        pulse: int,
        now: float,
    ) -> None:
        """Note a run that has just left."""
        self._runs.append(
            SentRun(
                first,
                count,
                now,
                datagram_bytes,
                wire_bytes_before,
                self._bulk_bytes,
                self._bulk,
                limited,
                pulse,
            )
        )
        size = count * datagram_bytes
        self._bulk_bytes += size
        self._bulk += count
        self.bytes += size

    def doubt(self, sent_at: float) -> None:
        """Hear that what was noted as sent then left some time later."""
        for index in range(len(self._runs) - 1, -1, -1):
            if self._runs[index].sent_at != sent_at:
                break
            self._runs[index] = self._runs[index]._replace(sent_at=None)

    def settle(self, samples: Samples) -> list[Sample]:
        """Look a report's samples up, and forget what left before the newest of them.

        None when it is not known when that one left: the report's totals belong to it.
        """
        found = []
        newest_is_known = True
        for seq, arrived_us in samples:
            while self._runs and seq_distance(seq, self._runs[0].first) >= self._runs[0].datagrams:
                self._runs.popleft()
            if not self._runs or seq_distance(seq, self._runs[0].first) < 0:
                continue
            run = self._runs[0]
            through = seq_distance(seq, run.first) + 1
            size = through * run.datagram_bytes
            self.bytes = self._bulk_bytes - run.bulk_bytes_before - size
            if run.sent_at is None:
                newest_is_known = False
                continue
            newest_is_known = True
            found.append(
                Sample(
                    arrived_us / 1e6,
                    run.sent_at,
                    run.wire_bytes_before + size,
                    run.bulk_before + through,
                    run.limited,
                    run.pulse,
                )
            )
        return found if newest_is_known else []

    def clear(self) -> None:
        """Take all that is under way for lost."""
        self._runs.clear()
        self.bytes = 0
