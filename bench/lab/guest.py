"""Process 1 of the guest that uml.py starts: make the place habitable, run the job, power off.

Standard library only, and little of it: every system call of the guest costs tens of microseconds.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import traceback
import tty
from pathlib import Path
from typing import Any, Final

MODULES: Final = (
    "ipv6",
    "sch_netem",
    "sch_ingress",
    "cls_matchall",
    "act_mirred",
    "sch_tbf",
    "sch_fq_codel",
    "veth",
    "tun",
    "bridge",
    "bonding",
    "tcp_bbr",
)
MODULES_ROOT: Final = Path("/usr/lib/uml/modules")

FINIT_MODULE: Final = 313  # finit_module(2) on x86-64; glibc has no function for it
POWER_OFF: Final = 0x4321FEDC
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def main(exchange: Path) -> None:
    """Run the job described in `exchange`, leave its exit code there and power off."""
    try:
        code = _run(json.loads((exchange / "job.json").read_text()))
        (exchange / "exit").write_text(str(code))
    except BaseException:
        # Nothing is above process 1: an exception that leaves it is a kernel panic.
        (exchange / "trouble").write_text(traceback.format_exc())
    os.sync()
    _libc.reboot(POWER_OFF)


def _run(job: dict[str, Any]) -> int:
    _mount_all()
    _load_modules()
    _raise_loopback()
    out, err = (os.open(f"/dev/tty{number}", os.O_WRONLY | os.O_NOCTTY) for number in (1, 2))
    for console in (out, err):
        tty.setraw(console)
    done = subprocess.run(
        job["argv"],
        cwd=job["directory"],
        env=job["env"] | {"TMPDIR": "/run/tmp", "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        check=False,
    )
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _mount_all() -> None:
    """Give the guest what is its own: what it leaves there shall not land on the host."""
    for kind, where in (
        ("proc", "/proc"),
        ("sysfs", "/sys"),
        ("tmpfs", "/run"),
        ("tmpfs", "/dev/shm"),
        ("devpts", "/dev/pts"),
    ):
        Path(where).mkdir(exist_ok=True)
        _check(_libc.mount(kind.encode(), where.encode(), kind.encode(), 0, None), f"mount {where}")
    Path("/run/tmp").mkdir()


def _load_modules() -> None:
    """Load MODULES with what they depend on; a module built into the kernel is not in the list."""
    root = MODULES_ROOT / os.uname().release
    needs: dict[str, list[str]] = {}  # path of a module: the modules it needs, deepest last
    for line in (root / "modules.dep").read_text().splitlines():
        path, _, before = line.partition(":")
        needs[path] = before.split()
    paths = {Path(path).stem: path for path in needs}
    loaded: set[str] = set()
    for path in (paths[name] for name in MODULES if name in paths):
        for each in [*reversed(needs[path]), path]:
            if each not in loaded:
                loaded.add(each)
                with (root / each).open("rb") as file:
                    _check(_libc.syscall(FINIT_MODULE, file.fileno(), b"", 0), f"load {each}")


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def _check(result: int, what: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
