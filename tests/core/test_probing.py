from wrrtun.core.probing import Prober, Trust


def sending_times(prober: Prober, first: float, last: float, flowing: bool) -> list[float]:
    """Probe whenever it is due, looking each 10 ms."""
    times = []
    for tick in range(round(first * 100), round(last * 100) + 1):
        now = tick / 100
        if now + 1e-9 >= prober.due_at(flowing, now + 1e-9):
            prober.sent(1, now)
            times.append(now)
    return times


def test_a_start_asks_every_20_ms_for_200_ms_then_each_second_when_idle() -> None:
    prober = Prober(now=0.0)
    times = sending_times(prober, 5.0, 8.5, flowing=False)
    assert times[:10] == [5.0, 5.02, 5.04, 5.06, 5.08, 5.1, 5.12, 5.14, 5.16, 5.18]
    assert times[10:] == [6.18, 7.18, 8.18]


def test_bulk_makes_it_every_100_ms() -> None:
    prober = Prober(now=0.0)
    sending_times(prober, 0.0, 5.0, flowing=False)
    assert sending_times(prober, 5.5, 5.95, flowing=True) == [5.5, 5.6, 5.7, 5.8, 5.9]


def test_a_link_that_is_down_is_asked_ever_less_often_until_it_answers() -> None:
    prober = Prober(now=0.0)
    sending_times(prober, 0.0, 1.0, flowing=True)
    prober.slow_down(now=1.0)
    times = sending_times(prober, 1.0, 9.0, flowing=True)
    assert times == [1.2, 1.6, 2.4, 3.4, 4.4, 5.4, 6.4, 7.4, 8.4]

    number = prober.sent(1, 9.0)
    prober.answered(number)
    assert prober.due_at(True, 9.05) == 9.05
    prober.speed_up()
    assert prober.due_at(True, 9.05) == 9.1


def test_a_link_owes_answers_from_the_first_one_to_the_last_while_they_come() -> None:
    prober = Prober(now=0.0)
    assert not prober.owes(3)
    for at, owes in ((1.0, True), (1.1, True), (1.2, False)):
        prober.answered(prober.sent(1, at))
        assert prober.owes(3) is owes
    for at in (1.3, 1.4, 1.5):
        prober.sent(1, at)
    assert not prober.owes(32)


def test_an_answer_counts_once_and_settles_the_probes_before_it() -> None:
    prober = Prober(now=0.0)
    numbers = [prober.sent(count, count / 10) for count in (1, 2, 3)]
    asked = prober.answered(numbers[1])
    assert asked is not None
    assert (asked.sent_at, asked.sent_datagrams) == (0.2, 2)
    assert prober.answered(numbers[1]) is None
    assert prober.answered(numbers[0]) is None
    assert prober.answered(99) is None
    assert prober.answered(numbers[2]) is not None


def test_answers_in_a_row_are_of_probes_in_a_row() -> None:
    prober = Prober(now=0.0)
    numbers = [prober.sent(0, 0.0) for _ in range(5)]
    rows = []
    for number in (numbers[0], numbers[1], numbers[3], numbers[4]):
        prober.answered(number)
        rows.append(prober.answers_in_row)
    assert rows == [1, 2, 1, 2]


def test_three_probes_past_their_time_are_unanswered_two_are_not() -> None:
    prober = Prober(now=0.0)
    for sent_at in (1.0, 1.1, 1.2):
        prober.sent(0, sent_at)
    assert prober.unanswered_since(timeout_seconds=0.3, now=1.49) is None
    assert prober.unanswered_since(timeout_seconds=0.3, now=1.51) == 1.0
    prober.prove(now=1.0)
    assert prober.unanswered_since(timeout_seconds=0.3, now=1.51) is None


def test_a_minute_without_answers_keeps_64_probes() -> None:
    prober = Prober(now=0.0)
    numbers = [prober.sent(0, tick / 10) for tick in range(1000)]
    assert prober.unanswered_since(0.3, now=200.0) == 93.6
    assert prober.answered(numbers[0]) is None
    assert prober.answered(numbers[-1]) is not None


def test_a_link_that_falls_soon_after_its_return_owes_more_answers_each_time() -> None:
    trust, owed, now = Trust(), [], 100.0
    for _ in range(6):
        trust.fall(now)
        owed.append(trust.answers_owed)
        trust.rise(now + 1.0)
        now += 2.0
    assert owed == [2, 4, 8, 16, 32, 32]
    trust.fall(now + 5.0)
    assert trust.answers_owed == 2
