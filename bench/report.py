"""Tables for people: each suite's in its folder, all of them in bench/RESULTS.md, one in README.

`publish` is the only way figures get into the repository. README's table is a copy of the one in
RESULTS.md, between the same two comments.
"""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench import micro, overview, summary
from bench.plots import plots, save
from bench.profiles import PROFILES
from bench.results import Costs, Environment, Folder, Proof
from bench.suites import SUITES
from bench.summary import Entry

BEGIN: Final = "<!-- measured: by ./scripts/bench, copied by ./scripts/bench --publish -->"
END: Final = "<!-- end of measured -->"
MEASURED: Final = re.compile(r"<!-- measured.*?<!-- end of measured -->", re.DOTALL)
PLOTS: Final = "plots"
COLUMNS: Final = 110
MISSING: Final = "not available: "
SECOND_BY_SECOND: Final = {"story", "faults"}  # suites whose transfers are worth watching
CALLED: Final = {
    "openvpn": "OpenVPN over ADSL alone",
    "wireguard-go": "wireguard-go over ADSL alone",
    "bond-udp": "kernel bond over two OpenVPN TAPs, UDP",
    "bond-tcp": "the same over TCP",
    "bond-delayed": "the same over UDP, netem delays the fast line",
    "mptcp": "Multipath TCP, no tunnel",
    "mlvpn": "MLVPN",
    "glorytun": "glorytun",
    "wrrtun-rates": "wrrtun, told the lines' rates",
    "wrrtun-found": "wrrtun, told nothing",
}


def suite(name: str, folder: Folder, pictures: Path) -> str:
    """Write a suite's tables and plots as Markdown; plots go into a folder beside it."""
    records = folder.records()
    text = [f"## {name}: {SUITES[name].about}", ""]
    where = [each for each in records if isinstance(each, Environment)]
    text += [_measured_on(each) for each in where[:1]]
    text += [f"From {each.began} on: commit {each.commit}.\n" for each in where[1:]]
    last = {proof.profile: proof for proof in records if isinstance(proof, Proof)}
    text += [
        f"The lines of {proof.profile} are void: {proof.void}.\n"
        for proof in last.values()
        if proof.void
    ]
    for costs in [each for each in records if isinstance(each, Costs)][-1:]:
        text += [table(*each) for each in micro.tables(costs)]
    results = folder.results()
    found = summary.entries(results)
    glance = overview.rows(found)
    if glance is not None:
        text.append(table(*glance))
    for drawing, called in ((overview.shares(found), "shares"), (overview.skews(found), "skews")):
        if drawing is not None:
            text.append(save(drawing, pictures / PLOTS, f"{name}-{called}"))
    for profile in summary.profiles(found):
        text += [f"### {profile}", "", f"{PROFILES[profile].about[0].upper()}"
                 f"{PROFILES[profile].about[1:]}.", ""]  # fmt: skip
        text.append(table(summary.HEAD, [summary.cells(e) for e in found if e.key[0] == profile]))
        mine = [each for each in results if each.row.profile == profile]
        over_time = name in SECOND_BY_SECOND or bool(PROFILES[profile].events)
        text += plots(mine, pictures / PLOTS, f"{name}-{profile}", over_time=over_time)
    return "\n".join(text) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table, without columns that are blank throughout."""
    used = [index for index in range(len(head)) if any(row[index] for row in rows)]
    lines = [[head[index] for index in used], ["---"] * len(used)]
    lines += [[row[index].replace("|", "/").replace("\n", " ") for index in used] for row in rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def story(folder: Folder) -> str:
    """Write README's table: what was tried, each bare line, their sum, and wrrtun."""
    results = folder.results()
    found = [entry for entry in summary.entries(results) if entry.key[2] == "tcp-down"]
    lines = PROFILES["adsl-mobile"].lines
    rows = []
    for number, line in enumerate(lines, 1):
        what = (
            f"{line.name} alone, {line.down.rate_bits_per_second / 1e6:g} Mbit/s, "
            f"{line.round_trip_seconds * 1e3:.0f} ms"
        )
        rows += [_story_row(what, e) for e in found if e.key[1] == f"bare-{number}"]
    sums = list(summary.bare_sums(results).values())
    if sums:
        middle = summary.Spread.of(sums)
        rows.append(("sum of both", summary.one(middle, 1e-6, 2) + " Mbit/s", "", ""))
    missing = []
    for entry in found:
        what, trouble = CALLED.get(entry.key[1], entry.key[1]), _trouble(entry)
        if trouble.startswith(MISSING):
            missing.append(f"{what} ({trouble.removeprefix(MISSING)})")
        elif not entry.key[1].startswith("bare"):
            rows.append(_story_row(what, entry))
    head = ("one TCP stream (cubic), download", "goodput", "of the sum", "ping meanwhile, ms")
    seconds = results[0].row.seconds if results else 0.0
    env = next((each for each in folder.records() if isinstance(each, Environment)), None)
    said = (
        f"`./scripts/bench story`: medians of {max((e.row.run for e in results), default=0)} "
        f"transfers of {seconds:g} s, emulated lines (netem)"
    )
    if env is not None:
        said += f", {env.began[:10]}, commit {env.commit}"
    said += f". Not available there: {', '.join(missing)}" if missing else ""
    said = textwrap.fill(f"{said}.", COLUMNS, break_on_hyphens=False)
    return f"{BEGIN}\n{table(head, rows)}\n{said}\n{END}"


def _trouble(entry: Entry) -> str:
    """What kept an entry from having any figures, or nothing."""
    if entry.goodput_bits_per_second is not None or not entry.troubles:
        return ""
    return entry.troubles[-1].splitlines()[-1]


def _story_row(what: str, entry: Entry) -> tuple[str, str, str, str]:
    if entry.goodput_bits_per_second is None:
        return what, _trouble(entry), "", ""
    ours = entry.key[1] == "wrrtun-rates"
    bold = "**" if ours else ""
    pings = entry.ping_percentiles_seconds
    ping = f"{pings[50] * 1e3:.0f}, 99 % below {pings[99] * 1e3:.0f}" if pings else ""
    share = "" if entry.key[1].startswith("bare") else summary.one(entry.share_of_bare, 100, 1)
    goodput = summary.one(entry.goodput_bits_per_second, 1e-6, 2)
    return (
        f"{bold}{what}{bold}",
        f"{bold}{goodput} Mbit/s{bold}",
        f"{bold}{share} %{bold}" if share else "",
        ping,
    )


def _measured_on(where: Environment) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    return (
        f"{where.began}, commit {where.commit}, seed {where.seed}; {where.cores} cores of "
        f"{where.cpu}, {where.memory_bytes / 2**30:.0f} GiB, kernel {where.kernel}, clock "
        f"{where.clock}, Python {where.python}; {versions}.\n"
    )


def publish(out: Path, repository: Path) -> None:
    """Write bench/RESULTS.md from the suites' folders in `out`, and README's table from it."""
    results = repository / "bench" / "RESULTS.md"
    for old in (results.parent / PLOTS).glob("*.png"):
        old.unlink()
    text = ["# Results", "", "Written by `./scripts/bench --publish`; do not edit.", ""]
    there = [name for name in SUITES if (out / name / "results.jsonl").exists()]
    if "story" in there:
        text += [story(Folder(out / "story")), ""]
    text += [suite(name, Folder(out / name), results.parent) for name in there]
    results.write_text("\n".join(text))
    found = MEASURED.search(results.read_text())
    readme = repository / "README.md"
    if found is not None:
        readme.write_text(MEASURED.sub(lambda _: found[0], readme.read_text(), count=1))
