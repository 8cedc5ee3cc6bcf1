"""The benchmark's own rules: which rows a suite has, what a folder keeps, how figures are made."""

from pathlib import Path

import msgspec
import pytest

from bench import micro, screen, traces
from bench.contenders.all import CONTENDERS
from bench.profiles import PROFILES, parse
from bench.results import Folder, Result, Row
from bench.suites import SUITES, Choice, groups
from bench.summary import HEAD, cells, entries
from bench.workloads import Outcome
from bench.workloads.all import WORKLOADS


def result(
    contender: str, mbit: float, run: int = 1, *, error: str | None = None, void: str | None = None
) -> Result:
    """One TCP download of 10 s over the story's lines."""
    row = Row(profile="adsl-mobile", contender=contender, traffic="tcp-down", run=run, seconds=10.0)
    outcome = Outcome(goodput_bits_per_second=mbit * 1e6) if error is None else None
    return Result(
        row=row, began="2026-11-23T12:00:00+00:00", error=error, void=void, outcome=outcome
    )


def test_every_suite_names_profiles_contenders_and_traffic_that_exist() -> None:
    for suite in SUITES.values():
        for group in groups(suite, Choice()):
            assert group.profile in PROFILES
            assert {row.contender for row in group.rows} <= set(CONTENDERS)
            assert {row.traffic for row in group.rows} <= set(WORKLOADS)


@pytest.mark.parametrize(("suite", "bare_runs"), [("story", (1, 2)), ("netem", (1,))])
def test_the_bare_lines_are_measured_in_the_same_lab_and_first(
    suite: str, bare_runs: tuple[int, ...]
) -> None:
    choice = Choice(["adsl-mobile"], ["wrrtun-rates"], runs=2, seconds=5.0)
    (group,) = groups(SUITES[suite], choice)
    ours = "wrrtun-rates"
    assert [(row.run, row.contender) for row in group.rows] == [
        (run, contender)
        for run in (1, 2)
        for contender in (*(("bare-1", "bare-2") if run in bare_runs else ()), ours)
    ]


def test_a_choice_keeps_to_what_a_suite_measures_together() -> None:
    (group,) = groups(SUITES["scale"], Choice(["wire"], runs=1))
    assert {row.contender for row in group.rows} == {"bare-1", "wrrtun-weights"}
    (group,) = groups(SUITES["scale"], Choice(["wire"], ["openvpn"], ["ping"], runs=1))
    assert {(row.contender, row.traffic) for row in group.rows} == {
        *(("bare-1", "ping"), ("openvpn", "ping"))
    }


def test_what_a_suite_has_but_not_together_is_no_row() -> None:
    assert groups(SUITES["netem"], Choice(["two-equal"], ["wrrtun-found"], ["tcp-up"])) == []


def test_a_line_that_dies_in_mid_run_is_no_yardstick() -> None:
    (group,) = groups(SUITES["faults"], Choice(["mobile-cut"], runs=1))
    assert not any(row.contender.startswith("bare") for row in group.rows)


def test_a_transfer_lasts_until_the_last_event() -> None:
    (group,) = groups(SUITES["faults"], Choice(["flap"], ["wrrtun-rates"], runs=1, seconds=5.0))
    assert {row.seconds for row in group.rows} == {60.0}
    assert max(event.at_seconds for event in PROFILES["flap"].events) <= 60.0


def test_a_dead_line_is_not_counted_in_what_was_offered() -> None:
    # ADSL 30 s at 10 Mbit/s, mobile 20 s of 30 at 3 Mbit/s; a packet of 1500 has 1448 of TCP's.
    offered = PROFILES["mobile-cut"].offered_bits_per_second(30.0, down=True)
    assert offered == pytest.approx((10e6 + 3e6 * 20 / 30) * 1448 / 1500)


def test_a_profile_with_a_mistake_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `delay`"):
        parse(b'[line.a]\nname = "a"\ndown = { delay = 1 }\n[profile]\n')
    with pytest.raises(msgspec.ValidationError, match="down needs delay_ms"):
        parse(
            b'[line.a]\nname = "a"\ndown = { rate_mbit = 1 }\n'
            b'[profile.p]\nabout = "a line"\nlines = ["a"]\n'
        )


def test_the_traces_are_what_the_generators_write(tmp_path: Path) -> None:
    traces.write(tmp_path)
    for name in traces.GENERATORS:
        written, shipped = tmp_path / f"{name}.csv", traces.FOLDER / f"{name}.csv"
        assert written.read_text() == shipped.read_text()


def test_a_folder_keeps_every_record_and_gives_the_last_of_each_row(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "new")
    folder.add(result("bare-1", 0.0, error="no route"))
    folder.add(result("bare-1", 9.5))
    assert len(folder.records()) == 2
    assert folder.results() == [result("bare-1", 9.5)]


def test_a_line_cut_off_by_a_crash_is_left_out(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    folder.add(result("bare-1", 9.5))
    with (tmp_path / "results.jsonl").open("ab") as file:
        file.write(b'{"type":"resu')
    assert folder.results() == [result("bare-1", 9.5)]


def test_a_share_is_of_the_last_run_of_the_bare_lines() -> None:
    found = entries(
        [
            *(result("bare-1", 9.0), result("bare-2", 3.0), result("wrrtun-rates", 9.0)),
            *(result("bare-1", 9.0, 2), result("bare-2", 1.0, 2), result("wrrtun-rates", 9.0, 2)),
            result("wrrtun-rates", 8.0, 3),
        ]
    )
    share = found[-1].share_of_bare
    assert share is not None
    assert (share.least, share.median, share.most) == pytest.approx((0.75, 0.8, 0.9))
    assert share.runs == 3


def test_a_share_without_all_bare_lines_is_blank() -> None:
    found = entries([result("bare-1", 9.0), result("wrrtun-rates", 9.0)])
    assert found[-1].share_of_bare is None


def test_a_contender_that_failed_is_a_row_that_says_so() -> None:
    (entry,) = entries([result("openvpn", 0.0, error="not available: no openvpn here")])
    row = dict(zip(HEAD, cells(entry), strict=True))
    assert row["goodput Mbit/s"] == ""
    assert row["trouble"] == "not available: no openvpn here"


def test_void_runs_are_not_in_the_figures() -> None:
    (entry,) = entries([result("bare-1", 9.0), result("bare-1", 90.0, 2, void="offloads are on")])
    assert entry.goodput_bits_per_second is not None
    assert entry.goodput_bits_per_second.most == 9.0e6
    assert entry.troubles == ("offloads are on",)


@pytest.mark.root
def test_the_data_path_makes_one_aead_call_a_datagram_and_one_system_call_a_batch() -> None:
    calls = micro.measure(rounds=3).calls_per_megabyte
    datagrams = 1e6 / micro.SEGMENT_BYTES
    assert calls["AEAD encrypt"] == calls["AEAD decrypt"] == pytest.approx(datagrams)
    batches = ("TAP read: readinto", "send: send", "receive: recvmsg_into", "TAP write: writev")
    for system_call in batches:
        assert calls[system_call] == pytest.approx(datagrams / micro.FRAMES)


def test_what_is_no_terminal_gets_whole_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Folder(tmp_path)
    folder.add(result("wrrtun-redundant", 9.5))
    folder.add(result("openvpn", 0.0, error="not available: no openvpn here"))
    screen.show(folder, screen.console())
    shown = capsys.readouterr().out
    assert "wrrtun-redundant" in shown
    assert "not available: no openvpn here" in shown
    assert "…" not in shown
