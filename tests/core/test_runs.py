"""Boot ids that come back."""

from wrrtun.core.runs import MAX_RUNS, Runs


def test_a_run_that_comes_back_after_another_one_took_its_place_is_known() -> None:
    runs = Runs()
    assert not runs.returns(b"a")
    runs.begin(b"a")
    runs.begin(b"a")  # new keys of the same run
    assert not runs.returns(b"a")
    assert not runs.returns(b"b")
    runs.begin(b"b")
    assert runs.returns(b"a")
    assert not runs.returns(b"b")
    runs.begin(b"a")  # the other was silent
    assert runs.returns(b"b")
    assert not runs.returns(b"a")


def test_only_the_last_runs_are_remembered() -> None:
    runs = Runs()
    for number in range(1000):
        runs.begin(b"%d" % number)
    assert sum(runs.returns(b"%d" % number) for number in range(1000)) == MAX_RUNS - 1
