"""The kernel's Multipath TCP: no tunnel, but a TCP that uses all lines, where both ends speak it.

`mptcpize` makes programs ask for it. Everything but TCP takes the first line.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyroute2 import MPTCP

from bench.contenders import Way
from bench.lab.topology import SERVER_ADDRESS, Lab
from bench.processes import missing
from bench.profiles import Profile

SUBFLOW: Final = 2  # MPTCP_PM_ADDR_FLAG_SUBFLOW: open another subflow from this address
MOST_SUBFLOWS: Final = 8  # the kernel's limit


@dataclass(frozen=True)
class MultipathTcp:
    """One subflow for each line, opened by the client; the scheduler is the kernel's."""

    name: str = "mptcp"
    about: str = "the kernel's Multipath TCP, without any tunnel"

    def available(self, lab: Lab) -> str | None:
        with lab.client.entered():
            if not Path("/proc/sys/net/mptcp/enabled").exists():
                return "no MPTCP in this kernel"
        return missing("mptcpize")

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        del profile
        with contextlib.ExitStack() as stack:
            managers = []
            for namespace in (lab.client, lab.server):
                with namespace.entered():
                    managers.append(stack.enter_context(MPTCP()))
                managers[-1].limits("set", subflows=MOST_SUBFLOWS)
            for line in lab.lines[1:]:
                managers[0].endpoint("add", addr=line.address, flags=SUBFLOW)
            stack.callback(managers[0].endpoint, "flush")
            yield Way(lab.client, lab.server, SERVER_ADDRESS, wrap=("mptcpize", "run"))
