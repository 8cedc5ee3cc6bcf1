import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.errors import Drop
from wrrtun.core.replay import ReplayWindow
from wrrtun.core.wire import SEQ_HALF, SEQ_MASK


class NaiveWindow:
    """Every seq ever accepted, unwrapped, in a set."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.accepted: set[int] = set()
        self.highest: int | None = None

    def refusal(self, seq: int) -> Drop | None:
        if self.highest is None or seq > self.highest:
            return None
        if self.highest - seq >= self.width:
            return Drop.TOO_OLD
        return Drop.REPLAYED if seq in self.accepted else None

    def commit(self, first: int, count: int) -> None:
        self.accepted.update(range(first, first + count))
        self.highest = max(self.accepted)


def test_a_seq_is_accepted_once() -> None:
    window = ReplayWindow()
    assert window.refusal(7) is None
    window.commit(7, 1)
    assert window.refusal(7) is Drop.REPLAYED
    assert window.refusal(6) is None
    assert window.refusal(8) is None


def test_the_oldest_seq_in_the_window_is_accepted_and_one_older_is_refused() -> None:
    window = ReplayWindow()
    window.commit(100_000, 1)
    assert window.refusal(100_000 - 65_535) is None
    assert window.refusal(100_000 - 65_536) is Drop.TOO_OLD
    assert window.check(100_000 - 65_535, 44)
    assert not window.check(100_000 - 65_536, 44)


def test_a_run_with_one_replayed_seq_is_not_all_fresh() -> None:
    window = ReplayWindow()
    window.commit(1000, 1)
    window.commit(2000, 1)
    assert not window.check(957, 44)
    assert window.check(956, 44)
    assert window.check(1001, 44)
    assert not window.check(1990, 44)
    assert window.check(2001, 44)


def test_a_run_that_reaches_past_the_highest_is_fresh() -> None:
    window = ReplayWindow()
    window.commit(1000, 1)
    assert window.check(1001, 44)
    assert window.check(990, 10)
    assert not window.check(990, 44)


def test_a_run_longer_than_the_window_is_looked_at_as_a_whole() -> None:
    window = ReplayWindow(width=16)
    window.commit(100, 1)
    window.commit(102, 1)
    assert not window.check(99, 17)
    assert window.check(103, 40)
    window.commit(103, 40)
    assert [window.refusal(seq) for seq in (126, 127, 142, 143)] == [
        Drop.TOO_OLD,
        Drop.REPLAYED,
        Drop.REPLAYED,
        None,
    ]


def test_nothing_is_remembered_before_the_commit() -> None:
    window = ReplayWindow()
    assert window.check(5, 44)
    assert window.check(5, 44)
    window.commit(5, 44)
    assert not window.check(5, 44)


def test_order_goes_on_where_the_numbers_wrap() -> None:
    window = ReplayWindow()
    window.commit(SEQ_MASK - 2, 1)
    assert window.check(SEQ_MASK - 1, 44)
    window.commit(SEQ_MASK - 1, 44)
    assert window.refusal(0) is Drop.REPLAYED
    assert window.refusal(41) is Drop.REPLAYED
    assert window.refusal(42) is None
    assert window.refusal(SEQ_MASK - 3) is None


def test_a_first_seq_just_after_the_wrap_leaves_room_for_late_ones_before_it() -> None:
    window = ReplayWindow()
    window.commit(2, 1)
    assert window.refusal(SEQ_MASK - 5) is None
    window.commit(SEQ_MASK - 5, 1)
    assert window.refusal(SEQ_MASK - 5) is Drop.REPLAYED


def test_a_jump_of_half_the_number_space_forgets_the_past_and_allocates_nothing_by_distance() -> (
    None
):
    window = ReplayWindow()
    window.commit(10, 44)
    jump = 10 + 43 + SEQ_HALF - 1
    assert window.check(jump, 1)
    window.commit(jump, 1)
    assert window.refusal(jump) is Drop.REPLAYED
    assert window.refusal(53) is Drop.TOO_OLD
    assert len(window._rounds) == 65_536


def test_a_number_used_again_a_whole_lap_of_the_number_space_later_is_fresh() -> None:
    window = ReplayWindow()
    window.commit(5, 1)
    window.commit(5 + SEQ_HALF - 1, 1)
    window.commit(3, 1)
    assert window.refusal(5) is None
    assert window.refusal(3) is Drop.REPLAYED


def test_a_commit_that_the_window_has_passed_disturbs_nothing() -> None:
    window = ReplayWindow(width=8)
    assert window.check(0, 4)
    window.commit(100, 8)
    window.commit(0, 4)
    window.commit(96, 8)
    assert [window.refusal(seq) for seq in (99, 100, 107, 108)] == [
        Drop.TOO_OLD,
        Drop.REPLAYED,
        Drop.REPLAYED,
        None,
    ]


@pytest.mark.parametrize("width", [0, -1, 3, 65_535])
def test_a_width_that_is_not_a_power_of_two_is_refused(width: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        ReplayWindow(width)


@given(
    start=st.sampled_from([0, 5, 1000, SEQ_HALF - 9, SEQ_HALF, SEQ_MASK - 9, SEQ_MASK]),
    steps=st.lists(
        st.tuples(
            st.integers(-40, 40) | st.sampled_from([-1000, 70, 100_000, SEQ_HALF - 50]),
            st.integers(1, 40),
        ),
        max_size=60,
    ),
)
def test_it_agrees_with_a_set_of_everything_accepted(
    start: int, steps: list[tuple[int, int]]
) -> None:
    window, naive = ReplayWindow(width=16), NaiveWindow(width=16)
    for distance, count in steps:
        first = (start if naive.highest is None else naive.highest) + distance
        refusals = [naive.refusal(seq) for seq in range(first, first + count)]

        assert [window.refusal(seq & SEQ_MASK) for seq in range(first, first + count)] == refusals
        assert window.check(first & SEQ_MASK, count) == (not any(refusals))
        if not any(refusals):
            window.commit(first & SEQ_MASK, count)
            naive.commit(first, count)
