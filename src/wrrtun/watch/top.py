"""`wrrtun top`: one screen of tunnels and links that follows them, with a minute behind it.

`Top` is given snapshots and says what to draw; asking and drawing are the command's.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from wrrtun.status import LinkStatus, PeerStatus, Snapshot, duration, milliseconds, percent, scaled

KEPT_SAMPLES: Final = 60
# What the other columns take, beside the links' names.
OTHER_COLUMNS: Final = 62
MIN_SPARKLINE: Final = 4
BARS: Final = " ▁▂▃▄▅▆▇█"
STATE_STYLES: Final = {
    "up": "green",
    "lossy": "yellow",
    "stalled": "bold red",
    "down": "bold red",
    "probing": "dim",
}

LinkKey = tuple[str, str, int]  # role, peer, number


class Rates:
    """What one counter did of late: its growth in bits per second, sample by sample."""

    def __init__(self) -> None:
        self.samples: deque[float] = deque(maxlen=KEPT_SAMPLES)
        self._last: tuple[float, int] | None = None

    def update(self, at_seconds: float, counted_bytes: int) -> None:
        """Take the counter at a moment of the daemon's clock; a smaller one begins anew."""
        before, self._last = self._last, (at_seconds, counted_bytes)
        if before is None or at_seconds <= before[0] or counted_bytes < before[1]:
            return
        self.samples.append((counted_bytes - before[1]) * 8 / (at_seconds - before[0]))

    @property
    def now(self) -> float | None:
        """The newest sample."""
        return self.samples[-1] if self.samples else None


def sparkline(samples: Iterable[float], top: float, width: int) -> str:
    """Draw the newest `width` samples as bars, the newest at the right; `top` is a full bar.

    What is not nothing shows as one eighth at least.
    """
    shown = list(samples)[-width:]
    steps = len(BARS) - 1
    bars = "".join(
        BARS[min(steps, max(1, round(sample / top * steps)))] if sample > 0 < top else BARS[0]
        for sample in shown
    )
    return bars.rjust(width)


class Top:
    """The picture of all daemons of a machine, as long as somebody looks."""

    def __init__(self) -> None:
        self._rates: dict[LinkKey, tuple[Rates, Rates]] = {}
        self._snapshots: list[Snapshot] = []
        self._failures: list[str] = []

    def update(self, snapshots: list[Snapshot], failures: list[str]) -> None:
        """Take what the daemons said, and a sentence for each that did not."""
        self._snapshots, self._failures = snapshots, failures
        for snapshot in snapshots:
            for peer in snapshot.peers:
                for link in peer.links:
                    received, sent = self._of(snapshot, peer, link)
                    received.update(snapshot.uptime_seconds, link.received_bytes)
                    sent.update(snapshot.uptime_seconds, link.sent_bytes)

    def render(self, width: int) -> RenderableType:
        """Return the screen for a terminal of `width` columns."""
        parts: list[RenderableType] = []
        for snapshot in self._snapshots:
            up = duration(snapshot.uptime_seconds)
            parts.append(Text(f"wrrtun {snapshot.version} {snapshot.role}, up {up}", "bold"))
            for peer in snapshot.peers:
                parts += [self._peer(snapshot, peer, width), Text()]
        parts += [Text(failure, "bold red") for failure in self._failures]
        parts.append(Text("Ctrl-C ends", "dim"))
        return Group(*parts)

    def _of(self, snapshot: Snapshot, peer: PeerStatus, link: LinkStatus) -> tuple[Rates, Rates]:
        key = (snapshot.role, peer.name, link.number)
        return self._rates.setdefault(key, (Rates(), Rates()))

    def _peer(self, snapshot: Snapshot, peer: PeerStatus, width: int) -> RenderableType:
        session = peer.session
        state = f"session {duration(session.age_seconds)} old" if session.up else "no session"
        title = Text(f"{peer.name}  {peer.device.name}  ", "bold")
        title.append(state, "green" if session.up else "bold red")
        table = Table(
            title=title,
            title_justify="left",
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for name in ("link", "state"):
            table.add_column(name, no_wrap=True)
        for name in ("in", "", "out", "", "rtt", "lost in", "out"):
            table.add_column(name, justify="right", no_wrap=True)
        pairs = [self._of(snapshot, peer, link) for link in peer.links]
        # One scale for all links of a direction: their bars can be compared.
        tops = [
            max((max(r.samples, default=0.0) for r in side), default=0.0)
            for side in zip(*pairs, strict=True)
        ]
        names = [
            str(link.number) if link.name is None else f"{link.number} {link.name}"
            for link in peer.links
        ]
        spare = width - OTHER_COLUMNS - max(map(len, names), default=0)
        bars = max(MIN_SPARKLINE, min(KEPT_SAMPLES, spare // 2))
        for name, link, (received, sent) in zip(names, peer.links, pairs, strict=True):
            style = STATE_STYLES.get(link.state, "")
            table.add_row(
                name,
                Text(link.state, style),
                scaled(received.now, "bit/s"),
                Text(sparkline(received.samples, tops[0], bars), "cyan"),
                scaled(sent.now, "bit/s"),
                Text(sparkline(sent.samples, tops[1], bars), "magenta"),
                milliseconds(link.rtt_seconds),
                percent(link.loss_in),
                percent(link.loss_out),
            )
        return table


def _highest(rates: Rates) -> float:
    return max(rates.samples, default=0.0)
