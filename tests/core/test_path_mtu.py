"""The search for what one link carries, round by round."""

import pytest

from wrrtun.core.path_mtu import HOPE_SECONDS, PathMtu

TIMEOUT = 0.2
ROUND_TRIP = 0.02
FULL = 1472  # an IPv4 packet of 1500 bytes


class Line:
    """A line that carries datagrams up to a size, and answers each after a round trip."""

    def __init__(self, carries: int, least: int = 614) -> None:
        self.carries = carries
        self.now = 100.0
        self.asked: list[int] = []
        self.search = PathMtu()
        self.search.bound(least, FULL, 28, self.now)

    def round(self) -> bool:
        """Let one round pass, as soon as it is due; False when none ever is."""
        due = self.search.due_at(TIMEOUT)
        if due > self.now + 60:
            return False
        self.now = max(self.now, due)
        size = self.search.begin_round(TIMEOUT, self.now)
        assert size is not None
        self.asked.append(size)
        self.now += ROUND_TRIP
        number = self.search.round
        if size <= self.carries:
            self.search.on_reply(number, size, False, self.now)
        if self.carries:
            self.search.on_reply(number, 31, True, self.now)
        return True

    def settle(self) -> int:
        """Let the search come to its end; return how many rounds that took."""
        before = len(self.asked)
        while self.search.asked_bytes is not None:
            assert self.round()
        return len(self.asked) - before


def doubted(carries: int, least: int = 614) -> Line:
    line = Line(carries, least)
    line.search.doubt(line.now, urgent=True)
    return line


def test_a_line_that_carries_all_is_asked_once() -> None:
    line = doubted(FULL)
    assert line.search.size_bytes == FULL
    assert not line.search.known
    assert line.settle() == 1
    assert line.asked == [FULL]
    assert line.search.known
    assert line.search.says == FULL
    assert line.search.due_at(TIMEOUT) == float("inf")


@pytest.mark.parametrize("packet", [576, 1280, 1300, 1400, 1420, 1450, 1480, 1492, 1496])
def test_usual_path_mtus_are_found_exactly(packet: int) -> None:
    line = doubted(packet - 28, least=576 - 28)
    assert line.settle() < 40
    assert line.search.size_bytes == packet - 28
    assert line.search.says == packet - 28


def test_an_unusual_path_mtu_is_found_to_within_a_few_bytes() -> None:
    line = doubted(1431)
    line.settle()
    assert 1431 - 8 <= line.search.size_bytes <= 1431


def test_one_lost_round_means_nothing_two_keep_frames_away_and_five_are_believed() -> None:
    line = doubted(1300)
    states = []
    for _ in range(5):
        line.round()
        states.append((line.search.doubted, line.search.asked_bytes))
    assert [doubt for doubt, _ in states] == [False, True, True, True, True]
    assert [asked for _, asked in states[:4]] == [FULL] * 4
    assert states[4][1] != FULL
    assert line.search.says == 0


def test_rounds_that_lose_both_datagrams_say_nothing_of_sizes() -> None:
    line = doubted(0)  # nothing at all passes
    began = line.now
    while line.now < began + 60:
        line.round()
    assert set(line.asked) == {FULL}
    assert len(line.asked) < 30  # ever more rarely
    line.carries = FULL
    line.search.alive()
    line.settle()
    assert line.search.size_bytes == FULL


def test_where_nothing_passes_that_is_of_use_the_link_stays_in_doubt() -> None:
    line = doubted(1280 - 28, least=1318)
    line.settle()
    assert line.search.size_bytes == 0
    assert line.search.doubted
    line.carries = FULL
    assert line.round()
    assert line.search.size_bytes == FULL
    assert not line.search.doubted


def test_a_line_that_carries_more_again_is_found_out_sooner_or_later() -> None:
    line = doubted(1372)
    line.settle()
    found_at = line.now
    line.carries = FULL
    assert line.search.due_at(TIMEOUT) == pytest.approx(found_at + HOPE_SECONDS[0], abs=0.1)
    assert line.round()
    assert line.search.size_bytes == FULL


def test_a_line_that_never_carries_more_is_asked_ever_more_rarely() -> None:
    line = doubted(1372)
    line.settle()
    rounds, pauses = [], []
    for _ in range(9):
        pauses.append(line.search.due_at(TIMEOUT) - line.now)
        line.now += pauses[-1]
        line.round()
        rounds.append(1 + line.settle())
    assert line.search.size_bytes == 1372
    assert max(rounds) == 6  # the most, and the next size up
    assert pauses[0] == pytest.approx(5.0, abs=0.1)
    assert pauses[-1] == pytest.approx(600.0, abs=0.1)


def test_what_the_device_refuses_is_found_without_a_round() -> None:
    line = Line(FULL)
    refusals = 0
    line.search.refused(FULL, line.now)
    assert line.search.doubted
    while line.search.asked_bytes is not None:
        size = line.search.begin_round(TIMEOUT, line.now)
        assert size is not None
        if size > 1400 - 28:
            refusals += 1
            line.search.refused(size, line.now)
        else:
            line.search.on_reply(line.search.round, size, False, line.now)
    assert line.search.size_bytes == 1372
    assert refusals < 8
    line.search.refused(FULL, line.now)  # sealed before
    assert line.search.asked_bytes is None


def test_the_other_ends_word_is_reason_to_look_again() -> None:
    line = doubted(FULL)
    line.settle()
    line.search.hear(1372, line.now + 0.5)
    assert line.search.asked_bytes is None  # it was confirmed just now
    line.search.hear(FULL, line.now + 2.0)
    assert line.search.asked_bytes is None
    line.now += 2.0
    line.carries = 1372
    line.search.hear(1372, line.now)
    line.settle()
    assert line.search.size_bytes == 1372

    line.carries = FULL
    line.search.hear(FULL, line.now)
    assert line.round()
    assert line.search.size_bytes == FULL
    assert line.now < 120.0


def test_an_answer_that_comes_late_or_twice_changes_nothing() -> None:
    line = doubted(1372)
    line.settle()
    for size in (FULL, 1400, 31):
        line.search.on_reply(1, size, size == 31, line.now)
    assert line.search.size_bytes == 1372


def test_a_smaller_agreement_of_the_ends_needs_no_search_and_a_greater_one_does() -> None:
    line = doubted(FULL)
    line.settle()
    line.search.bound(614, 1400, 28, line.now)
    assert line.search.says == 1400
    line.search.bound(614, FULL, 28, line.now)
    assert line.search.says == 1400
    assert line.round()
    assert line.search.says == FULL


def test_ends_that_know_other_sizes_come_to_the_same_one_and_leave_it_at_that() -> None:
    line = doubted(1464)
    line.search.bound(614, FULL, 48, line.now)  # it takes the line's packets for IPv6
    line.settle()
    assert line.search.size_bytes == 1452
    line.search.hear(1464, line.now)
    assert line.round()
    assert line.search.size_bytes == 1464
    assert line.search.asked_bytes is None

    line.search.hear(1470, line.now)  # which is not so
    line.round()
    line.settle()
    assert line.search.size_bytes == 1464
    first = line.search.due_at(TIMEOUT) - line.now
    for _ in range(5):
        line.search.hear(1470, line.now)
        line.now = line.search.due_at(TIMEOUT)
        line.round()
        line.settle()
    assert line.search.due_at(TIMEOUT) - line.now > 10 * first
