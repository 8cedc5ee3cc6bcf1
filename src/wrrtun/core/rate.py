"""Find what one direction of a link can carry, and follow it: one RateFinder per link.

Its states are those of `rate_state`.

Delivered rate says what a line can carry only while its queue grows: a sender that has little to
send delivers little. So the queue (one-way delay above its base) is what decides; the delivered
rate then says how much. Loss with a flat delay is radio loss and changes nothing.

Rates are bytes a second with IP and UDP headers, times are seconds.
"""

from math import inf
from typing import Final

from .flight import Sample
from .pulse import Pulse, Verdict
from .rate_state import RateState
from .rate_window import ENOUGH_DATAGRAMS, WIRE_BYTES, History, LossGauge, Point, QueueGauge
from .search import DATAGRAMS, FAST_BYTES_PER_SECOND, REPORT_SECONDS, Search

CRUISE_GAIN: Final = 0.995  # 0.98 costs what it says; 1.0 leaves no way for a queue to go
# A rate so near to the cap is the cap: what is too much by so little drains now and then.
CAP_SHARE: Final = 0.95
DRAIN_GAIN: Final = 0.7
DRAIN_SECONDS: Final = 0.6
PAUSE_SECONDS: Final = 0.1  # sooner than its drain, and it was no fall
LEAST_BYTES_PER_SECOND: Final = 4_000.0

# What may be under way: a round trip and what reports add to it, and a little for what a change of
# the line needs to show itself. Without the report's interval it would cost a tenth.
SPARE_SECONDS: Final = 0.05
SPARE_DATAGRAMS: Final = 6
# Reports that name nothing new for this long, beyond a round trip: what is under way is lost.
SILENT_SECONDS: Final = 0.5

FIRST_PULSE_SECONDS: Final = 0.2
AGAIN_SECONDS: Final = 0.1  # after a pulse with too little to send
IDLE_SECONDS: Final = 10.0
STALL_SECONDS: Final = 0.5  # a host that stalls more often has to be measured as it is


class RateFinder:
    """One direction of one link, at its sending end."""

    def __init__(self, cap: float | None, now: float) -> None:
        """Start at `cap` bytes a second and never go beyond it; None: search."""
        self.cap = cap
        self.state = RateState.START if cap is None else RateState.CRUISE
        self.rate = cap or 0.0  # 0: nothing sent yet
        self.pulse = 0  # the number of the pulse that is being sent, or 0
        self.history = History()
        self.gauge = QueueGauge()
        self._pulses = Pulse()
        self._least_round_trip = inf
        self._until = inf  # the end of a pulse or drain
        self._fell_from = 0.0  # the rate before the last fall, or 0
        self._hold_until = now  # what was sent before says nothing of the queue that will be
        self._drain_queue = inf  # when the drain began
        self._drained_until = -inf
        self._stalled_at = -inf
        self._high = 0  # reports in a row that saw a queue
        self._search = Search()
        self._losses = LossGauge()
        self._reported_at = now

    # What the link may do now

    @property
    def found(self) -> bool:
        """Whether the rate is known."""
        return self.state is not RateState.START

    @property
    def pace(self) -> float:
        """How fast to send; 0.0: as fast as it goes."""
        if self.state is RateState.START:
            return self.rate if self.rate < FAST_BYTES_PER_SECOND else 0.0
        if self.state is RateState.PULSE:
            return self.rate * self._pulses.gain
        if self.state is RateState.DRAIN:
            return self.rate * DRAIN_GAIN
        return self.rate * CRUISE_GAIN

    @property
    def limit_bytes(self) -> float:
        """How much bulk may be under way."""
        trip = self._least_round_trip
        if trip == inf or not self.pace:
            return inf
        if self.state is RateState.START:
            return 2 * self.rate * (trip + REPORT_SECONDS) + DATAGRAMS * WIRE_BYTES
        seconds = trip + REPORT_SECONDS + SPARE_SECONDS
        return self.rate * seconds + SPARE_DATAGRAMS * WIRE_BYTES

    @property
    def fell(self) -> bool:
        """Whether the line has just turned out to carry much less than it did."""
        return self._fell_from > 0 and self.state is RateState.DRAIN

    @property
    def asking(self) -> bool:
        """Whether a pulse is under way: only one link at a time shall have one."""
        return self.state in (RateState.PULSE, RateState.WAIT)

    # What happens

    def wake(self, round_trip: float | None, now: float) -> None:
        """Begin, or begin again after a rest: what was found then may be no longer true."""
        self.history.clear()
        self._reported_at = now
        if not self.rate:
            self.rate = Search.first_rate(round_trip)
        elif self.found:
            self._pulses.hurry(now, faster=True)

    def set_cap(self, cap: float | None) -> None:
        """Change what the operator says the line can carry."""
        if cap is not None and cap != self.cap:
            self.rate = cap
            self._go(RateState.CRUISE, inf)
        self.cap = cap

    def on_stall(self, now: float) -> None:
        """Hear that an end did not run for a while: what was sent until now tells nothing."""
        if now - self._stalled_at > STALL_SECONDS:
            self._stalled_at = now
            self.history.clear()
            if self.asking:
                self._void(now)

    def on_report(self, samples: list[Sample], received: tuple[int, int], now: float) -> None:
        """Learn from what the other end says of this link; `received`: bytes, bulk datagrams."""
        if samples:
            self._reported_at = now
        if not samples or samples[-1].sent_at <= self._stalled_at:
            return
        newest = samples[-1]
        self._least_round_trip = min(self._least_round_trip, now - newest.sent_at)
        self.history.add(Point(newest, *received))
        self.gauge.measure(samples, now)
        self._learn(samples)
        if self.state is RateState.START:
            rate, found = self._search.step(self.rate, self.history, self.gauge, self._losses)
            self._set_rate(rate)
            if found:
                self._drain(now)
            return
        self._pulses.add(samples)
        if self._congested(samples, now) or self._paused(now):
            return
        self._lossy(now)
        if self.state is RateState.WAIT and self._pulses.reported(newest):
            self._judge(now)

    def tick(self, *, backlog: bool, may_ask: bool, now: float) -> bool:
        """Do what time makes due; tell whether `clear` should be called on what is under way."""
        if self.state is RateState.DRAIN and now >= self._until:
            self._go(RateState.CRUISE, inf)
            self._drained_until = now + 0.25
        elif self.state is RateState.PULSE and now >= self._until:
            self._go(RateState.WAIT, now + SILENT_SECONDS + self._least_round_trip)
            self.pulse = 0
        elif self.state is RateState.WAIT and now >= self._until:
            self._void(now)
        elif self.state is RateState.CRUISE and now >= self._ask_at and backlog and may_ask:
            self._ask(now)
        trip = self._least_round_trip
        if now - self._reported_at < SILENT_SECONDS + (trip if trip < inf else 0.0):
            return False
        self._reported_at = now
        return True

    @property
    def deadline(self) -> float:
        """When `tick` has something to do."""
        return min(self._until, self._ask_at if self.state is RateState.CRUISE else inf)

    @property
    def _ask_at(self) -> float:
        """When the next pulse is due: at its cap, a line has nothing to be asked."""
        return inf if self.rate == self.cap else self._pulses.due_at

    # The rule

    def _learn(self, samples: list[Sample]) -> None:
        """Learn what an empty queue reads like, when it is known to be empty."""
        gauge, newest = self.gauge, samples[-1]
        if gauge.queue > 2 * gauge.threshold(self.rate):
            return
        flow = self.history.over(0.05)
        slow = newest.limited and flow is not None and flow.delivered < 0.5 * self.rate
        if slow or self._hold_until <= newest.sent_at <= self._drained_until:
            gauge.learn(samples)

    def _congested(self, samples: list[Sample], now: float) -> bool:
        """Slow down if the line's queue says so; tell whether it did."""
        gauge, newest = self.gauge, samples[-1]
        threshold = gauge.threshold(self.rate)
        pulsed = any(sample.pulse for sample in samples)
        high = gauge.queue > threshold and not pulsed and newest.sent_at > self._hold_until
        self._high = self._high + 1 if high else 0
        sudden = max(3 * threshold, 0.03) + (0.4 * (self._pulses.gain - 1) if pulsed else 0.0)
        before = self._drain_queue if self._drain_queue < inf else 0.0
        if self._high < 2 and gauge.queue <= before + sudden:
            return False
        delivered = self.history.delivered(self.rate, gauge.jitter)
        if delivered is None:
            return False
        before = self._fell_from if self.fell else self.rate
        self._fell_from = 0.0
        if delivered < 0.97 * self.rate:
            if delivered < 0.8 * self.rate:
                self._fell_from = before
                self._pulses.unsettle(1.0, now)
            self._set_rate(max(delivered, 0.2 * self.rate))
        elif self.rate != self.cap:
            # A little too fast: what was delivered since the queue was last empty says how much.
            slow = self.history.over(newest.sent_at - self._hold_until - 0.1, self._hold_until)
            if slow is not None and slow.delivered > 0.9 * self.rate:
                self._set_rate(min(self.rate, slow.delivered))
        self._drain(now)
        return True

    def _paused(self, now: float) -> bool:
        """Take a fall back whose queue is gone before the rate that it left could have sent it."""
        empty = max(0.3 * self.gauge.threshold(self.rate), self.gauge.noise)
        if not self.fell or self._until - now < PAUSE_SECONDS or self.gauge.queue > empty:
            return False
        self._set_rate(self._fell_from)
        self._fell_from = 0.0
        self._hold_until = now
        self._go(RateState.CRUISE, inf)
        return True

    def _lossy(self, now: float) -> None:
        """Slow down if a line without much of a queue drops what is too much for it."""
        seconds = max(0.2, ENOUGH_DATAGRAMS * WIRE_BYTES / self.rate)
        flow = self.history.over(seconds, self._hold_until)
        if flow is None or flow.datagrams < ENOUGH_DATAGRAMS:
            return
        rate = self._losses.judge(flow, self.rate)
        if rate != self.rate:
            self._set_rate(rate)
            self._drain(now)

    def _judge(self, now: float) -> None:
        """Learn from a pulse that has been reported."""
        verdict, rate = self._pulses.judge(self.rate, self.history, self._losses.usual)
        if verdict is Verdict.VOID:
            self._void(now)
            return
        before = self.rate
        self._set_rate(rate)
        if verdict is Verdict.CARRIED and self.rate > before:
            self._pulses.succeed(now)
            self._hold_until = now
            self._go(RateState.CRUISE, inf)
            return
        self._pulses.fail(now)
        gauge = self.gauge
        empty = min(gauge.noise, 2 * gauge.jitter + 0.003)
        self._drain(now, max(0.0, gauge.queue - empty))

    def _void(self, now: float) -> None:
        self._pulses.put_off(AGAIN_SECONDS, now)
        self.pulse = 0
        self._hold_until = now
        self._go(RateState.CRUISE, inf)

    def _ask(self, now: float) -> None:
        length = self._pulses.begin(self.rate, self.gauge.jitter, now)
        self.pulse = self._pulses.number
        self._hold_until = inf
        self._go(RateState.PULSE, now + length)

    def _drain(self, now: float, excess: float | None = None) -> None:
        gauge = self.gauge
        if excess is None:
            excess = max(0.0, gauge.queue - max(0.3 * gauge.threshold(self.rate), gauge.noise))
        length = min(excess / (1 - DRAIN_GAIN), DRAIN_SECONDS)
        self._drain_queue = gauge.queue
        self._high = 0
        self.pulse = 0
        self._hold_until = now + length
        self._go(RateState.DRAIN, self._hold_until)
        if self._pulses.due_at == inf:
            self._pulses.put_off(FIRST_PULSE_SECONDS, now)

    def _go(self, state: RateState, until: float) -> None:
        self.state, self._until = state, until
        if state is RateState.CRUISE:
            self._drain_queue = inf

    def _set_rate(self, rate: float) -> None:
        rate = max(rate, LEAST_BYTES_PER_SECOND)
        self.rate = self.cap if self.cap and rate >= CAP_SHARE * self.cap else rate
