"""What metered lines may cost, how that is written, and what is left of it after a restart."""

import time
from pathlib import Path

import msgspec
import pytest

from wrrtun.config import LinkConfig, MeteredConfig
from wrrtun.core.errors import ConfigError
from wrrtun.core.offers import LinkRole
from wrrtun.link_modes import parse_link_with_modes
from wrrtun.metering import Ledger, LedgerFile, Spent, month_of, part_left

GB = 10**9
STICK = parse_link_with_modes("wlan0:3mbit,metered=10GB")
TEN_GB = MeteredConfig(10 * GB, 1)


def noon(year: int, month: int, day: int) -> float:
    return time.mktime((year, month, day, 12, 0, 0, 0, 0, -1))


@pytest.mark.parametrize(
    ("text", "role", "metered"),
    [
        ("wlan0:3", LinkRole.USUAL, None),
        ("wlan0,backup", LinkRole.BACKUP, None),
        ("wlan0:3mbit/1mbit,metered=10GB", LinkRole.METERED, TEN_GB),
        ("192.0.2.7:3,metered=1.5gb@15", LinkRole.METERED, MeteredConfig(1_500_000_000, 15)),
        ("[2001:db8::7]:3,metered=500MB", LinkRole.METERED, MeteredConfig(500_000_000, 1)),
    ],
)
def test_a_mode_follows_the_link_after_a_comma(
    text: str, role: LinkRole, metered: MeteredConfig | None
) -> None:
    link = parse_link_with_modes(text)
    assert (link.role, link.metered) == (role, metered)
    assert "," not in link.where


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("wlan0:3,spare", "after a comma there may be backup"),
        ("wlan0:3,", "after a comma there may be backup"),
        ("wlan0:3,metered", "is no budget; write metered=10GB"),
        ("wlan0:3,metered=10", "is no budget"),
        ("wlan0:3,metered=10GiB", "is no budget"),
        ("wlan0:3,metered=0GB", "more than 0"),
        ("wlan0:3,metered=1GB@29", "the day 1 to 28"),
        ("wlan0:3,metered=1GB@0", "the day 1 to 28"),
        ("wlan0:3,backup,metered=1GB", "either backup or metered, once"),
        ("wlan0:0,backup", "has weight 0"),
    ],
)
def test_a_mode_that_is_none_is_a_sentence(text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_link_with_modes(text)


def test_a_month_begins_on_its_day() -> None:
    assert month_of(noon(2026, 11, 23), 1) == "2026-11"
    assert month_of(noon(2026, 11, 14), 15) == "2026-10"
    assert month_of(noon(2026, 11, 15), 15) == "2026-11"
    assert month_of(noon(2026, 1, 1), 15) == "2025-12"


def test_a_line_may_carry_less_and_less_once_half_of_its_budget_is_gone() -> None:
    left = [part_left(spent * GB, 10 * GB) for spent in (0, 5, 6, 7, 8, 9, 10, 11)]
    assert left == [1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.0, 0.0]
    # The last bytes are not kept back for ever.
    assert part_left(10 * GB - 1, 10 * GB) == 0.05


def test_a_spent_budget_makes_the_line_a_backup_until_the_month_is_over() -> None:
    ledger = Ledger()
    ledger.count("wlan0", TEN_GB, 8 * GB, noon(2026, 11, 23))
    assert (ledger.offer(1, STICK).role, ledger.offer(1, STICK).part) == (LinkRole.METERED, 0.4)
    ledger.count("wlan0", TEN_GB, 12 * GB, noon(2026, 11, 30))
    assert ledger.offer(1, STICK).role is LinkRole.BACKUP
    ledger.count("wlan0", TEN_GB, 12 * GB + 1000, noon(2026, 12, 1))
    assert ledger.spent["wlan0"] == Spent("2026-12", 1000)
    assert ledger.offer(1, STICK).part == 1.0


def test_a_line_without_a_budget_is_offered_as_it_is() -> None:
    backup = parse_link_with_modes("eth1:5mbit,backup")
    offer = Ledger().offer(0, backup)
    assert (offer.role, offer.part, offer.rate_up_bits_per_second) == (LinkRole.BACKUP, 1, 5e6)


def test_a_counter_that_begins_anew_and_a_wrong_clock_lose_nothing() -> None:
    ledger = Ledger({"wlan0": Spent("2026-11", 5 * GB)})
    ledger.count("wlan0", TEN_GB, 100, 1000.0)  # 1970
    ledger.count("wlan0", TEN_GB, 50, noon(2026, 11, 23))  # the link was taken out and in again
    ledger.count("wlan0", TEN_GB, 60, noon(2026, 10, 23))
    assert ledger.spent["wlan0"] == Spent("2026-11", 5 * GB + 160)


def test_what_was_carried_before_the_clock_was_right_counts_for_the_month() -> None:
    ledger = Ledger()
    ledger.count("wlan0", TEN_GB, 100, 1000.0)
    ledger.count("wlan0", TEN_GB, 200, noon(2026, 11, 23))
    assert ledger.spent["wlan0"] == Spent("2026-11", 200)


def test_the_figures_outlive_the_daemon(tmp_path: Path) -> None:
    file = LedgerFile(tmp_path / "new" / "client-metered.json")
    ledger = file.load()
    assert ledger.spent == {}
    ledger.count("wlan0", TEN_GB, 3 * GB, noon(2026, 11, 23))
    document = file.due(ledger, [STICK], 1000.0)
    assert document is not None
    file.write(document)
    assert file.due(ledger, [STICK], 2000.0) is None  # nothing new

    ledger.count("wlan0", TEN_GB, 3 * GB + 1, noon(2026, 11, 23))
    assert file.due(ledger, [STICK], 1299.0) is None  # little, and not long ago
    assert file.due(ledger, [STICK], 1301.0) is not None
    ledger.count("wlan0", TEN_GB, 3 * GB + 200_000_000, noon(2026, 11, 23))
    assert file.due(ledger, [STICK], 1302.0) is not None  # a fiftieth of the budget

    again = LedgerFile(file.path)
    assert again.load().spent == {"wlan0": Spent("2026-11", 3 * GB)}
    assert [path.name for path in file.path.parent.iterdir()] == ["client-metered.json"]


def test_a_file_that_is_none_is_an_error_that_the_daemon_survives(tmp_path: Path) -> None:
    path = tmp_path / "client-metered.json"
    path.write_bytes(b'{"wlan0": ')
    with pytest.raises(msgspec.MsgspecError):
        LedgerFile(path).load()


def test_only_links_that_are_metered_are_offered_less() -> None:
    usual: LinkConfig = parse_link_with_modes("wlan0:3mbit")
    ledger = Ledger({"wlan0": Spent("2026-11", 20 * GB)})
    assert ledger.offer(0, usual).role is LinkRole.USUAL
