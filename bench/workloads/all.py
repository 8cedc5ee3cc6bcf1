"""Every workload, by name."""

from typing import Final

from bench.workloads import Workload, idle, iperf, voice
from bench.workloads.download import Download
from bench.workloads.page import Page
from bench.workloads.quic import Quic

_ALL: Final[tuple[Workload, ...]] = (
    idle.IdlePing(),
    *iperf.ALL,
    Download(),
    Page(),
    *voice.ALL,
    Quic(),
)
WORKLOADS: Final = {workload.name: workload for workload in _ALL}
