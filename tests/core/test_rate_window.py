"""What is read from reports: delivered rate, loss, and the queue above a noisy base."""

import pytest

from wrrtun.core.flight import Sample
from wrrtun.core.rate_window import Flow, History, LossGauge, Point, QueueGauge


def sample(number: int, sent_at: float, delay: float, *, limited: bool = False) -> Sample:
    """Make the datagram `number` of 1000 bytes each."""
    return Sample(sent_at + delay, sent_at, number * 1000, number, limited, 0)


def steady(seconds: float = 1.0) -> History:
    """10 datagrams sent each 10 ms, of which 8 arrive."""
    history = History()
    for step in range(round(seconds / 0.01) + 1):
        point = sample(1 + step * 10, step * 0.01, 0.02)
        history.add(Point(point, step * 8000, step * 8))
    return history


def test_a_while_says_what_was_sent_delivered_and_lost() -> None:
    flow = steady().over(0.095)
    assert flow is not None
    assert flow.sent == pytest.approx(1e6)
    assert flow.delivered == pytest.approx(0.8e6)
    assert (flow.datagrams, flow.lost, flow.loss) == (100, 20, 0.2)
    assert not flow.limited


def test_there_is_no_while_longer_than_what_was_seen_or_before_what_counts() -> None:
    history = steady(0.5)
    assert history.over(0.6) is None
    assert history.over(0.2, since=0.35) is None
    assert history.over(0.2, since=0.25) is not None
    assert History().over(0.0) is None


def test_no_while_reaches_across_a_silence_or_a_new_beginning_of_the_other_end() -> None:
    history = steady(0.5)
    history.add(Point(sample(2000, 0.9, 0.02), 500_000, 500))
    assert history.over(0.1) is None
    history = steady(0.5)
    history.add(Point(sample(2000, 0.51, 0.02), 1000, 1))
    assert history.over(0.01) is None


def test_a_report_that_was_overtaken_changes_nothing() -> None:
    history = steady(0.5)
    before = history.over(0.1)
    history.add(Point(sample(300, 0.3, 0.02), 240_000, 240))
    assert history.over(0.1) == before


def test_the_queue_is_the_delay_above_its_base() -> None:
    gauge = QueueGauge()
    gauge.measure([sample(n, 1.0 + n * 0.001, 0.020) for n in range(8)], 1.05)
    assert gauge.queue == pytest.approx(0.0)
    gauge.measure([sample(n, 1.0 + n * 0.001, 0.035) for n in range(8)], 1.10)
    assert gauge.queue == pytest.approx(0.015)


def test_noise_that_was_learned_on_an_empty_queue_raises_the_threshold_within_bounds() -> None:
    gauge = QueueGauge()
    rate = 1_250_000.0
    assert gauge.threshold(rate) == 0.008
    for step in range(200):
        level = 0.020 + 0.030 * (step * 3 % 8) / 8
        delays = [level, level + 0.020, level, level + 0.020]
        samples = [sample(n, step + n * 0.001, delay) for n, delay in enumerate(delays)]
        gauge.measure(samples, step * 0.025)
        gauge.learn(samples)
    assert 0.008 < gauge.threshold(rate) <= 0.040
    assert gauge.jitter > 0.003


def test_the_threshold_of_a_slow_line_is_more_than_the_time_of_one_datagram() -> None:
    assert QueueGauge().threshold(60_000.0) == pytest.approx(1.2 * 1514 / 60_000)


def test_loss_that_goes_when_the_rate_goes_keeps_it_low_and_loss_that_stays_gives_it_back() -> None:
    bad = Flow(delivered=80_000.0, sent=100_000.0, datagrams=100, lost=20, limited=False)
    good = Flow(delivered=80_000.0, sent=80_000.0, datagrams=100, lost=0, limited=False)
    losses = LossGauge()
    assert losses.judge(bad, 100_000.0) == 80_000.0
    assert losses.judge(good, 80_000.0) == 80_000.0
    assert losses.judge(bad, 100_000.0) == 80_000.0
    assert losses.judge(bad._replace(delivered=64_000.0), 80_000.0) == 100_000.0
    # From then on a fifth is how the line is.
    assert losses.judge(bad, 100_000.0) == 100_000.0


def test_a_little_loss_is_no_reason_to_slow_down() -> None:
    losses = LossGauge()
    radio = Flow(delivered=95_000.0, sent=100_000.0, datagrams=100, lost=5, limited=False)
    for _ in range(50):
        assert losses.judge(radio, 100_000.0) == 100_000.0
