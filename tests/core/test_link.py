import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.events import LinkChanged
from wrrtun.core.link import Link
from wrrtun.core.link_state import MOVES, LinkState, Signal

END_CLOCK_OFFSET = 4321.0  # the server's clock against the client's


@dataclass
class Way:
    """One direction of a line: delay, loss, a queue of what is under way."""

    delay: float
    loss: float = 0.0
    cut: bool = False
    under_way: list[tuple[float, tuple[Any, ...]]] = field(default_factory=list)

    def put(self, datagram: tuple[Any, ...], now: float, rng: random.Random) -> None:
        if not self.cut and rng.random() >= self.loss:
            self.under_way.append((now + self.delay, datagram))

    def take(self, now: float) -> Iterator[tuple[Any, ...]]:
        while self.under_way and self.under_way[0][0] <= now:
            yield self.under_way.pop(0)[1]


def known_link(delay_out: float, owd_out: float, now: float) -> Link:
    """A link that has been measured: `delay_out` each way, `owd_out` by both ends' clocks."""
    link = Link(0, now)
    for _ in range(20):
        link.round_trip.add(2 * delay_out, now)
        link.outgoing.delay.add(owd_out, now)
    return link


class Line:
    """Both ends of one link on a line of its own, on a virtual clock in steps of 5 ms.

    Reports travel over another, faster link of the tunnel, whose delays are known.
    """

    def __init__(self, delay: float = 0.010, loss: float = 0.0) -> None:
        self.now = 1000.0
        self.rng = random.Random(5)
        self.up, self.down = Way(delay, loss), Way(delay, loss)
        self.reports = {end: Way(0.005) for end in ("client", "server")}
        self.reporters = {
            "client": known_link(0.005, 0.005 + END_CLOCK_OFFSET, self.now),
            "server": known_link(0.005, 0.005 - END_CLOCK_OFFSET, self.now + END_CLOCK_OFFSET),
        }
        self.ends = {
            "client": Link(3, self.now, "home"),
            "server": Link(3, self.now + END_CLOCK_OFFSET, "home"),
        }
        self.bulk_received = {"client": 0, "server": 0}
        self.bulk = {"client": 0, "server": 0}  # datagrams that this end sends in each step
        self.reporting = True
        self.events: list[tuple[float, str, LinkChanged]] = []

    def clock(self, end: str) -> float:
        return self.now + (END_CLOCK_OFFSET if end == "server" else 0.0)

    def note(self, end: str, event: LinkChanged | None) -> None:
        if event is not None:
            self.events.append((round(self.now, 3), end, event))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass; return how much did."""
        start = self.now
        steps = round(seconds / 0.005)
        for step in range(steps):
            self.now = start + (step + 1) * 0.005
            for end in ("client", "server"):
                self._step(end, report=step % 5 == 0)
            if until():
                break
        return self.now - start

    def _step(self, end: str, report: bool) -> None:
        link, now = self.ends[end], self.clock(end)
        way_in, way_out = (self.down, self.up) if end == "client" else (self.up, self.down)
        other = "server" if end == "client" else "client"
        for kind, *values in way_in.take(self.now):
            link.on_received(1, 100, now)
            if kind == "bulk":
                self.bulk_received[end] += 1
            elif kind == "probe":
                number, sent_us, sent = values
                link.on_probe(sent_us, sent, now)
                reply = ("reply", number, int(now * 1e6), link.incoming.datagrams)
                link.on_sent(1, 100, now)
                way_out.put(reply, self.now, self.rng)
            else:
                number, received_us, received = values
                self.note(end, link.on_reply(number, received_us, received, now))
        for quiet, total in self.reports[end].take(self.now):
            self.note(end, link.on_report(quiet, total, self.reporters[end], now))
        flowing = any(self.bulk.values())
        self.note(end, link.check(now, flowing))
        if link.probe_due(now, flowing):
            number = link.on_probe_sent(now)
            sent = link.outgoing.datagrams + 1
            link.on_sent(1, 100, now)
            way_out.put(("probe", number, int(now * 1e6), sent), self.now, self.rng)
        if link.state in (LinkState.UP, LinkState.LOSSY):
            for _ in range(self.bulk[end]):
                link.on_sent(1, 1500, now, bulk=True)
                way_out.put(("bulk",), self.now, self.rng)
        if self.reporting and self.bulk[other] and report:
            told = now - link.heard_at, self.bulk_received[end]
            self.reports[other].put(told, self.now, self.rng)
        assert link.deadline(now, flowing) >= now - 0.006 or link.probe_due(now, flowing)

    @property
    def states(self) -> tuple[LinkState, LinkState]:
        return self.ends["client"].state, self.ends["server"].state


UP, LOSSY = LinkState.UP, LinkState.LOSSY
STALLED, DOWN = LinkState.STALLED, LinkState.DOWN


def flowing_line(delay: float = 0.010, loss: float = 0.0, reporting: bool = True) -> Line:
    """A line in the midst of a download, and some upload."""
    line = Line(delay, loss)
    line.reporting = reporting
    line.run(0.5)
    line.bulk = {"client": 1, "server": 3}
    line.run(5.0)
    line.events.clear()
    return line


def test_a_link_comes_up_with_its_first_answer() -> None:
    line = Line(delay=0.010)
    assert line.states == (LinkState.PROBING, LinkState.PROBING)
    line.run(0.1)
    assert line.states == (UP, UP)
    at, end, event = line.events[0]
    assert (at, end) == (1000.025, "client")
    assert event == LinkChanged("home", 3, "probing", "up", "answers")


def test_the_measures_come_from_both_clocks() -> None:
    line = Line()
    line.up.delay, line.down.delay = 0.030, 0.060
    line.run(10.0)
    client, server = line.ends["client"], line.ends["server"]
    assert client.srtt == pytest.approx(0.090, abs=0.006)
    assert client.rttvar == pytest.approx(0.0, abs=0.003)
    assert client.owd_in == pytest.approx(0.060 - END_CLOCK_OFFSET, abs=0.006)
    assert client.outgoing.delay.mean == pytest.approx(0.030 + END_CLOCK_OFFSET, abs=0.006)
    assert client.incoming.delay.base == pytest.approx(0.060 - END_CLOCK_OFFSET, abs=0.006)
    assert client.jitter_in < 0.003
    assert server.owd_in == pytest.approx(0.030 + END_CLOCK_OFFSET, abs=0.006)


def test_nothing_is_known_before_the_first_sample() -> None:
    link = Link(0, 5.0)
    assert (link.srtt, link.rttvar, link.owd_in) == (None, None, None)
    assert (link.incoming.delay.base, link.outgoing.delay.mean) == (None, None)
    assert (link.jitter_in, link.loss_in, link.loss_out) == (0.0, 0.0, 0.0)
    assert link.probe_due(5.0, flowing=False)
    assert link.deadline(5.0, flowing=False) <= 5.0


def test_a_link_that_never_answers_is_down_after_three_seconds() -> None:
    line = Line()
    line.up.cut = line.down.cut = True
    line.run(2.9)
    assert line.states == (LinkState.PROBING, LinkState.PROBING)
    line.run(0.2)
    assert line.states == (DOWN, DOWN)


def test_each_direction_counts_its_own_loss() -> None:
    line = flowing_line()
    line.down.loss = 0.03
    line.run(20.0)
    client, server = line.ends["client"], line.ends["server"]
    assert client.loss_in == pytest.approx(0.03, abs=0.012)
    assert server.loss_out == pytest.approx(0.03, abs=0.012)
    assert client.loss_out < 0.002
    assert server.loss_in < 0.002


def test_loss_makes_a_link_lossy_and_its_end_makes_it_up_again() -> None:
    line = flowing_line()
    line.down.loss = 0.05
    line.run(10.0)
    assert line.states == (LOSSY, LOSSY)
    line.down.loss = 0.0
    line.run(10.0)
    assert line.states == (UP, UP)
    moves = {(event.before, event.after) for _, _, event in line.events}
    assert moves == {("up", "lossy"), ("lossy", "up")}
    assert "loses 2%" in line.events[0][2].reason


@pytest.mark.parametrize("delay", [0.010, 0.070])
@pytest.mark.parametrize("reporting", [True, False])
def test_a_cut_line_in_a_download_carries_nothing_after_300_ms(
    delay: float, reporting: bool
) -> None:
    line = flowing_line(delay, reporting=reporting)
    line.up.cut = line.down.cut = True
    carrying = (UP, LOSSY)
    took = line.run(1.0, until=lambda: line.ends["server"].state not in carrying)
    assert took <= (0.250 if reporting else 0.450) + delay
    line.run(1.0)
    assert line.states == (DOWN, DOWN)
    assert line.events[-1][2].reason.startswith("silent for 0.")


def test_an_idle_link_is_down_after_three_seconds() -> None:
    line = Line()
    line.run(10.0)
    line.up.cut = line.down.cut = True
    took = line.run(10.0, until=lambda: line.states[0] is DOWN)
    assert 2.0 <= took <= 4.1  # of silence, which began up to a second before the cut


def test_a_link_of_600_ms_is_not_down_for_being_slow() -> None:
    line = Line(delay=0.300)
    line.run(5.0)
    line.bulk = {"client": 1, "server": 3}
    line.run(20.0)
    assert line.states == (UP, UP)
    assert len(line.events) == 2


def test_a_pause_shorter_than_two_round_trips_is_no_death() -> None:
    line = Line(delay=0.300)
    line.run(5.0)
    line.bulk = {"client": 1, "server": 3}
    line.reporting = False
    line.run(10.0)
    line.up.cut = line.down.cut = True
    line.run(0.4)
    line.up.cut = line.down.cut = False
    line.run(5.0)
    assert {event.after for _, _, event in line.events} <= {"up", "lossy"}


def test_a_burst_after_long_silence_is_not_judged_by_the_probe_before_it() -> None:
    line = Line(delay=0.120)
    line.run(20.0)
    line.up.cut = True
    line.run(1.0)  # one probe is lost
    line.up.cut = False
    line.bulk = {"client": 1, "server": 3}
    line.run(5.0)
    assert {event.after for _, _, event in line.events} <= {"up", "lossy"}


def test_random_loss_does_not_take_a_link_down() -> None:
    line = flowing_line(0.060, loss=0.10)
    line.run(60.0)
    assert line.events == []
    assert line.states == (LOSSY, LOSSY)


def test_an_upload_that_does_not_arrive_stalls_that_direction_only() -> None:
    line = flowing_line()
    line.up.cut = True
    line.run(0.3)
    assert line.states[0] is STALLED
    line.run(5.0)
    # The client hears, so its link is not dead; what the server sends is reported as arriving.
    assert line.states == (STALLED, UP)
    assert line.ends["client"].reason == "reports leave it out"


def test_without_reports_a_link_that_hears_and_is_not_answered_is_stalled() -> None:
    line = flowing_line(reporting=False)
    line.up.cut = True
    line.run(0.6)
    assert line.states[0] is STALLED
    assert line.ends["client"].reason == "heard, but it answers no probe"


def test_a_stalled_link_gives_the_answers_it_owes_in_seconds_though_all_is_quiet_by_then() -> None:
    line = flowing_line()
    for _ in range(4):  # at its next return it owes 32
        line.up.cut = True
        line.run(1.0, until=lambda: line.states[0] is STALLED)
        line.up.cut = False
        line.run(2.0, until=lambda: line.states[0] is UP)
    line.up.cut = True
    line.run(1.0, until=lambda: line.states[0] is STALLED)
    line.bulk = {"client": 0, "server": 0}
    line.run(2.0)
    line.up.cut = False
    assert 3.0 < line.run(40.0, until=lambda: line.states[0] is UP) < 5.0


def test_a_link_returns_after_two_answers_in_a_row() -> None:
    line = flowing_line(0.060)
    line.up.cut = line.down.cut = True
    line.run(3.0)
    assert line.states == (DOWN, DOWN)
    line.up.cut = line.down.cut = False
    line.run(4.0)
    assert line.states == (UP, UP)
    backs = [event for _, _, event in line.events if event.after == "up"]
    assert [event.reason for event in backs] == ["answers again"] * 2


def test_a_short_outage_is_over_soon_after_it_ends() -> None:
    line = flowing_line()
    line.up.cut = line.down.cut = True
    line.run(0.8)
    line.up.cut = line.down.cut = False
    took = line.run(3.0, until=lambda: line.states == (UP, UP))
    assert took <= 0.7


def test_a_line_that_flaps_each_second_is_used_less_and_less() -> None:
    line = flowing_line()
    for _ in range(120):
        line.up.cut = line.down.cut = True
        line.run(0.5)
        line.up.cut = line.down.cut = False
        line.run(0.5)
    per_end = [at for at, end, event in line.events if end == "client" and event.after == "up"]
    assert len(per_end) <= 12
    line.run(10.0)
    assert line.states == (UP, UP)


def test_a_socket_that_fails_takes_the_link_down_at_once_from_any_state() -> None:
    link = Link(1, 1.0, "home")
    event = link.on_socket_error(1.5, "ENETUNREACH")
    assert event == LinkChanged("home", 1, "probing", "down", "ENETUNREACH")
    assert link.on_socket_error(1.6) is None
    assert not link.probe_due(1.69, flowing=True)
    assert link.probe_due(1.71, flowing=True)
    for state in LinkState:
        assert MOVES[state, Signal.SOCKET_FAILED] is DOWN


def test_an_answer_to_nothing_that_was_asked_changes_nothing() -> None:
    link = Link(0, 1.0)
    assert link.on_reply(0, 1_000_000, 5, 1.1) is None
    number = link.on_probe_sent(1.2)
    assert link.on_reply(number + 1, 1_000_000, 5, 1.3) is None
    assert (link.state, link.srtt) == (LinkState.PROBING, None)
    assert link.on_reply(number, 1_000_000, 5, 1.3) is not None
    assert link.on_reply(number, 1_000_000, 5, 1.4) is None
    assert link.srtt == pytest.approx(0.1)


def test_every_state_can_be_left_and_only_answers_lead_back() -> None:
    for state in LinkState:
        assert {after for (before, _), after in MOVES.items() if before is state} - {state}
    for (before, signal), after in MOVES.items():
        if after in (UP, LOSSY) and before not in (UP, LOSSY):
            assert signal in (Signal.ANSWERED, Signal.ANSWERED_IN_ROW)


STEPS = st.one_of(
    st.tuples(st.just("sent"), st.integers(1, 64), st.booleans()),
    st.tuples(st.just("received"), st.integers(1, 64)),
    st.tuples(st.just("probe"), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("ask")),
    st.tuples(st.just("reply"), st.integers(0, 40), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("report"), st.integers(0, 2**64 - 1)),
    st.tuples(st.just("check"), st.booleans()),
    st.tuples(st.just("fail")),
)


# Invariant: whatever the other end claims, every change of state is one of the table's, is told
# once, and the link always knows when to be looked at again.
@given(steps=st.lists(st.tuples(st.floats(0.0, 2.0), STEPS), max_size=80))
def test_the_state_moves_by_the_table_whatever_happens(
    steps: list[tuple[float, tuple[Any, ...]]],
) -> None:
    link, now = Link(0, 100.0), 100.0
    for wait, (what, *values) in steps:
        now += wait
        before, event = link.state, None
        if what == "sent":
            link.on_sent(values[0], 1500, now, bulk=values[1])
        elif what == "received":
            link.on_received(values[0], 1500, now)
        elif what == "probe":
            link.on_probe(values[0], values[1], now)
        elif what == "ask":
            link.on_probe_sent(now)
        elif what == "reply":
            event = link.on_reply(values[0], values[1], values[1], now)
        elif what == "report":
            event = link.on_report(values[0] % 1000 / 1e3, values[0], link, now)
        elif what == "check":
            event = link.check(now, values[0])
        else:
            event = link.on_socket_error(now)
        assert (event is None) == (link.state is before)
        if event is not None:
            assert (event.before, event.after) == (before.value, link.state.value)
            assert link.state in {after for (start, _), after in MOVES.items() if start is before}
        assert link.deadline(now, flowing=True) > now or link.probe_due(now, flowing=True)
