"""docs/STATUS.md describes every key and metric that there is, and none that is not."""

import re
from pathlib import Path

import msgspec
import pytest

from tests.test_status import SNAPSHOT
from wrrtun.config_keys import TABLES
from wrrtun.status import (
    DeviceStatus,
    LinkStatus,
    PeerStatus,
    QueueStatus,
    ReorderStatus,
    SessionStatus,
    Snapshot,
)
from wrrtun.watch.metrics import to_text

PAGE = (Path(__file__).parents[1] / "docs" / "STATUS.md").read_text()
SECTIONS: dict[str, type[msgspec.Struct]] = {
    "## The daemon": Snapshot,
    "## A peer": PeerStatus,
    "### device": DeviceStatus,
    "### session": SessionStatus,
    "### A link": LinkStatus,
    "### reorder": ReorderStatus,
    "### queue": QueueStatus,
}


def keys_under(heading: str) -> set[str]:
    """The names in the first column of the table below a heading."""
    section = re.split(r"^#", PAGE.partition(f"\n{heading}\n")[2], maxsplit=1, flags=re.MULTILINE)
    cells = re.findall(r"^\|(.*?)\|", section[0], re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("heading", SECTIONS)
def test_every_key_of_the_json_has_its_row(heading: str) -> None:
    kind = SECTIONS[heading]
    assert keys_under(heading) == {field.name for field in msgspec.structs.fields(kind)}


def test_every_metric_has_its_row() -> None:
    samples = re.findall(r"^(wrrtun_\w+)", to_text(SNAPSHOT).decode(), re.MULTILINE)
    shown = {name for name in samples if not name.endswith("_created")}
    described = keys_under("## Metrics")
    assert shown <= described
    assert described - shown == set()


def test_every_hook_has_its_row() -> None:
    assert keys_under("## Hooks") >= {key.name for key in TABLES["hooks"]}
