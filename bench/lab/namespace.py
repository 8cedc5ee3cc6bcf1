"""A network namespace: made, entered, run in, removed with everything that still runs in it."""

import contextlib
import itertools
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pyroute2 import IPRoute, netns

from bench.lab.ending import Held, end

STOP_SECONDS: Final = 3.0

_ROOM: Final = Path("/run/netns")
_NAME: Final = re.compile(r"wrrlab-(\d+)-")
_numbers: Final = itertools.count()


class Namespace(Held):
    """A named network namespace of this process; its name starts with wrrlab, our pid, a number."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._processes: list[subprocess.Popen[Any]] = []
        self._threads = threading.local()

    @classmethod
    def create(cls, role: str) -> "Namespace":
        """Make a namespace with its loopback up, after removing those of dead processes."""
        _remove_leftovers()
        name = f"wrrlab-{os.getpid()}-{next(_numbers)}-{role}"
        netns.create(name)
        namespace = cls(name)
        namespace.iproute.link("set", index=1, state="up")
        return namespace

    @property
    def iproute(self) -> IPRoute:
        """Netlink in the namespace; each thread has its own, which pyroute2 0.9 asks for."""
        if not hasattr(self._threads, "iproute"):
            with self.entered():
                self._threads.iproute = IPRoute()
        return self._threads.iproute

    def close_netlink(self) -> None:
        """Close this thread's netlink: for a thread that ends before the namespace does."""
        if hasattr(self._threads, "iproute"):
            self._threads.iproute.close()
            del self._threads.iproute

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Put this thread into the namespace: sockets made now live in it, wherever used later."""
        netns.pushns(self.name)
        try:
            yield
        finally:
            netns.popns()

    def index(self, device: str) -> int:
        """Interface index of a device."""
        found = self.iproute.link_lookup(ifname=device)
        if not found:
            raise LookupError(f"no device {device} in {self.name}")
        return int(found[0])

    def take_up(self, device: str, address: str, **settings: int) -> None:
        """Give a device an IPv4 address in a network of 24 bits, and its settings, and take it up.

        `settings` are named as netlink has them, such as mtu.
        """
        index = self.index(device)
        self.iproute.addr("add", index=index, address=address, prefixlen=24)
        self.iproute.link("set", index=index, state="up", **settings)

    def sysctl(self, settings: Mapping[str, str | int]) -> None:
        """Write settings, named by their path under /proc/sys/net."""
        with self.entered():
            for path, value in settings.items():
                Path("/proc/sys/net", path).write_text(str(value))

    def counters(self, device: str) -> Mapping[str, int]:
        """A device's counters: rx_packets, tx_bytes, ... as rtnl_link_stats64 names them."""
        (link,) = self.iproute.get_links(self.index(device))
        stats: Mapping[str, int] = link.get_attr("IFLA_STATS64")
        return stats

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in the namespace; it is killed when the namespace is removed."""
        process = subprocess.Popen(
            ["nsenter", f"--net={_ROOM / self.name}", "--", *argv], **options
        )
        self._processes.append(process)
        return process

    def run(self, argv: Sequence[str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
        """Run a program to its end and return its exit code and what it wrote.

        Raises subprocess.TimeoutExpired after `timeout_seconds`, when the program is dead.
        """
        pipe = subprocess.PIPE
        process = self.popen(argv, stdout=pipe, stderr=pipe, stdin=subprocess.DEVNULL, text=True)
        try:
            out, err = process.communicate(timeout=timeout_seconds)
        finally:
            self._processes.remove(process)
            _stop(process)
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def close(self) -> None:
        """End what was started here and remove the namespace with its devices."""
        for process in self._processes:
            _stop(process)
        self._processes.clear()
        self.close_netlink()
        netns.remove(self.name)


def _stop(process: subprocess.Popen[Any]) -> None:
    """End a process and close what it was connected to."""
    end(process, STOP_SECONDS)
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            stream.close()


def _remove_leftovers() -> None:
    """Remove namespaces whose maker was killed before it could."""
    for name in netns.listnetns():
        made_by = _NAME.match(name)
        if made_by and not Path("/proc", made_by[1]).exists():
            with contextlib.suppress(OSError):  # another lab was faster
                netns.remove(name)
