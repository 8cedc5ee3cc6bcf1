"""The snapshot as Prometheus metrics, in the text format that its servers scrape.

Names follow Prometheus' conventions: base units (seconds, bytes, ratios from 0 to 1), counters end
in _total. What is not known yet has no sample. A scrape costs a snapshot and this text, nothing is
kept between scrapes.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from wrrtun.core.link_state import LinkState
from wrrtun.status import LinkStatus, PeerStatus, Snapshot

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"


class Measure(NamedTuple):
    """A metric whose samples are fields of a part of the snapshot."""

    name: str
    help: str
    field: str
    is_counter: bool = False


_LINK_LABELS: Final = ("peer", "link", "name")
LINK_MEASURES: Final = (
    Measure("wrrtun_link_weight", "Share of a link in what this end sends.", "weight"),
    Measure(
        "wrrtun_link_rate_bits_per_second",
        "Rate that this end keeps a link below.",
        "rate_bits_per_second",
    ),
    Measure("wrrtun_link_mtu_bytes", "Longest IP packet that a link carries.", "mtu_bytes"),
    Measure("wrrtun_link_rtt_seconds", "Smoothed round trip of a link.", "rtt_seconds"),
    Measure(
        "wrrtun_link_rtt_variation_seconds",
        "Mean deviation of a link's round trip.",
        "rtt_variation_seconds",
    ),
    Measure(
        "wrrtun_link_skew_seconds",
        "One-way delay of a link beyond that of the fastest, to this end.",
        "skew_seconds",
    ),
    Measure("wrrtun_link_loss_in_ratio", "Share lost of late on its way to this end.", "loss_in"),
    Measure("wrrtun_link_loss_out_ratio", "Share lost of late on its way out.", "loss_out"),
    Measure("wrrtun_link_sent_bytes", "UDP payload sent over a link.", "sent_bytes", True),
    Measure(
        "wrrtun_link_received_bytes", "UDP payload received over a link.", "received_bytes", True
    ),
    Measure("wrrtun_link_sent_datagrams", "Datagrams sent over a link.", "sent_datagrams", True),
    Measure(
        "wrrtun_link_received_datagrams",
        "Datagrams received over a link.",
        "received_datagrams",
        True,
    ),
)
DEVICE_MEASURES: Final = (
    Measure("wrrtun_device_mtu_bytes", "MTU of a peer's device.", "mtu"),
    Measure("wrrtun_device_sent_frames", "Frames that the device gave.", "sent_frames", True),
    Measure("wrrtun_device_sent_bytes", "Bytes that the device gave.", "sent_bytes", True),
    Measure(
        "wrrtun_device_received_frames", "Frames handed to the device.", "received_frames", True
    ),
    Measure("wrrtun_device_received_bytes", "Bytes handed to the device.", "received_bytes", True),
)
REORDER_MEASURES: Final = (
    Measure("wrrtun_reorder_held_frames", "Frames that wait for a gap.", "held_frames"),
    Measure("wrrtun_reorder_held_bytes", "Bytes that wait for a gap.", "held_bytes"),
    Measure("wrrtun_reorder_hold_seconds", "How long a gap may hold others.", "hold_seconds"),
    Measure("wrrtun_reorder_released_frames", "Frames released in order.", "released", True),
    Measure("wrrtun_reorder_late_frames", "Frames after their gap was given up.", "late", True),
)
QUEUE_MEASURES: Final = (
    Measure("wrrtun_queue_bytes", "Bytes that wait for the links.", "bytes"),
    Measure("wrrtun_queue_delay_seconds", "Age of the oldest waiting frame.", "delay_seconds"),
    Measure("wrrtun_queue_bulk_frames", "Bulk frames sent.", "bulk_frames", True),
    Measure("wrrtun_queue_express_frames", "Express frames sent.", "express_frames", True),
    Measure("wrrtun_queue_superseded_acks", "ACKs left out.", "superseded_acks", True),
)


class SnapshotCollector(Collector):
    """Yields the metrics of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterable[Metric]:
        """Yield each metric with the samples of all peers and links."""
        snapshot, peers = self._snapshot, self._snapshot.peers
        info = GaugeMetricFamily("wrrtun_info", "What runs here.", labels=("role", "version"))
        info.add_metric([snapshot.role, snapshot.version], 1)
        yield info
        yield GaugeMetricFamily(
            "wrrtun_uptime_seconds", "Time since the start.", value=snapshot.uptime_seconds
        )
        yield _gauge("wrrtun_session_up", "1 while a peer has a session.", peers, _is_up)
        yield from _of_parts(DEVICE_MEASURES, [((peer.name,), peer.device) for peer in peers])
        yield from _of_parts(REORDER_MEASURES, [((peer.name,), peer.reorder) for peer in peers])
        yield _given_up(peers)
        yield from _of_parts(QUEUE_MEASURES, [((peer.name,), peer.queue) for peer in peers])
        links = [((*_link_labels(peer, link),), link) for peer in peers for link in peer.links]
        yield from _of_parts(LINK_MEASURES, links, _LINK_LABELS)
        yield _states(links)
        yield _drops(snapshot)


def to_text(snapshot: Snapshot) -> bytes:
    """Write a snapshot in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot))
    return generate_latest(registry)


def _link_labels(peer: PeerStatus, link: LinkStatus) -> tuple[str, str, str]:
    return peer.name, str(link.number), link.name or ""


def _is_up(peer: PeerStatus) -> float:
    return float(peer.session.up)


def _gauge(name: str, text: str, peers: list[PeerStatus], value: object) -> Metric:
    assert callable(value)
    metric = GaugeMetricFamily(name, text, labels=("peer",))
    for peer in peers:
        metric.add_metric([peer.name], value(peer))
    return metric


def _of_parts(
    measures: Sequence[Measure],
    parts: Sequence[tuple[tuple[str, ...], object]],
    labels: Sequence[str] = ("peer",),
) -> Iterator[Metric]:
    for measure in measures:
        kind = CounterMetricFamily if measure.is_counter else GaugeMetricFamily
        metric = kind(measure.name, measure.help, labels=labels)
        for values, part in parts:
            value = getattr(part, measure.field)
            if value is not None:
                metric.add_metric(list(values), value)
        yield metric


def _given_up(peers: list[PeerStatus]) -> Metric:
    metric = CounterMetricFamily(
        "wrrtun_reorder_gaps_given_up",
        "Datagrams given up as lost, by what ended the wait.",
        labels=("peer", "by"),
    )
    for peer in peers:
        metric.add_metric([peer.name, "inference"], peer.reorder.gaps_given_up_by_inference)
        metric.add_metric([peer.name, "deadline"], peer.reorder.gaps_given_up_by_deadline)
    return metric


def _states(links: Sequence[tuple[tuple[str, ...], LinkStatus]]) -> Metric:
    """One sample per state, 1 for the present one: what Prometheus calls an enumeration."""
    metric = GaugeMetricFamily(
        "wrrtun_link_state", "1 for the state a link is in.", labels=(*_LINK_LABELS, "state")
    )
    for values, link in links:
        for state in LinkState:
            metric.add_metric([*values, state.value], float(link.state == state.value))
    return metric


def _drops(snapshot: Snapshot) -> Metric:
    """What was dropped; `peer` is empty where none was known yet."""
    metric = CounterMetricFamily(
        "wrrtun_dropped", "Datagrams and frames dropped, by reason.", labels=("peer", "reason")
    )
    for name, drops in (("", snapshot.drops), *((p.name, p.drops) for p in snapshot.peers)):
        for reason, count in sorted(drops.items()):
            metric.add_metric([name, reason], count)
    return metric
