"""WireGuard in userspace over the first line."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from bench.contenders import Way
from bench.lab.topology import Lab
from bench.processes import missing
from bench.profiles import Profile
from bench.traffic import ping
from bench.wireguard import SERVER_INSIDE, wireguard


@dataclass(frozen=True)
class WireGuardGo:
    """wireguard-go at both ends."""

    name: str = "wireguard-go"
    about: str = "wireguard-go over the first line"

    def available(self, lab: Lab) -> str | None:
        del lab
        return missing("wireguard-go")

    @contextlib.contextmanager
    def up(self, lab: Lab, profile: Profile) -> Iterator[Way]:
        del profile
        with wireguard(lab) as ends:
            ping(lab.client, SERVER_INSIDE, 0.3)  # the first packet makes the handshake
            processes = (ends.client, ends.server)
            yield Way(lab.client, lab.server, SERVER_INSIDE, None, processes)
