from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wrrtun.core.scheduler import Scheduler


def scheduler_of(weights: dict[int, float]) -> Scheduler:
    scheduler = Scheduler()
    for link, weight in weights.items():
        scheduler.set_weight(link, weight)
    return scheduler


def serve(scheduler: Scheduler, ready: list[int], sizes: list[int]) -> Counter[int]:
    served: Counter[int] = Counter()
    for size_bytes in sizes:
        link = scheduler.choose(ready)
        assert link is not None
        scheduler.charge(link, size_bytes)
        served[link] += size_bytes
    return served


def test_without_a_ready_link_there_is_no_choice() -> None:
    scheduler = scheduler_of({0: 1.0})
    assert scheduler.choose([]) is None
    assert scheduler.choose([1]) is None
    assert Scheduler().choose([0]) is None


def test_ten_to_three_is_spread_out_not_sent_in_blocks() -> None:
    scheduler = scheduler_of({0: 10e6, 1: 3e6})
    order = []
    for _ in range(26):
        link = scheduler.choose([0, 1])
        assert link is not None
        scheduler.charge(link, 1500)
        order.append(link)

    assert Counter(order) == {0: 20, 1: 6}
    turns = [turn for turn, link in enumerate(order) if link == 1]
    assert all(3 <= later - sooner <= 6 for sooner, later in pairwise(turns))


def test_a_heavy_link_among_light_ones_is_not_served_in_a_block() -> None:
    scheduler = scheduler_of({0: 10.0} | dict.fromkeys(range(1, 11), 1.0))
    order = []
    for _ in range(100):
        link = scheduler.choose(range(11))
        assert link is not None
        scheduler.charge(link, 1500)
        order.append(link)
    assert order.count(0) == 50
    assert all(order[turn : turn + 4].count(0) <= 3 for turn in range(97))


def test_small_frames_count_by_their_bytes() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    served: Counter[int] = Counter()
    for _ in range(1000):
        link = scheduler.choose([0, 1])
        assert link is not None
        size_bytes = 1500 if link == 0 else 100
        scheduler.charge(link, size_bytes)
        served[link] += size_bytes
    assert abs(served[0] - served[1]) <= 1500


def test_a_link_that_is_not_ready_yields() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 100.0})
    assert serve(scheduler, [0], [1500] * 50) == {0: 75_000}


def test_a_link_that_was_not_ready_for_long_catches_up_two_runs_at_most() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    serve(scheduler, [0], [1500] * 10_000)
    afterwards = serve(scheduler, [0, 1], [1500] * 100)
    assert 0 <= afterwards[1] - afterwards[0] <= 3 * 1500


def test_a_link_that_had_the_others_bytes_is_not_punished_for_it() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0, 2: 1.0})
    serve(scheduler, [0, 1], [1500] * 10_000)
    served = serve(scheduler, [0, 1, 2], [1500] * 300)
    assert all(abs(served[link] - 150_000) <= 4 * 1500 for link in (0, 1, 2))


def test_a_short_wait_is_made_up_for() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    served = serve(scheduler, [0, 1], [1500] * 10)
    served += serve(scheduler, [0], [1500])
    served += serve(scheduler, [0, 1], [1500] * 11)
    assert served[0] == served[1]


def test_a_new_link_starts_level_with_the_others() -> None:
    scheduler = scheduler_of({0: 1.0})
    serve(scheduler, [0], [1500] * 1000)
    scheduler.set_weight(1, 1.0)
    served = serve(scheduler, [0, 1], [1500] * 100)
    assert abs(served[0] - served[1]) <= 2 * 1500


def test_a_changed_weight_holds_from_then_on() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    serve(scheduler, [0, 1], [1500] * 1001)
    scheduler.set_weight(1, 3.0)
    served = serve(scheduler, [0, 1], [1500] * 1000)
    assert abs(served[1] - 3 * served[0]) <= 4 * 1500


def test_what_a_link_is_owed_in_bytes_outlives_a_change_of_weight() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    serve(scheduler, [0], [1500] * 10)
    scheduler.set_weight(1, 1000.0)
    scheduler.set_weight(1, 1.0)
    served = serve(scheduler, [0, 1], [1500] * 2)
    assert served == {1: 3000}


def test_a_removed_link_gets_nothing_and_starts_level_when_it_returns() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    serve(scheduler, [0, 1], [1500] * 10)
    scheduler.remove(1)
    scheduler.remove(1)
    assert serve(scheduler, [0, 1], [1500] * 100) == {0: 150_000}
    scheduler.charge(1, 1500)
    scheduler.set_weight(1, 1.0)
    served = serve(scheduler, [0, 1], [1500] * 100)
    assert abs(served[0] - served[1]) <= 2 * 1500


def test_express_charged_to_a_link_counts_in_its_share() -> None:
    scheduler = scheduler_of({0: 1.0, 1: 1.0})
    served: Counter[int] = Counter()
    for _ in range(100):
        scheduler.charge(0, 300)
        served[0] += 300
        served += serve(scheduler, [0, 1], [1500])
    assert abs(served[0] - served[1]) <= 1800


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_is_positive(weight: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        Scheduler().set_weight(0, weight)


def test_virtual_time_does_not_grow() -> None:
    scheduler = scheduler_of({0: 7e6, 1: 1e6})
    served = serve(scheduler, [0, 1], [60_000] * 50_000)
    assert all(abs(time) < 1.0 for time in scheduler._virtual.values())
    assert abs(served[0] - 7 * served[1]) <= 8 * 60_000


@given(
    weights=st.lists(st.floats(0.01, 100.0), min_size=1, max_size=15),
    sizes=st.lists(st.integers(60, 1500) | st.integers(60, 65_507), min_size=1, max_size=300),
)
def test_each_links_bytes_stay_within_one_run_of_its_share(
    weights: list[float], sizes: list[int]
) -> None:
    scheduler = scheduler_of(dict(enumerate(weights)))
    links = list(range(len(weights)))
    total = sum(weights)
    sizes = [65_507, *sizes]  # how large a run can be is learned from runs

    served: Counter[int] = Counter()
    for sent, size_bytes in enumerate(sizes):
        served += serve(scheduler, links, [size_bytes])
        all_bytes = sum(sizes[: sent + 1])
        for other, weight in enumerate(weights):
            assert abs(served[other] - all_bytes * weight / total) <= 65_507


@given(
    weights=st.lists(st.floats(0.01, 100.0), min_size=2, max_size=15),
    turns=st.lists(st.tuples(st.sets(st.integers(0, 14)), st.integers(60, 65_507)), max_size=200),
)
def test_whoever_is_ready_is_served_and_no_one_else(
    weights: list[float], turns: list[tuple[set[int], int]]
) -> None:
    scheduler = scheduler_of(dict(enumerate(weights)))
    for ready, size_bytes in turns:
        link = scheduler.choose(ready)
        able = ready & set(range(len(weights)))
        assert link in able if able else link is None
        if link is not None:
            scheduler.charge(link, size_bytes)
