"""What both daemons share: the loop, the clock, the timer, the way out.

Every wake-up ends in one `poll` of the core, after all that was ready has been read: what several
links have brought meanwhile costs one. Its deadline arms the timer; nothing here polls by the
clock.
"""

import asyncio
import gc
import logging
import math
import os
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

import uvloop

from .clocks import WallClock, clock
from .config import LogFormat, Role, WatchConfig
from .core.errors import WrrtunError
from .core.output import Transmit
from .drain import Drain
from .linux.tap import TapGoneError
from .status import Snapshot
from .watch import journal
from .watch.observer import Observer

log = logging.getLogger("wrrtun")

# What one wake-up takes from one descriptor at most, so that no side starves.
MAX_READS: Final = 16
# So many reads are worth a poll of their own, while what they brought is in the cache.
ENOUGH_READS: Final = 4
# Traffic makes no cycles, control messages (construct's contexts) some hundreds a second: with
# this many they are collected every few seconds, and memory stays flat.
GC_THRESHOLD: Final = 2_000
# Half of what counts as a line's queue, and far more than a wake-up takes.
HELD_UP_SECONDS: Final = 0.004
LONG_BYTES: Final = 4_096
MAX_MEASURE_SECONDS: Final = 600.0
TIMER_SECONDS: Final = 0.001  # libuv's tick
RELOAD_FAILED: Final = "nothing is changed: "
# No option: what the tunnel does without its reorder buffer is measured, not used (bench/).
IN_ORDER: Final = "WRRTUN_WITHOUT_ORDER" not in os.environ


def draw(count: int) -> bytes:
    """Return `count` random bytes."""
    return os.urandom(count)


def was_held_up(transmits: list[Transmit], polled_at: float) -> bool:
    """Tell whether another process had the CPU before these had left.

    Little leaves quickly, and the clock is no use asking then: it may be a system call.
    """
    if sum(len(one.data) for one in transmits) < LONG_BYTES:
        return False
    return clock() - polled_at > HELD_UP_SECONDS


class Timer:
    """One deadline on the loop. Moving it later costs nothing: it fires early and is set again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[float], None]) -> None:
        self._loop = loop
        self._fire = fire
        self._handle: asyncio.TimerHandle | None = None
        self._at = math.inf

    def set(self, at: float | None, now: float) -> None:
        """Fire at `at` or earlier."""
        if at is None or (self._handle is not None and self._at <= at):
            return
        if self._handle is not None:
            self._handle.cancel()
        ticks = max(1, math.ceil((at - now) / TIMER_SECONDS))
        self._at = at
        self._handle = self._loop.call_later(ticks * TIMER_SECONDS, self._expired)

    def _expired(self) -> None:
        self._handle = None
        self._at = math.inf
        self._fire(clock())


class Daemon:
    """The life of a daemon: start, run until a signal or an error, clean up."""

    def __init__(self, watch: WatchConfig, role: Role) -> None:
        self.observer = Observer(watch, role, self.snapshot)
        self.loop = asyncio.get_running_loop()
        self.started = clock()
        self.wall_clock = WallClock()
        self._stop = asyncio.Event()
        self._measuring: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._read_at: float | None = None  # what was read then waits for its poll
        self._turn = self.guard(self.wake)
        self.timer = Timer(self.loop, self._turn)

    def wake(self, now: float) -> None:
        """Poll the core and do what it says."""
        raise NotImplementedError

    def snapshot(self) -> Snapshot:
        """Say how everything is; asked only between `start` and `close`."""
        raise NotImplementedError

    def answer(self, request: str) -> bytes:
        """Answer what came in at the control socket."""
        if request == "reload":
            return self.try_reload()
        if request.startswith("only "):
            return self._try_only(request)
        if request != "status":
            raise WrrtunError(f"unknown request {request!r}")
        return self.snapshot().to_json()

    async def start(self) -> None:
        """Open everything."""
        raise NotImplementedError

    async def close(self) -> None:
        """Say goodbye and remove what was set up."""
        raise NotImplementedError

    def reload(self) -> str:
        """Read the configuration again and apply what has changed; say what that was.

        WrrtunError: nothing was changed, because of what it says.
        """
        raise NotImplementedError

    def try_reload(self) -> bytes:
        """Do so because somebody asked; answer what came of it, on one line."""
        try:
            said = self.reload()
        except WrrtunError as error:
            log.error("reload: %s", error)
            return f"{RELOAD_FAILED}{error}\n".encode()
        log.info("reload: %s", said)
        return f"reloaded: {said}\n".encode()

    def use_only(self, number: int | None) -> None:
        """Have one link carry and the others stand by, to measure it; None: as configured."""
        raise WrrtunError(f"only the client chooses links, not {number}")

    def _try_only(self, request: str) -> bytes:
        """Answer `only NUMBER SECONDS`, which ends by itself, and `only all`."""
        try:
            match request.split():
                case ["only", "all"]:
                    self._measure(None, 0.0)
                case ["only", number, seconds]:
                    self._measure(int(number), float(seconds))
                case _:
                    raise ValueError("only NUMBER SECONDS, or only all")
        except (ValueError, WrrtunError) as error:
            return f"{error}\n".encode()
        return f"now {request}\n".encode()

    def _measure(self, number: int | None, seconds: float) -> None:
        if not 0 <= seconds <= MAX_MEASURE_SECONDS:
            raise ValueError(f"{seconds} seconds are too many")
        self.use_only(number)
        if self._measuring is not None:
            self._measuring.cancel()
            self._measuring = None
        if number is not None:
            self._measuring = self.loop.call_later(seconds, self.use_only, None)

    def watch(
        self,
        descriptor: int,
        read: Callable[[float], int],
        hand_on: Callable[[float], None] | None = None,
    ) -> None:
        """Call `read` while it finds bytes, some times, then `hand_on`, then poll the core.

        What else is ready is read before that, unless there were many reads.
        """
        drain = Drain(MAX_READS)

        def many(now: float) -> int:
            count = drain.run(read, now)
            if hand_on is not None:
                hand_on(now)
            return count

        self._watch(descriptor, many, ENOUGH_READS)

    def watch_many(self, descriptor: int, read: Callable[[int, float], int], most: int) -> None:
        """As `watch`; `read` is told how many reads to make, and tells how many found something.

        What was read is polled for at once: it lies in memory that the next read would use.
        """
        drain = Drain(most)

        def many(now: float) -> int:
            most = drain.reads
            count = read(most, now)
            drain.found(count, most)
            return count

        self._watch(descriptor, many, 1)

    def _watch(self, descriptor: int, read: Callable[[float], int], enough: int) -> None:
        # The clock is read once for a descriptor: where there is no vDSO it is a system call.
        def ready(now: float) -> None:
            reads = read(now)
            if not reads:
                # An error, such as ECONNREFUSED from a server that is not there yet: `read` has
                # taken it, but libuv stops watching a descriptor that had one.
                self.loop.remove_reader(descriptor)
                self.loop.add_reader(descriptor, on_loop)
            if reads >= enough:
                self._read_at = None
                self.wake(now)
                return
            if self._read_at is None:
                self.loop.call_soon(self._poll_read)  # before the loop looks for more
            self._read_at = now

        guarded = self.guard(ready)

        def on_loop() -> None:
            guarded(clock())

        self.loop.add_reader(descriptor, on_loop)

    def _poll_read(self) -> None:
        """Poll for what was read in this turn of the loop, unless that has been done."""
        now = self._read_at
        if now is not None:
            self._read_at = None
            self._turn(now)

    def guard(self, step: Callable[[float], None]) -> Callable[[float], None]:
        """Wrap a callback of the loop: what escapes it ends the daemon with its sentence."""

        def guarded(now: float) -> None:
            try:
                step(now)
            except Exception as error:
                self.fail(error)

        return guarded

    def fail(self, error: BaseException) -> None:
        """End the daemon because of an error."""
        if self._failure is None:
            self._failure = error
        self._stop.set()

    async def run(self) -> int:
        """Run until SIGTERM or SIGINT; return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self.loop.add_signal_handler(number, self._stop.set)
        try:
            await self.start()
            self.loop.add_signal_handler(signal.SIGHUP, self.try_reload)
            await self.observer.start()
            # What is alive now stays: the collector need not walk it again and again.
            gc.collect()
            gc.freeze()
            gc.set_threshold(GC_THRESHOLD)
            await self._stop.wait()
        finally:
            await self.observer.close()
            await self.close()
        if isinstance(self._failure, TapGoneError):
            log.error("%s", self._failure)
            return 1
        if self._failure is not None:
            raise self._failure
        return 0


def run(main: Callable[[], Coroutine[Any, Any, int]], log_format: LogFormat) -> int:
    """Run a daemon's coroutine on uvloop."""
    journal.set_up(log_format)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())
