"""A client rests between wake-ups only where it is behind anyway."""

from wrrtun.nap import NAP_SECONDS, Nap


def heard(datagrams: int, waited_seconds: float, times: int = 100) -> Nap:
    nap = Nap()
    for _ in range(times):
        nap.heard(datagrams, waited_seconds)
        nap.seconds()
    return nap


def test_who_keeps_up_never_rests() -> None:
    nap = heard(1, 0.0005)
    nap.heard(1, 0.0005)
    assert nap.seconds() == 0.0


def test_who_is_behind_rests_after_a_wake_up_that_brought_little() -> None:
    nap = heard(1, 0.005)
    nap.heard(2, 0.005)
    assert nap.seconds() == NAP_SECONDS


def test_a_wake_up_that_brought_much_is_followed_by_the_next_at_once() -> None:
    nap = heard(1, 0.005)
    nap.heard(9, 0.005)
    assert nap.seconds() == 0.0


def test_a_wake_up_that_brought_no_datagram_is_no_reason_to_rest() -> None:
    assert heard(1, 0.005).seconds() == 0.0


def test_one_late_datagram_is_not_being_behind() -> None:
    nap = heard(1, 0.0005)
    nap.heard(1, 0.040)
    assert nap.seconds() == 0.0
