"""Every key of the configuration is described once, and the page shows what is described."""

from pathlib import Path

import msgspec
import pytest

from wrrtun.config_keys import PEER_OPTIONS, TABLES
from wrrtun.config_tables import ClientTable, HooksTable, LimitsTable, PeerTable, ServerTable
from wrrtun.reference import page

PAGE = Path(__file__).parents[1] / "docs" / "CONFIGURATION.md"
TYPES: dict[str, type[msgspec.Struct]] = {
    "client": ClientTable,
    "server": ServerTable,
    "peer": PeerTable,
    "limits": LimitsTable,
    "hooks": HooksTable,
}


@pytest.mark.parametrize("table", TABLES)
def test_every_key_of_a_table_is_described_and_nothing_else(table: str) -> None:
    typed = {field.name for field in msgspec.structs.fields(TYPES[table])}
    described = [key.name for key in TABLES[table]]
    assert len(described) == len(set(described))
    assert set(described) == typed


def test_the_page_is_what_the_keys_say() -> None:
    assert PAGE.read_text() == page(), "python -m wrrtun.reference > docs/CONFIGURATION.md"


def test_options_of_peers_are_keys_of_peers() -> None:
    assert {key.name for key in TABLES["peer"]} >= set(PEER_OPTIONS)
