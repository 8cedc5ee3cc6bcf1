"""How often one wake-up reads."""

from wrrtun.drain import Drain


class Source:
    """Has so many things to read; counts the looks."""

    def __init__(self, drain: Drain) -> None:
        self._drain = drain
        self._there = 0
        self.looks = 0

    def wake_up(self, there: int) -> int:
        """Wake up to so many things; return how often was looked for them."""
        self._there, self.looks = there, 0
        self._drain.run(self._read, 1.0)
        return self.looks

    def _read(self, _now: float) -> bool:
        self.looks += 1
        self._there -= 1
        return self._there >= 0


def test_a_flood_is_read_in_ever_longer_turns_and_a_lone_frame_singly() -> None:
    source = Source(Drain(most=64))
    assert [source.wake_up(1000) for _ in range(29)] == (
        [1] * 4 + [2] * 4 + [4] * 4 + [8] * 4 + [16] * 4 + [32] * 4 + [64] * 5
    )
    assert source.wake_up(3) == 4  # and an empty look, which ends the long turns
    assert [source.wake_up(3) for _ in range(4)] == [3, 3, 3, 3]
    assert source.wake_up(1) == 2
    assert [source.wake_up(1) for _ in range(9)] == [1] * 8 + [2]


def test_looking_for_more_in_vain_is_done_ever_more_rarely() -> None:
    source = Source(Drain(most=16))
    looks = [source.wake_up(1) for _ in range(4 + 8 + 16 + 32 + 64 + 64 + 6)]
    waits = [0, 4, 8, 16, 32, 64, 64]
    assert [at for at, count in enumerate(looks) if count == 2] == [
        sum(waits[: index + 2]) + index for index in range(6)
    ]
    assert [source.wake_up(1000) for _ in range(100)].count(16) > 20


def test_a_wake_up_that_finds_nothing_says_so() -> None:
    drain = Drain(most=16)
    assert not drain.run(lambda _now: False, 1.0)
    assert drain.run(lambda _now: True, 1.0)
