"""Run a command inside user-mode Linux: a kernel as an ordinary process, with netem and all.

The guest lives in the host's own file system (hostfs), so the same Python, the same checkout and
the same paths are there; what the command writes, it writes on the host, with the rights of the
user who started it. Inside, it is root, alone, on one CPU, with no way to any network but its own.
The guest's side is in guest.py: it mounts, loads modules, runs the command, powers off.

Output comes back live: the command's two streams are the guest's consoles 1 and 2, and those are
two pipes. The kernel's own messages are shown only when the guest ends without a result. A guest
that is wired to this host (cable.py) hears our stdin on console 3.

Where it may (root may), the guest runs in real time (SCHED_RR): netem and the lines go by a clock
that never stops, so each moment in which other work has its CPU is a hole in every measurement.
Nothing helps when the machine below takes the CPU away; a warning tells of both.

The guest is pinned to one host CPU. Each of its system calls is a switch between two host
processes, and a switch that has to wake another CPU is dear, above all in a virtual machine.
Measured (kernel 6.1 guest, 6.18 host with two virtual CPUs): getppid 8 to 12 us pinned, 75 to 220
not pinned, 0.25 on the host; a page fault 40 to 70 us pinned, 230 to 480 not; starting Python 0.1 s
pinned, 0.1 to 0.7 not; computing runs at the host's speed. There is no vDSO: reading the clock is a
system call. Boot to power-off takes 2 s. Clocks agree with the host's within 3 ms over 20 s;
getrandom does not block. Timers fire 0.5 to 1.5 ms late.
"""

import contextlib
import json
import os
import re
import resource
import selectors
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MEMORY = "1G"
BOOT_SECONDS = 60.0  # beyond the command's own time; 2 to 8 s measured
OTHERS_SHARE = 0.1  # of the guest's CPU; above, what was measured inside is in doubt
IN_GUEST = "WRRTUN_LAB_GUEST"  # set in the guest's environment

# The guest makes a session of its own, and has helper processes that outlive it: its process group
# has to be ended, when we say so and when we are killed.
SUPERVISE = '"$@" & trap "kill -KILL $! -$!" TERM; wait'

_REPOSITORY = Path(__file__).parents[2]
_REGISTERS = Path(__file__).with_name("uml_registers.c")


class UmlError(Exception):
    """User-mode Linux is not there, did not start, or did not end in time."""


def inside() -> bool:
    """Tell whether this process runs in a guest that `run` started."""
    return IN_GUEST in os.environ


def find_kernel() -> str | None:
    """Path of the user-mode Linux kernel, or None."""
    return shutil.which("linux.uml", path=f"{os.environ.get('PATH', '')}:/usr/bin")


def obstacle() -> str | None:
    """Say what keeps guests from running on this machine; None: nothing that is known."""
    if find_kernel() is None:
        return "no linux.uml here: install Debian's package user-mode-linux"
    if _has_amx() and shutil.which("cc") is None:
        return "no C compiler, which this processor takes: install Debian's packages gcc, libc6-dev"
    return None


def _has_amx() -> bool:
    """Tell whether a guest's kernel needs uml_registers.c here."""
    return re.search(r"\bamx_tile\b", Path("/proc/cpuinfo").read_text()) is not None


def _with_registers(exchange: Path) -> tuple[str, ...]:
    """Return the words that start a command for which this processor has not too many registers."""
    if not _has_amx():
        return ()
    made = exchange / "registers.so"
    words = ("cc", "-O2", "-shared", "-fPIC", "-o", str(made), str(_REGISTERS))
    try:
        subprocess.run(words, capture_output=True, check=True, text=True)
    except subprocess.CalledProcessError as error:
        raise UmlError(f"cannot compile {_REGISTERS.name}: {error.stderr}") from error
    return ("env", f"LD_PRELOAD={made}")


def run(
    argv: Sequence[str],
    timeout_seconds: float,
    env: Mapping[str, str] | None = None,
    wires: Sequence[int] = (),
) -> int:
    """Run `argv` in a guest in this directory; return its exit code.

    Its output goes to our stdout and stderr as it comes. `env` is added to our environment.
    A guest still running after `timeout_seconds` (boot not counted) is killed: UmlError.

    `wires` are packet sockets: the guest has a device for each, named vec0 and so on, and reads on
    /dev/tty3 what we are told on stdin.
    """
    trouble = obstacle()
    if trouble is not None:
        raise UmlError(trouble)
    kernel = find_kernel() or ""
    with tempfile.TemporaryDirectory(prefix="wrrtun-uml-") as name:
        exchange = Path(name)
        _write_job(exchange, argv, env or {})
        deadline = time.monotonic() + BOOT_SECONDS + timeout_seconds
        ended = _boot(kernel, exchange, deadline, wires)
        result = exchange / "exit"
        if ended and result.exists():
            return int(result.read_text())
        if not ended:
            raise UmlError(f"the guest was stopped: it ran for {timeout_seconds:.0f} s and more")
        report = exchange / "trouble"
        said = (report if report.exists() else exchange / "kernel").read_text(errors="replace")
        raise UmlError(f"the guest ended without a result; its last words:\n{said[-2000:]}")


def _write_job(exchange: Path, argv: Sequence[str], env: Mapping[str, str]) -> None:
    """Put the command and the guest's init where the guest will find them."""
    terminal = os.isatty(1)
    size = shutil.get_terminal_size()
    job = {
        "argv": list(argv),
        "directory": str(Path.cwd()),
        "env": {
            **os.environ,
            **env,
            IN_GUEST: "1",
            # Consoles look like terminals; programs shall see what our own stdout is.
            "COLUMNS": str(size.columns),
            "LINES": str(size.lines),
            "TTY_COMPATIBLE": "1" if terminal else "0",
            "TTY_INTERACTIVE": "1" if terminal else "0",
            **({} if terminal else {"NO_COLOR": "1"}),
        },
    }
    (exchange / "job.json").write_text(json.dumps(job))
    init = exchange / "init"
    command = shlex.join([sys.executable, "-m", "bench.lab.guest", str(exchange)])
    init.write_text(f"#!/bin/sh\ncd {shlex.quote(str(_REPOSITORY))}\nexec {command}\n")
    init.chmod(0o755)


def _busy_seconds(cpu: int) -> float:
    """Time that a host CPU has spent on anything since boot, or was taken away from this host."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{cpu}":
            user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, ticks[:8])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise UmlError(f"no CPU {cpu} in /proc/stat")


@contextlib.contextmanager
def _quietest_cpu() -> Iterator[int]:
    """Hold the CPU, of those allowed to us, that has the least to do; another guest's if need be.

    Whoever holds one has a socket of its name, which goes with the process, whatever ends it.
    """
    cpus = os.sched_getaffinity(0)
    before = {cpu: _busy_seconds(cpu) for cpu in cpus}
    time.sleep(0.2)
    quietest = sorted(cpus, key=lambda cpu: _busy_seconds(cpu) - before[cpu])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as holding:
        for cpu in quietest:
            try:
                holding.bind(f"\0wrrtun-uml-cpu-{cpu}")
            except OSError:
                continue
            yield cpu
            return
        yield quietest[0]


def _ahead_of_others() -> tuple[str, ...]:
    """Return the words that start a command in real time (sched(7)), if we may."""
    real_time = ("chrt", "--rr", "1")
    asked = subprocess.run([*real_time, "true"], stderr=subprocess.DEVNULL, check=False)
    return real_time if asked.returncode == 0 else ()


def _tell_of_others(busy_seconds: float, seconds: float) -> None:
    """Warn when the guest had to share its CPU: its clock runs on, so netem was late."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    others = (busy_seconds - usage.ru_utime - usage.ru_stime) / seconds
    if others > OTHERS_SHARE:
        print(f"Other work took {others:.0%} of the guest's CPU: expect jitter.", file=sys.stderr)


def _boot(kernel: str, exchange: Path, deadline: float, wires: Sequence[int]) -> bool:
    """Start the guest and copy its streams until it ends; False if the deadline ended it."""
    with _quietest_cpu() as cpu:
        return _boot_on(cpu, kernel, exchange, deadline, wires)


def _boot_on(cpu: int, kernel: str, exchange: Path, deadline: float, wires: Sequence[int]) -> bool:
    pipes = [os.pipe() for _ in range(3)]
    consoles = [write for _, write in pipes]
    orders = os.dup(0)  # the shell gives what it starts beside itself no stdin
    arguments = [
        *("setpriv", "--pdeathsig", "TERM", "sh", "-c", SUPERVISE, "guest"),
        *("taskset", "--cpu-list", str(cpu)),
        *_ahead_of_others(),
        *_with_registers(exchange),
        kernel,
        f"mem={MEMORY}",
        "rootfstype=hostfs",
        "rootflags=/",
        "rw",
        "quiet",
        f"uml_dir={exchange}/",
        f"init={exchange}/init",
        "con=null",
        *(f"con{number}=null,fd:{write}" for number, write in enumerate(consoles)),
        *(f"vec{number}:transport=fd,fd={wire}" for number, wire in enumerate(wires)),
        *((f"con3=fd:{orders},null",) if wires else ()),
    ]
    with (exchange / "kernel").open("wb") as messages:
        guest = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=messages,
            pass_fds=(*consoles, *wires, *((orders,) if wires else ())),
            start_new_session=True,  # Ctrl-C is ours to handle
        )
        for each in (*consoles, orders):
            os.close(each)
        busy_before, began = _busy_seconds(cpu), time.monotonic()
        try:
            kernel_says, out, err = (read for read, _ in pipes)
            _copy({kernel_says: messages.fileno(), out: 1, err: 2}, deadline)
            guest.wait(max(deadline - time.monotonic(), 0.0))
        except subprocess.TimeoutExpired:
            return False
        finally:
            guest.terminate()
            guest.wait()
            for read, _ in pipes:
                os.close(read)
    _tell_of_others(_busy_seconds(cpu) - busy_before, time.monotonic() - began)
    return True


def _copy(streams: Mapping[int, int], deadline: float) -> None:
    """Copy each stream to its place until all have ended, or the deadline has come."""
    sys.stdout.flush()
    with selectors.DefaultSelector() as selector:
        for source in streams:
            selector.register(source, selectors.EVENT_READ)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                data = os.read(key.fd, 65536)
                if not data:
                    selector.unregister(key.fd)
                while data:
                    data = data[os.write(streams[key.fd], data) :]
