"""Every workload, by name."""

from typing import Final

from bench.workloads import Workload, idle, iperf

_ALL: Final[tuple[Workload, ...]] = (idle.IdlePing(), *iperf.ALL)
WORKLOADS: Final = {workload.name: workload for workload in _ALL}
