"""OpenVPN over the first line: what one TAP tunnel in C makes of it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import Way
from bench.lab.topology import Lab
from bench.openvpn import SERVER_INSIDE, Transport, openvpn
from bench.processes import missing
from bench.profiles import Profile


@dataclass(frozen=True)
class OneOpenVpn:
    """One OpenVPN with AES-256-GCM over one line."""

    name: str = "openvpn"
    about: str = "OpenVPN (UDP) over the first line"
    transport: Transport = "udp"

    def available(self, lab: Lab) -> str | None:
        del lab
        return missing("openvpn")

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        del profile
        with openvpn(lab, lab.lines[0], self.transport) as ends:
            processes = (ends.client, ends.server)
            yield Way(lab.client, lab.server, SERVER_INSIDE, None, processes)
