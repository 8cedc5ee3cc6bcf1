"""`wrrtun top` shows each link's rates, and a minute of them as bars."""

import msgspec
import pytest
from rich.console import Console

from tests.test_status import ADSL, LTE, PEER, SNAPSHOT
from wrrtun.status import Snapshot
from wrrtun.watch.top import Rates, Top, sparkline


def at(seconds: float, received_bytes: int) -> Snapshot:
    adsl = msgspec.structs.replace(ADSL, received_bytes=received_bytes)
    peer = msgspec.structs.replace(PEER, links=[adsl, LTE])
    return msgspec.structs.replace(SNAPSHOT, uptime_seconds=seconds, peers=[peer])


def shown(top: Top, width: int) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(top.render(width))
    return captured.get()


def test_rates_are_the_growth_of_a_counter() -> None:
    rates = Rates()
    rates.update(10.0, 1_000)
    assert rates.now is None
    rates.update(10.5, 2_000)
    assert rates.now == 16_000
    rates.update(11.5, 500)  # the counter began anew
    assert list(rates.samples) == [16_000]
    rates.update(12.5, 1_500)
    assert list(rates.samples) == [16_000, 8_000]


def test_bars_share_a_scale_and_what_is_not_nothing_shows() -> None:
    assert sparkline([0, 1, 50, 100], 100, width=5) == "  ▁▄█"
    assert sparkline([0, 0], 0.0, width=3) == "   "
    assert sparkline(range(1, 100), 99, width=2) == "██"


@pytest.mark.parametrize("width", [80, 110, 200])
def test_a_screen_has_every_link_and_its_rate_in_full(width: int) -> None:
    top = Top()
    top.update([at(100.0, 0)], [])
    top.update([at(101.0, 1_250_000)], ["no daemon answers at /run/wrrtun/server.sock: gone"])
    text = shown(top, width)
    assert "wrrtun 0.1.0 client, up 1 min 41 s" in text
    (adsl,) = [line for line in text.splitlines() if "eth0" in line]
    assert "10.0 Mbit/s" in adsl
    assert "█" in adsl
    assert "22.1 ms" in adsl
    assert "…" not in text
    (lte,) = [line for line in text.splitlines() if "wwan0" in line]
    assert "down" in lte
    assert "no daemon answers at /run/wrrtun/server.sock: gone" in text
