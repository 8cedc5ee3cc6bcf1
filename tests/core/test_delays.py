import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.delays import Loss, OneWayDelay, RoundTrip, WindowedMinimum


def test_the_minimum_is_of_the_last_10_to_20_seconds() -> None:
    minimum = WindowedMinimum()
    assert minimum.value is None
    for now, sample, least in [
        (0.0, 5.0, 5.0),
        (9.9, 7.0, 5.0),
        (10.0, 8.0, 5.0),
        (19.9, 6.0, 5.0),
        (20.0, 9.0, 6.0),
        (30.0, 9.5, 9.0),
        (99.0, 12.0, 12.0),
    ]:
        minimum.add(sample, now)
        assert minimum.value == least


@given(
    samples=st.lists(st.tuples(st.floats(0.0, 15.0), st.floats(0.0, 1.0)), min_size=1, max_size=60)
)
def test_the_minimum_lies_between_those_of_10_and_20_seconds(
    samples: list[tuple[float, float]],
) -> None:
    minimum, now, history = WindowedMinimum(), 100.0, []
    for wait, sample in samples:
        now += wait
        history.append((now, sample))
        minimum.add(sample, now)
        assert minimum.value is not None
        assert minimum.value <= min(value for at, value in history if at == now)
        assert minimum.value >= min(value for at, value in history if at >= now - 20.0)


def test_the_first_round_trip_sets_both_and_the_next_follow_rfc_6298() -> None:
    trip = RoundTrip()
    assert (trip.srtt, trip.rttvar, trip.minimum, trip.timeout) == (None, None, None, 1.0)
    trip.add(0.100, now=1.0)
    assert (trip.srtt, trip.rttvar) == (0.100, 0.050)
    assert trip.timeout == pytest.approx(0.300)
    trip.add(0.180, now=1.1)
    assert trip.rttvar == pytest.approx(0.75 * 0.050 + 0.25 * 0.080)
    assert trip.srtt == pytest.approx(0.875 * 0.100 + 0.125 * 0.180)
    assert trip.minimum == 0.100


def test_a_steady_round_trip_has_no_variation() -> None:
    trip = RoundTrip()
    for tick in range(100):
        trip.add(0.022, now=tick / 10)
    assert trip.srtt == pytest.approx(0.022)
    assert trip.timeout == pytest.approx(0.022, abs=1e-6)


def test_a_delay_between_clocks_that_do_not_agree_may_be_negative() -> None:
    delay = OneWayDelay()
    assert (delay.mean, delay.base, delay.jitter) == (None, None, 0.0)
    rng = random.Random(1)
    for tick in range(300):
        delay.add(-5000.0 + 0.060 + rng.uniform(-0.010, 0.010), now=tick / 10)
    assert delay.mean == pytest.approx(-5000.0 + 0.060, abs=0.006)
    assert delay.jitter == pytest.approx(0.005, abs=0.003)
    assert delay.base == pytest.approx(-5000.0 + 0.050, abs=0.002)


def test_a_queue_shows_in_the_mean_and_not_in_the_base() -> None:
    delay = OneWayDelay()
    for tick in range(50):
        delay.add(0.010, now=tick / 10)
    for tick in range(50, 100):
        delay.add(0.110, now=tick / 10)
    assert delay.mean == pytest.approx(0.110, abs=0.002)
    assert delay.base == 0.010


@pytest.mark.parametrize("share", [0.0, 0.03, 0.3])
def test_loss_is_what_is_lost(share: float) -> None:
    loss, rng, sent, received = Loss(), random.Random(3), 0, 0
    for tick in range(200):
        burst = rng.randint(10, 100)
        sent += burst
        received += sum(rng.random() >= share for _ in range(burst))
        loss.compare(sent, received, now=5.0 + tick / 10)
    assert loss.share == pytest.approx(share, abs=0.015 + share / 8)


def test_one_lost_probe_on_an_idle_link_is_no_bad_line() -> None:
    loss = Loss()
    for second, (sent, received) in enumerate([(1, 1), (2, 2), (3, 2), (4, 3)]):
        loss.compare(sent, received, now=float(second))
    assert 0.0 < loss.share <= 0.02


def test_loss_is_forgotten_within_seconds() -> None:
    loss = Loss()
    loss.compare(0, 0, now=0.0)
    loss.compare(1000, 800, now=0.1)
    assert loss.share == pytest.approx(0.2)
    for tick in range(1, 101):
        loss.compare(1000 + 100 * tick, 800 + 100 * tick, now=0.1 + tick / 10)
    assert loss.share < 0.01


def test_what_was_lost_before_the_first_comparison_is_not_known() -> None:
    loss = Loss()
    loss.compare(1000, 10, now=0.0)
    loss.compare(1100, 110, now=0.1)
    assert loss.share == 0.0


@pytest.mark.parametrize("anew", [(0, 1000), (1000, 0), (3, 3)])
def test_counts_that_start_anew_are_a_new_beginning(anew: tuple[int, int]) -> None:
    loss = Loss()
    loss.compare(500, 500, now=0.0)
    loss.compare(*anew, now=0.1)
    loss.compare(anew[0] + 100, anew[1] + 100, now=0.2)
    assert loss.share == 0.0


@given(
    totals=st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))),
    wait=st.floats(0.0, 1e6),
)
def test_the_share_is_a_share_whatever_the_other_end_claims(
    totals: list[tuple[int, int]], wait: float
) -> None:
    loss, now = Loss(), 0.0
    for sent, received in totals:
        loss.compare(sent, received, now)
        now += wait
        assert 0.0 <= loss.share <= 1.0
