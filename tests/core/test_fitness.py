from wrrtun.core.bond import Bond
from wrrtun.core.fitness import Fitness
from wrrtun.core.link_state import LinkState
from wrrtun.core.member import Member
from wrrtun.core.offers import LinkRole
from wrrtun.core.paths import PathCheck

CLOCKS = 100.0  # the other end's clock is ahead of ours


class Lines:
    """A bond whose links are measured as it is told, ten times a second."""

    def __init__(self, *delays: float) -> None:
        self.now = 50.0
        self.bond = Bond()
        self.fitness = Fitness(self.bond)
        self.delays = list(delays)
        self.lost = [0.0] * len(delays)
        self.counts = [[0.0, 0.0] for _ in delays]
        for number in range(len(delays)):
            check = PathCheck(number + 1, bytes)
            member = Member("home", number, 1.0, None, check, 28, self.now)
            member.link.state = LinkState.UP
            self.bond.add(member)

    def pass_time(self, seconds: float) -> list[tuple[int, bool]]:
        """Let time pass; return which links began to rest (True) or to carry again."""
        changes = []
        for _ in range(round(seconds * 10)):
            self.now += 0.1
            for member in self.bond:
                number, counts = member.number, self.counts[member.number]
                counts[0] += 50
                counts[1] += 50 * (1 - self.lost[number])
                way_out = member.link.outgoing
                way_out.delay.add(self.delays[number] + CLOCKS, self.now)
                way_out.compare(int(counts[0]), int(counts[1]), self.now)
            found = self.fitness.judge(self.now)
            changes += [(change.link, change.after == "resting") for change in found]
        return changes

    @property
    def carrying(self) -> list[int]:
        return [member.number for member in self.bond.carrying()]


def test_a_line_that_is_later_than_the_hold_rests_and_says_why() -> None:
    lines = Lines(0.010, 0.500)
    assert lines.pass_time(0.1) == [(1, True)]
    assert lines.carrying == [0]
    member = lines.bond.get(1)
    assert member is not None
    assert member.unfit == "rests: frames come 490 ms later than over the best line"


def test_a_line_that_is_120_ms_later_carries() -> None:
    lines = Lines(0.010, 0.130)
    assert lines.pass_time(5.0) == []
    assert lines.carrying == [0, 1]


def test_a_line_rests_no_more_once_it_has_been_better_for_two_seconds() -> None:
    lines = Lines(0.010, 0.500)
    lines.pass_time(1.0)
    lines.delays[1] = 0.100
    assert lines.pass_time(1.9) == []
    assert lines.pass_time(2.2) == [(1, False)]
    assert lines.carrying == [0, 1]


def test_a_line_at_the_limit_does_not_come_and_go() -> None:
    lines = Lines(0.010, 0.165)
    lines.pass_time(1.0)
    lines.delays[1] = 0.150
    assert lines.pass_time(30.0) == []
    assert lines.carrying == [0]


def test_a_line_that_is_good_only_now_and_then_rests_longer_each_time() -> None:
    lines = Lines(0.010, 0.500)
    rested = []
    for _ in range(4):
        lines.delays[1] = 0.500
        lines.pass_time(2.0)
        lines.delays[1] = 0.100
        began = lines.now
        while 1 not in lines.carrying:
            lines.pass_time(0.1)
        rested.append(lines.now - began)
    assert rested[0] < 4.5
    assert rested[3] > 15


def test_a_line_that_loses_half_rests_while_another_loses_little() -> None:
    lines = Lines(0.010, 0.020)
    lines.lost[1] = 0.5
    assert lines.pass_time(10.0) == [(1, True)]
    assert lines.carrying == [0]


def test_a_line_that_loses_three_tenths_is_worth_its_repairs() -> None:
    lines = Lines(0.010, 0.020)
    lines.lost[1] = 0.3
    assert lines.pass_time(30.0) == []


def test_when_all_lines_lose_alike_all_carry() -> None:
    lines = Lines(0.010, 0.020)
    lines.lost = [0.45, 0.5]
    lines.pass_time(10.0)
    assert lines.carrying == [0, 1]


def test_a_late_line_carries_when_no_other_does() -> None:
    lines = Lines(0.010, 0.500)
    lines.pass_time(1.0)
    fast = lines.bond.get(0)
    assert fast is not None
    fast.link.state = LinkState.DOWN
    lines.bond.refresh()
    assert lines.carrying == [1]


def test_a_fast_line_that_stands_by_sends_no_usual_one_to_rest() -> None:
    lines = Lines(0.010, 0.500)
    fast = lines.bond.get(0)
    assert fast is not None
    fast.role = LinkRole.BACKUP
    lines.bond.refresh()
    assert lines.pass_time(5.0) == []
    assert lines.carrying == [1]
