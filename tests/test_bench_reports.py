"""What becomes of results: tables, pictures, comparisons, and the one table of the README."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import compare, overview, report
from bench.others import Others
from bench.pictures import LINES
from bench.plots import plots
from bench.profiles import PROFILES, parse
from bench.results import Environment, Folder, Result, Row, Samples
from bench.summary import Spread, entries
from bench.traces import GENERATORS, lte, starlink
from bench.workloads import Outcome

BEGAN = "2026-11-23T12:00:00+00:00"
COMMIT = "0123456789ab"


def result(
    contender: str,
    mbit: float,
    *,
    run: int = 1,
    profile: str = "adsl-mobile",
    traffic: str = "tcp-down",
    error: str | None = None,
) -> Result:
    """One transfer of 10 s: steady, with two lines that carried three quarters and one."""
    names = [line.name for line in PROFILES[profile].lines]
    outcome = Outcome(
        goodput_bits_per_second=mbit * 1e6,
        intervals=(mbit * 1e6,) * 100,
        pings_sent=50,
        round_trips_seconds=tuple(0.022 + n / 1e4 for n in range(50)),
        tcp_round_trips_seconds=(0.08,) * 100,
    )
    return Result(
        row=Row(profile=profile, contender=contender, traffic=traffic, run=run, seconds=10.0),
        began=BEGAN,
        error=error,
        outcome=outcome if error is None else None,
        lines=tuple(
            Samples(
                line=name,
                interval_seconds=0.1,
                down_bytes=(bytes_,) * 110,
                up_bytes=(100,) * 110,
                down_packets=1,
                up_packets=1,
            )
            for name, bytes_ in zip(names, (90_000, 30_000), strict=True)
        ),
        held_frames=(3, None, 5),
    )


def story(folder: Folder) -> None:
    """Fill a folder with a story of three runs."""
    folder.add(
        Environment(
            began=BEGAN, host="h", cpu="c", cores=2, memory_bytes=1 << 30, kernel="6", clock="tsc",
            python="3", versions={"iperf3": "3"}, commit=COMMIT, seed=1,
        )
    )  # fmt: skip
    for run in (1, 2, 3):
        for contender, mbit in (("bare-1", 9.5), ("bare-2", 2.5), ("wrrtun-rates", 11.2)):
            folder.add(result(contender, mbit + run / 100, run=run))
        folder.add(result("bond-udp", 2.0, run=run))
        folder.add(result("mlvpn", 0.0, run=run, error="not available: no mlvpn on PATH"))


def test_the_story_s_table_has_the_lines_their_sum_what_was_tried_and_wrrtun(
    tmp_path: Path,
) -> None:
    folder = Folder(tmp_path)
    story(folder)
    rows = [line.strip("| ").split(" | ") for line in report.story(folder).splitlines()]
    table = {row[0]: row[1:] for row in rows if len(row) > 1}
    assert table["ADSL alone, 10 Mbit/s, 22 ms"][0] == "9.52 Mbit/s"
    assert table["sum of both"][0] == "12.04 Mbit/s"
    assert table["kernel bond over two OpenVPN TAPs, UDP"][:2] == ["2.00 Mbit/s", "16.6 %"]
    assert table["**wrrtun, told the lines' rates**"][:2] == ["**11.22 Mbit/s**", "**93.2 %**"]
    said = " ".join(report.story(folder).split())
    assert "medians of 3 transfers of 10 s, emulated lines (netem), 2026-11-23" in said
    assert f"commit {COMMIT}. Not available there: MLVPN (no mlvpn on PATH)." in said


def test_publishing_writes_the_results_and_the_same_table_into_the_readme(tmp_path: Path) -> None:
    story(Folder(tmp_path / "out" / "story"))
    (tmp_path / "bench" / "plots").mkdir(parents=True)
    old = tmp_path / "bench" / "plots" / "of-an-older-run.png"
    old.touch()
    readme = tmp_path / "README.md"
    readme.write_text("# It\n\n<!-- measured: x -->\nold\n<!-- end of measured -->\n\nThe rest.\n")
    report.publish(tmp_path / "out", tmp_path)
    results = (tmp_path / "bench" / "RESULTS.md").read_text()
    published = report.MEASURED.search(results)
    assert published is not None
    assert readme.read_text() == f"# It\n\n{published[0]}\n\nThe rest.\n"
    assert not old.exists()
    shown = [line[line.index("(") + 1 : -1] for line in results.splitlines() if "![" in line]
    assert shown
    assert all((tmp_path / "bench" / name).exists() for name in shown)


def test_a_picture_is_twice_as_wide_as_a_readme_shows_it_and_has_its_own_ground(
    tmp_path: Path,
) -> None:
    (text, _) = plots([result("wrrtun-rates", 11.2)], tmp_path / "plots", "a")
    path = tmp_path / text[text.index("(") + 1 : text.index(")")]
    pixels = np.asarray(Image.open(path).convert("RGBA"))
    assert pixels.shape[1] == 1280
    assert pixels[0, 0, :3].min() > 240
    assert pixels[:, :, 3].min() == 255
    drawn = {
        "#{:02x}{:02x}{:02x}".format(*colour) for colour in pixels[::2, ::2, :3].reshape(-1, 3)
    }
    assert set(LINES[:2]) <= drawn  # an area for each line


def test_what_has_nothing_to_show_is_not_drawn(tmp_path: Path) -> None:
    failed = result("openvpn", 0.0, error="not available: no openvpn here")
    assert plots([failed], tmp_path / "plots", "a") == []
    assert not (tmp_path / "plots").exists()


def test_a_suite_of_several_profiles_is_shown_at_a_glance() -> None:
    found = []
    for skew, mbit in (("0", 10.0), ("40", 8.0), ("200", 4.0)):
        profile = f"skew-{skew}"
        found += [result("bare-1", 5.0, profile=profile), result("bare-2", 5.0, profile=profile)]
        found += [result("wrrtun-unordered", mbit, profile=profile, traffic="tcp-down-bbr")]
    assert overview.rows(entries(found)) == (
        ("share, %", "wrrtun-unordered, tcp-down-bbr"),
        [("skew-0", "100.0"), ("skew-40", "80.0"), ("skew-200", "40.0")],
    )
    drawing = overview.skews(entries(found))
    assert drawing is not None
    (line,) = drawing.axes[0].lines
    assert np.asarray(line.get_ydata()) == pytest.approx([100.0, 80.0, 40.0])
    assert overview.rows(entries(found[:3])) is None


def test_only_what_is_beyond_the_spread_of_runs_is_worse_or_better() -> None:
    def judged(old: tuple[float, ...], new: tuple[float, ...]) -> str:
        before, after = Spread.of(old), Spread.of(new)
        assert before is not None
        return compare.judge(before, after, 0.05, more_is_better=True)

    assert judged((90, 91, 92), (80, 81, 82)) == "worse"
    assert judged((90, 91, 92), (80, 81, 91)) == ""  # one of the new runs was as good
    assert judged((90, 91, 92), (88, 88, 89)) == ""  # less than 5 %
    assert judged((80, 81, 82), (90, 91, 92)) == "better"
    assert judged((80, 81, 82), ()) == "gone"


def test_a_comparison_fails_when_a_row_is_worse_or_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, worse, gone = (Folder(tmp_path / name) for name in ("old", "worse", "gone"))
    for folder, mbit in ((old, 11.0), (worse, 9.0), (gone, None)):
        for contender, rate in (("bare-1", 9.5), ("bare-2", 2.5), ("wrrtun-rates", mbit)):
            if rate is not None:
                folder.add(result(contender, rate))
    assert compare.main(old.path, old.path, 0.05) == 0
    assert compare.main(old.path, worse.path, 0.05) == 1
    assert compare.main(old.path, worse.path, 0.25) == 0
    assert compare.main(old.path, gone.path, 0.05) == 1
    assert "0.818" in capsys.readouterr().out


def test_an_event_comes_again_until_the_end_in_the_order_of_time() -> None:
    text = (
        b'[line.a]\nname = "a"\ndown = { rate_mbit = 1, delay_ms = 1, buffer_ms = 1 }\n'
        b'[profile.p]\nabout = "a line"\nlines = ["a"]\nseconds = 6\nevent = [\n'
        b'{ at = 1, every = 2, line = "a", state = "cut" },\n'
        b'{ at = 2, every = 2, line = "a", state = "whole" }]\n'
    )
    events = parse(text)["p"].events
    assert [(event.at_seconds, event.state) for event in events] == [
        *((1, "cut"), (2, "whole"), (3, "cut"), (4, "whole"), (5, "cut"), (6, "whole"))
    ]
    with pytest.raises(LookupError, match="profile p has no line b"):
        parse(text.replace(b'line = "a"', b'line = "b"'))


def test_a_trace_replaces_rate_and_delay_second_by_second() -> None:
    profile = PROFILES["adsl-lte"]
    steps = [event for event in profile.events if event.line == "LTE-like"]
    assert [event.at_seconds for event in steps[:3]] == [0.0, 1.0, 2.0]
    assert all(event.traced and event.down and event.up is None for event in steps)
    assert not any(event.line == "ADSL" for event in profile.events)


def test_traces_stay_within_what_they_stand_for() -> None:
    assert set(GENERATORS) == {"lte", "starlink"}
    assert all(2e6 <= row.rate_bits_per_second <= 12e6 for row in lte(7))
    rates = [row.rate_bits_per_second for row in starlink(7)]
    assert all(len(set(rates[second : second + 15])) == 1 for second in range(0, 60, 15))
    assert len(set(rates)) == 4


def test_skewed_lines_differ_in_nothing_but_their_delay() -> None:
    for skew in (0, 10, 40, 100, 200):
        one, other = PROFILES[f"skew-{skew}"].lines
        late = other.down.delay_seconds - one.down.delay_seconds
        assert late == pytest.approx(skew / 1000)
        assert one.down.rate_bits_per_second == other.down.rate_bits_per_second


def test_only_a_lab_that_is_pinned_to_one_cpu_can_be_kept_from_it() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("one CPU: everything is pinned to it")
    cpu = str(min(os.sched_getaffinity(0)))
    with subprocess.Popen(["sleep", "60"]) as free, Others(free.pid) as others:
        assert others.look() is None
        free.kill()
    with subprocess.Popen(["taskset", "--cpu-list", cpu, "sleep", "60"]) as pinned:
        while len(os.sched_getaffinity(pinned.pid)) > 1:
            pass
        with Others(pinned.pid) as others:
            kept = others.look()
        pinned.kill()
    assert kept is not None
    assert kept >= 0.0


def test_the_readme_shows_the_table_that_was_measured() -> None:
    root = Path(__file__).parents[1]
    published = report.MEASURED.search((root / "bench" / "RESULTS.md").read_text())
    shown = report.MEASURED.search((root / "README.md").read_text())
    assert published is not None
    assert shown is not None
    assert shown[0] == published[0]


def test_every_picture_that_the_results_show_is_there_and_no_other() -> None:
    bench = Path(__file__).parents[1] / "bench"
    shown = re.findall(r"!\[.*?\]\((.*?)\)", (bench / "RESULTS.md").read_text())
    assert {bench / name for name in shown} == set((bench / "plots").glob("*"))
