"""wrrtun and OpenVPN, both up in one lab without limits, to be measured turn by turn."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench import openvpn, tunnel
from bench.lab.topology import LETTERS, Lab, unshaped
from bench.processes import Process


@dataclass(frozen=True)
class Rival:
    """A tunnel that is up: the server's address in it, and its two daemons."""

    name: str
    address: str
    daemons: tuple[Process, Process]

    def cpu_seconds(self) -> float:
        """CPU time of both daemons so far."""
        return sum(daemon.cpu_seconds() for daemon in self.daemons)


@contextlib.contextmanager
def rivals(
    lines: int = 1, given: str = "1", cipher: str = "aes-256-gcm"
) -> Iterator[tuple[Lab, Sequence[Rival]]]:
    """Run wrrtun over so many wires, `given` a weight or rate each, and OpenVPN over the first.

    Raises ProcessError when one does not come up.
    """
    with unshaped(lines) as lab, contextlib.ExitStack() as stack:
        links = [f"line{LETTERS[number]}:{given}" for number in range(lines)]
        ours = stack.enter_context(tunnel.tunnel(lab, links, ("--cipher", cipher)))
        theirs = stack.enter_context(openvpn.openvpn(lab, cipher=cipher.upper()))
        yield (
            lab,
            (
                Rival("wrrtun", tunnel.SERVER_INSIDE, (ours.client, ours.server)),
                Rival("OpenVPN", openvpn.SERVER_INSIDE, (theirs.client, theirs.server)),
            ),
        )
