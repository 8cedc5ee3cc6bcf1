import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.pacer import CATCH_UP_SECONDS, DATAGRAM_BYTES, UNLIMITED_BYTES, Pacer

Sent = list[tuple[float, int]]


def fill(pacer: Pacer, now: float, sizes: list[int]) -> Sent:
    """Send as a backlogged tunnel does: while ready, a run that the allowance has room for."""
    sent = []
    while sizes and pacer.ready(now):
        run_bytes = sizes.pop()
        while sizes and run_bytes + sizes[-1] <= pacer.allowance(now):
            run_bytes += sizes.pop()
        pacer.charge(run_bytes, now)
        sent.append((now, run_bytes))
    return sent


def run(pacer: Pacer, seconds: float, late: random.Random, most_late: float) -> Sent:
    now, sent = 100.0, []
    while now < 100.0 + seconds:
        sent += fill(pacer, now, [DATAGRAM_BYTES] * 5000)
        now = pacer.next_time(now) + late.uniform(0.0, most_late)
    return sent


def test_without_a_rate_there_is_no_limit() -> None:
    pacer = Pacer(None)
    pacer.charge(10**9, now=5.0)
    assert pacer.ready(5.0)
    assert pacer.allowance(5.0) == UNLIMITED_BYTES
    assert pacer.next_time(5.0) == 5.0
    assert pacer.queue_delay(5.0) == 0.0


def test_a_slow_link_sends_two_datagrams_a_wake_up() -> None:
    pacer = Pacer(8 * 154_200, fraction=1.0)  # 100 full datagrams a second
    assert pacer.allowance(1.0) == 2 * 1542
    pacer.charge(1542, now=1.0)
    assert pacer.ready(1.0)
    pacer.charge(1542, now=1.0)
    assert not pacer.ready(1.0)
    assert pacer.allowance(1.0) == 0
    assert pacer.queue_delay(1.0) == pytest.approx(0.020)

    assert pacer.next_time(1.0) == pytest.approx(1.020)
    assert not pacer.ready(1.015)  # there is room for one by now, but one wake-up sends two
    assert pacer.allowance(1.015) == 0
    assert pacer.ready(1.021)
    assert pacer.allowance(1.021) == 2 * 1542 + 154  # and 1 ms of lateness


def test_a_fast_link_runs_two_ms_ahead() -> None:
    pacer = Pacer(800e6, fraction=1.0)  # 100 bytes a microsecond
    assert pacer.allowance(1.0) == 200_000
    pacer.charge(60_000, now=1.0)
    assert pacer.allowance(1.0) == 140_000
    pacer.charge(139_000, now=1.0)
    assert not pacer.ready(1.0)
    assert pacer.next_time(1.0) == pytest.approx(1.00199)


def test_what_is_left_of_a_burst_and_smaller_than_a_datagram_is_not_worth_a_system_call() -> None:
    pacer = Pacer(8 * 154_200, fraction=1.0)
    pacer.charge(1400, now=1.0)
    assert pacer.ready(1.0)
    pacer.charge(1400, now=1.0)
    assert not pacer.ready(1.0)


def test_express_runs_up_a_debt_that_bulk_waits_for() -> None:
    pacer = Pacer(8 * 154_200, fraction=1.0)
    pacer.charge(2 * 1542, now=1.0)
    for _ in range(10):
        pacer.charge(154, now=1.005)
    assert pacer.queue_delay(1.005) == pytest.approx(0.025, abs=1e-4)
    assert not pacer.ready(1.025)
    assert pacer.next_time(1.025) == pytest.approx(1.030, abs=1e-4)


def test_express_in_a_wait_does_not_end_it() -> None:
    pacer = Pacer(8 * 154_200, fraction=1.0)
    pacer.charge(2 * 1542, now=1.0)
    pacer.charge(60, now=1.018)
    assert not pacer.ready(1.018)


def test_lateness_is_owed_up_to_four_ms() -> None:
    for late, owed in [(0.001, 0.001), (0.004, 0.004), (0.015, 0.004), (0.021, 0.0), (60.0, 0.0)]:
        pacer = Pacer(800e6, fraction=1.0)
        pacer.charge(200_000, now=1.0)
        now = 1.002 + late
        assert pacer.allowance(now) == pytest.approx(200_000 + owed * 100e6, abs=1)


def test_what_is_owed_may_be_sent_in_several_runs() -> None:
    pacer = Pacer(800e6, fraction=1.0)
    pacer.charge(200_000, now=1.0)
    pacer.charge(60_000, now=1.005)
    assert pacer.allowance(1.005) == pytest.approx(440_000, abs=1)
    pacer.charge(60_000, now=1.0051)
    assert pacer.allowance(1.0051) == pytest.approx(390_000, abs=1)


def test_a_link_that_was_free_to_send_is_owed_nothing() -> None:
    pacer = Pacer(8 * 154_200, fraction=1.0)
    for second in range(1, 6):
        pacer.charge(1542, now=float(second))
    assert pacer.allowance(5.5) == 2 * 1542


@pytest.mark.parametrize("rate", [64e3, 1e6, 3e6, 10e6, 100e6, 1e9])
@pytest.mark.parametrize("most_late", [0.0, 0.001, 0.0039])
def test_the_long_run_rate_is_exact_when_timers_come_late(rate: float, most_late: float) -> None:
    seconds = 2.0 if rate > 50e6 else 20.0
    if rate < 1e6:
        seconds = 500.0
    sent = run(Pacer(rate), seconds, random.Random(1), most_late)
    total = sum(size for _, size in sent) * 8 / seconds
    assert total == pytest.approx(0.99 * rate, rel=0.005)


@pytest.mark.parametrize("rate", [1e6, 10e6, 100e6, 1e9])
@pytest.mark.parametrize("most_late", [0.001, 0.004, 0.012])
def test_no_20_ms_carry_more_than_their_rate_one_burst_and_one_catch_up(
    rate: float, most_late: float
) -> None:
    sent = run(Pacer(rate), 1.0, random.Random(2), most_late)
    burst = max(0.002 * 0.99 * rate / 8, 2 * DATAGRAM_BYTES)
    most = 0.99 * rate / 8 * (0.020 + CATCH_UP_SECONDS) + burst
    first, window_bytes = 0, 0
    for at, size in sent:
        window_bytes += size
        while sent[first][0] <= at - 0.020:
            window_bytes -= sent[first][1]
            first += 1
        assert window_bytes <= most + 1


def test_a_new_rate_keeps_the_bytes_that_are_still_to_be_sent() -> None:
    pacer = Pacer(8e6, fraction=1.0)  # 1 byte a microsecond
    pacer.charge(10_000, now=1.0)
    assert pacer.queue_delay(1.0) == pytest.approx(0.010)
    pacer.set_rate(4e6, now=1.004)  # 6000 bytes are left
    assert pacer.queue_delay(1.004) == pytest.approx(0.012)
    pacer.set_rate(12e6, now=1.004)
    assert pacer.queue_delay(1.004) == pytest.approx(0.004)
    assert not pacer.ready(1.004)


def test_a_rate_that_goes_and_comes_starts_level() -> None:
    pacer = Pacer(8e6)
    pacer.charge(100_000, now=1.0)
    pacer.set_rate(None, now=1.0)
    assert pacer.ready(1.0)
    pacer.set_rate(8e6, now=1.0)
    assert pacer.queue_delay(1.0) == 0.0


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_is_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Pacer(rate)


@given(
    rate=st.floats(64e3, 10e9),
    steps=st.lists(
        st.tuples(st.floats(0.0, 0.030), st.integers(60, 1542), st.booleans()), max_size=100
    ),
)
def test_bulk_never_runs_further_ahead_than_a_burst(
    rate: float, steps: list[tuple[float, int, bool]]
) -> None:
    pacer, now = Pacer(rate), 100.0
    burst = max(0.002, 2 * DATAGRAM_BYTES / (0.99 * rate / 8))
    for wait, size_bytes, express in steps:
        now += wait
        if express:
            pacer.charge(size_bytes, now)
        elif pacer.ready(now) and pacer.allowance(now) >= size_bytes:
            pacer.charge(size_bytes, now)
            assert pacer.queue_delay(now) <= burst + 1e-6
        assert (pacer.next_time(now) > now) == (not pacer.ready(now))
        assert pacer.ready(pacer.next_time(now))
        assert pacer.allowance(now) >= (1541 if pacer.ready(now) else 0)
