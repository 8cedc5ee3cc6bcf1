"""Pulses: does the line carry more?"""

import pytest

from wrrtun.core.flight import Sample
from wrrtun.core.pulse import Pulse, Verdict
from wrrtun.core.rate_window import History

RATE = 1_000_000.0


def answer(
    pulse: Pulse, capacity: float, *, speed: float = 1.25, count: int = 20, together: int = 1
) -> None:
    """Report a pulse sent at `speed` times RATE, so many together, over a line of `capacity`."""
    gap = 1500 / (speed * RATE)
    free_at = 0.0
    samples = []
    for number in range(count):
        sent_at = number // together * together * gap
        free_at = max(free_at, sent_at) + 1500 / capacity
        bulk = number + 1
        samples.append(Sample(free_at + 0.02, sent_at, bulk * 1500, bulk, False, pulse.number))
    pulse.add(samples)


def test_a_line_that_carries_the_pulse_has_the_rate_it_was_sent_at() -> None:
    pulse = Pulse()
    pulse.begin(RATE, 0.0, 0.0)
    answer(pulse, 3 * RATE)
    verdict, rate = pulse.judge(RATE, History(), 0.0)
    assert verdict is Verdict.CARRIED
    assert rate == pytest.approx(1.25 * RATE)
    assert pulse.gain > 1.25  # next time further


def test_a_line_whose_queue_grows_meanwhile_keeps_its_rate() -> None:
    pulse = Pulse()
    pulse.begin(RATE, 0.0, 0.0)
    answer(pulse, RATE)
    assert pulse.judge(RATE, History(), 0.0) == (Verdict.REFUSED, RATE)


def test_a_few_datagrams_that_leave_in_pairs_do_not_pass_for_a_faster_pulse() -> None:
    pulse = Pulse()
    pulse.begin(RATE, 0.0, 0.0)
    answer(pulse, RATE, count=8, together=2)
    assert pulse.judge(RATE, History(), 0.0) == (Verdict.REFUSED, RATE)


def test_a_line_that_carries_a_little_more_is_raised_by_half_of_it() -> None:
    pulse = Pulse()
    pulse.begin(RATE, 0.0, 0.0)
    answer(pulse, 1.08 * RATE)
    verdict, rate = pulse.judge(RATE, History(), 0.0)
    assert verdict is Verdict.REFUSED
    assert 1.03 * RATE < rate < 1.06 * RATE


def test_a_pulse_with_too_little_to_send_says_nothing() -> None:
    pulse = Pulse()
    pulse.begin(RATE, 0.0, 0.0)
    answer(pulse, RATE, speed=1.02)
    assert pulse.judge(RATE, History(), 0.0)[0] is Verdict.VOID
    pulse.begin(RATE, 0.0, 1.0)
    answer(pulse, RATE, count=3)
    assert pulse.judge(RATE, History(), 0.0)[0] is Verdict.VOID


def test_a_pulse_lasts_longer_on_slow_and_on_noisy_lines_within_bounds() -> None:
    pulse = Pulse()
    assert pulse.begin(10 * RATE, 0.0, 0.0) == 0.04
    assert pulse.begin(RATE / 10, 0.0, 0.0) == pytest.approx(8 * 1514 / 125_000)
    assert pulse.begin(RATE, 0.01, 0.0) == pytest.approx(0.12)
    assert pulse.begin(RATE / 1000, 0.0, 0.0) == 0.4


def test_pulses_that_fail_come_ever_more_rarely_until_the_line_changes() -> None:
    pulse = Pulse()
    pulse.unsettle(0.0, 0.0)
    pauses = []
    for _ in range(4):
        pulse.number += 1
        pulse.fail(100.0)
        pauses.append(pulse.due_at - 100.0)
    assert all(0.25 * 0.85 <= pause <= 1.2 * 1.15 for pause in pauses)
    assert pauses[-1] > 0.9
    pulse.unsettle(1.0, 100.0)
    pulse.fail(100.0)
    assert pulse.due_at - 100.0 < 0.3
