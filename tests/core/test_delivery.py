import pytest

from wrrtun.core.delays import OneWayDelay, RoundTrip
from wrrtun.core.delivery import Delivery, Travel

TRAVEL = Travel(0.030, 0.050)


def sending(count: int, interval: float, first: float = 1.0, *, bulk: bool = False) -> Delivery:
    """A link on which `count` datagrams left, one each `interval` from `first` on."""
    delivery = Delivery()
    for number in range(count):
        delivery.sent(1, first + number * interval, bulk=bulk)
    return delivery


def test_silence_while_much_was_sent_is_a_failure_after_120_ms() -> None:
    delivery = sending(200, 0.002)  # 1.0 to 1.4
    assert not delivery.failed(0.115, 0, TRAVEL, 0.0, now=1.4)
    assert delivery.failed(0.121, 0, TRAVEL, 0.0, now=1.4)


def test_silence_is_no_failure_when_nothing_should_have_arrived_yet() -> None:
    delivery = sending(20, 0.002, first=1.36)
    assert not delivery.failed(5.0, 0, TRAVEL, 0.0, now=1.4)
    assert delivery.failed(5.0, 0, TRAVEL, 0.0, now=1.46)


def test_silence_is_no_failure_when_what_was_sent_may_have_come_before_it() -> None:
    delivery = sending(100, 0.002)  # the last at 1.198
    assert not delivery.failed(0.150, 0, TRAVEL, 0.0, now=1.378)
    assert not delivery.failed(0.250, 0, TRAVEL, 0.0, now=1.478)
    assert delivery.failed(0.270, 0, TRAVEL, 0.0, now=1.478)


def test_three_datagrams_may_simply_be_lost() -> None:
    assert not sending(3, 0.02).failed(1.0, 0, TRAVEL, 0.0, now=1.5)
    assert sending(4, 0.02).failed(1.0, 0, TRAVEL, 0.0, now=1.5)


@pytest.mark.parametrize(("loss", "enough"), [(0.01, 4), (0.3, 8), (0.5, 14)])
def test_a_line_that_loses_much_may_lose_more_in_a_row(loss: float, enough: int) -> None:
    assert not sending(enough - 1, 0.02).failed(1.0, 0, TRAVEL, loss, now=1.5)
    assert sending(enough, 0.02).failed(1.0, 0, TRAVEL, loss, now=1.5)


def test_bulk_that_stands_still_while_small_datagrams_pass_is_a_failure() -> None:
    delivery = sending(100, 0.004, bulk=True)
    assert not delivery.failed(0.001, 100, TRAVEL, 0.0, now=1.4)  # the first word of it
    for number in range(100):
        delivery.sent(1, 1.4 + number * 0.004, bulk=True)
    assert not delivery.failed(0.001, 100, TRAVEL, 0.0, now=1.55)
    assert not delivery.failed(0.001, 100, TRAVEL, 0.0, now=1.61)
    assert delivery.failed(0.001, 100, TRAVEL, 0.0, now=1.64)
    assert not delivery.failed(0.001, 101, TRAVEL, 0.0, now=1.66)


def test_a_new_beginning_settles_what_was_sent() -> None:
    delivery = sending(200, 0.002)
    delivery.reset()
    assert not delivery.failed(0.5, 0, TRAVEL, 0.0, now=1.6)


def test_a_minute_of_traffic_keeps_some_seconds() -> None:
    delivery = sending(60_000, 0.001)
    assert len(delivery._slots) <= 1000
    assert delivery.failed(0.2, 0, TRAVEL, 0.0, now=61.0)


def measured(rtts: tuple[float, ...], delays: tuple[float, ...]) -> tuple[RoundTrip, OneWayDelay]:
    round_trip, way_out = RoundTrip(), OneWayDelay()
    for rtt, delay in zip(rtts, delays, strict=True):
        round_trip.add(rtt, 1.0)
        way_out.add(delay, 1.0)
    return round_trip, way_out


def test_travel_is_the_links_way_out_and_the_reporters_way_back_whatever_the_clocks_say() -> None:
    # 60 ms out and 10 back; the reports come over a link of 5 ms out and 20 back. The other end's
    # clock is 100 s ahead.
    out, way_out = measured((0.070,) * 40, (100.060,) * 40)
    back, back_way_out = measured((0.025,) * 40, (100.005,) * 40)
    travel = Travel.over(out, way_out, back, back_way_out)
    assert travel.least == pytest.approx(0.080 - 0.005, abs=0.001)
    assert travel.most == pytest.approx(0.080 + 0.005, abs=0.001)


def test_travel_is_wide_while_nothing_is_known() -> None:
    out, way_out = RoundTrip(), OneWayDelay()
    travel = Travel.over(out, way_out, out, way_out)
    assert travel == (0.0, 2.0)
