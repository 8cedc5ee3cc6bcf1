"""How often one wake-up reads."""

import pytest

from wrrtun.drain import LONG_BYTES, MOST_LONG, PATIENCE, Drain


class Source:
    """Has so many things to read; counts the looks."""

    def __init__(self, size: int = 100, most: int = 16) -> None:
        self._drain = Drain(most)
        self._size = size
        self._there = 0
        self.looks = 0

    def wake_up(self, there: int) -> int:
        """Wake up to so many things; return how often was looked for them."""
        self._there, self.looks = there, 0
        self.read = self._drain.run(self._read, 1.0)
        return self.looks

    def _read(self, _now: float) -> int:
        self.looks += 1
        self._there -= 1
        return self._size if self._there >= 0 else 0


def test_lone_frames_are_read_singly_and_it_is_looked_for_more_ever_so_often() -> None:
    source = Source()
    looks = [source.wake_up(1) for _ in range(10 * (PATIENCE + 1))]
    assert looks == ([1] * PATIENCE + [2]) * 10


def test_once_there_was_more_all_is_read_as_long_as_that_pays() -> None:
    source = Source()
    for _ in range(PATIENCE):
        source.wake_up(3)
    assert [source.wake_up(there) for there in (3, 3, 100, 1, 5)] == [4, 4, 16, 2, 6]
    in_vain = [source.wake_up(1) for _ in range(60)]
    assert in_vain.count(2) < 30
    assert in_vain[-PATIENCE:].count(2) == 1


def test_now_and_then_is_often_enough() -> None:
    source = Source()
    for turn in range(400):
        source.wake_up(1 + 3 * (turn % 4 == 0))
    assert [source.wake_up(1 + 3 * (turn % 4 == 0)) for turn in range(16)] == ([5] + [2] * 3) * 4


def test_behind_a_long_read_it_is_always_looked_for_another() -> None:
    source = Source(LONG_BYTES)
    assert [source.wake_up(there) for there in (1, 3, 1)] == [2, 4, 2]
    assert source.wake_up(100) == MOST_LONG


@pytest.mark.parametrize("there", [0, 1])
def test_a_wake_up_that_finds_nothing_says_so(there: int) -> None:
    source = Source()
    source.wake_up(there)
    assert source.read == there
