"""One TCP flow through the tunnel of a World: cubic, SACK, delayed ACKs, as real frames.

    world = World([both(delay=0.011, rate=10e6), both(delay=0.060, rate=3e6)])
    world.run(2.0)
    flow = Flow(world, "server")              # a download: the server's end sends
    world.run(30.0)
    assert flow.goodput() > 0.89 * bare_sum(world, "server")

Everything counts in segments of 1382 bytes, the payload of a full frame through the tunnel; seqs do
not wrap, so a flow ends at 4 GB. The sender hands super-frames over as its kernel would. What it
does: slow start without HyStart, cubic (RFC 9438) with its Reno-friendly region, loss by RACK
(RFC 8985) with a window of a quarter of the round trip, proportional rate reduction (RFC 6937), and
a retransmission timeout of at least 200 ms. The receiver acknowledges every second segment, at once
what is out of order, everything after 40 ms. One second of 13 Mbit/s takes 0.15 s of CPU.
"""

import math
import struct
from bisect import bisect_right, insort
from collections import deque
from collections.abc import Callable
from itertools import islice
from typing import NamedTuple

from tests.sim.world import World
from wrrtun.core.headers import Buffer
from wrrtun.core.vnet import GSO_TCPV4, NEEDS_CHECKSUM, VNET

PAYLOAD = 1382  # the tunnel's MTU of 1434, IPv4, TCP with timestamps
BARE_SHARE = 1448 / 1500  # of a bare line's IP bytes that one TCP flow has for its payload
TRANSPORT, OPTIONS, HEAD = 34, 54, 66
ADDRESSES = (b"\x0a\x00\x00\x01\x0a\x00\x00\x02", b"\x0a\x00\x00\x02\x0a\x00\x00\x01")
MAX_SEGMENTS = 44  # of a super-frame
BIN_SECONDS = 0.1

BETA, CUBE = 0.7, 0.4
INITIAL_WINDOW = 10
MIN_TIMEOUT = 0.2
DELAYED_ACK = 0.04


class Block(NamedTuple):
    """Segments `first` to `end - 1`."""

    first: int
    end: int


def bare_sum(world: World, sender: str) -> float:
    """Return what the lines carry alone in that direction, in bits/s of TCP payload."""
    lines = [line[sender == "server"] for line in world.lines]
    return sum(line.rate or 0.0 for line in lines) * BARE_SHARE


class Flow:
    """A flow that begins at once and sends for ever, or `segments` of them, from end `sender`."""

    def __init__(
        self, world: World, sender: str, *, segments: float = math.inf, port: int = 5001
    ) -> None:
        self.world = world
        self.started = world.now
        self.finished: float | None = None
        receiver = "client" if sender == "server" else "server"
        self.sender = Sender(world, sender, port, segments, self._finish)
        self.receiver = Receiver(world, receiver, port)
        world.listen(sender, port, self.sender.on_frame)
        world.listen(receiver, port, self.receiver.on_frame)
        world.at(world.now, self.sender.push)

    def goodput(self, start: float = 0.0, end: float | None = None) -> float:
        """Return bits/s delivered in order, from `start` to `end` seconds after the beginning."""
        until = self.world.now - self.started if end is None else end
        first, last = round(start / BIN_SECONDS), round(until / BIN_SECONDS)
        total = sum(islice(self.bins(), first, last))
        return total / max(until - start, BIN_SECONDS)

    def bins(self) -> list[int]:
        """Return the bits delivered in each 100 ms since the beginning, until now."""
        count = math.ceil((self.world.now - self.started) / BIN_SECONDS - 1e-6)
        delivered = [0] * (count + 1)
        for at, segments in self.receiver.delivered.items():
            delivered[min(count, at)] += segments * PAYLOAD * 8
        return delivered

    def _finish(self) -> None:
        self.finished = self.world.now


class Sender:
    """What the sending kernel does. Segments are numbered from 0."""

    def __init__(
        self, world: World, end: str, port: int, segments: float, finish: Callable[[], None]
    ) -> None:
        self.window = float(INITIAL_WINDOW)
        self.threshold = math.inf
        self.timeouts = 0
        self.retransmitted = 0
        self.recoveries = 0
        self.srtt: float | None = None
        self._world, self._end, self._port = world, end, port
        self._segments, self._finish = segments, finish
        self._acked = self._next = 0
        self._sent_at: dict[int, float] = {}  # not yet acknowledged, in no order
        self._again: set[int] = set()  # of those, sent more than once
        self._sacked: set[int] = set()
        self._lost: deque[int] = deque()  # to be sent again
        self._missing: set[int] = set()  # the same, to look up
        self._recover = -1  # recovery lasts until this segment is acknowledged
        self._newest_delivered = -math.inf  # sending time of the latest sent that has arrived
        self._prr_delivered = self._prr_sent = 0
        self._prr_window = 0.0
        self._rttvar = 0.0
        self._min_rtt = math.inf
        self._w_max = 0.0
        self._epoch: float | None = None
        self._origin = self._reno = self._k = 0.0
        self._timeout_at = math.inf
        self._timer_at = math.inf
        self._backoff = 1.0
        self._done = False

    def push(self) -> None:
        """Send what the window allows."""
        now = self._world.now
        allowed = self._allowed()
        while allowed > 0 and self._lost:
            segment = self._lost.popleft()
            if segment not in self._missing:
                continue
            self._missing.discard(segment)
            self._again.add(segment)
            self.retransmitted += 1
            self._submit(segment, 1, now)
            allowed -= 1
        while allowed > 0 and self._next < self._segments:
            count = int(min(allowed, MAX_SEGMENTS, self._segments - self._next))
            self._submit(self._next, count, now)
            self._next += count
            allowed -= count
        if self._sent_at and self._timeout_at == math.inf:
            self._restart_timer(now)

    def on_frame(self, vector: list[Buffer]) -> None:
        """Take an acknowledgement."""
        now = self._world.now
        frame = b"".join(vector)[VNET.size :]
        acked = struct.unpack_from("!I", frame, TRANSPORT + 8)[0]
        blocks = [Block(*pair) for pair in struct.iter_unpack("!II", frame[HEAD:])]
        before = len(self._sent_at) - len(self._sacked)
        newly = self._deliver(acked, blocks, now)
        self._find_lost(now)
        if self._recover >= 0 and self._acked > self._recover:
            self._recover = -1
            self.window = max(self.threshold, 2.0)
        if self._recover >= 0:
            self._reduce(newly)
        elif newly and before + 1 >= self.window / 2:
            self._grow(newly, now)
        if self._acked >= self._segments and not self._done:
            self._done = True
            self._finish()
        self._world.at(now, self.push)

    def _deliver(self, acked: int, blocks: list[Block], now: float) -> int:
        """Note what has arrived; return how many segments are new."""
        newly = []
        if acked > self._acked:
            newly += [each for each in range(self._acked, acked) if each not in self._sacked]
            self._sacked.difference_update(range(self._acked, acked))
            self._acked = acked
            self._backoff = 1.0
            self._restart_timer(now)
        for block in blocks:
            fresh = [
                each
                for each in range(max(block.first, self._acked), block.end)
                if each not in self._sacked
            ]
            self._sacked.update(fresh)
            newly += fresh
        latest, sample = -math.inf, None
        for each in newly:
            sent_at = self._sent_at[each]
            if each not in self._again:
                sample = now - sent_at
                latest = max(latest, sent_at)
            elif now - sent_at >= self._min_rtt:  # else the first copy has arrived
                latest = max(latest, sent_at)
            self._missing.discard(each)
        for each in [each for each in newly if each < acked]:
            self._forget(each)
        if acked >= self._acked:
            for each in [each for each in self._sent_at if each < acked]:
                self._forget(each)
        self._newest_delivered = max(self._newest_delivered, latest)
        if sample is not None:
            self._measure(sample)
        if not self._sent_at:
            self._timeout_at = math.inf
        return len(newly)

    def _forget(self, segment: int) -> None:
        self._sent_at.pop(segment, None)
        self._again.discard(segment)

    def _find_lost(self, now: float) -> None:
        """Count as lost what was sent well before something that has arrived."""
        if not self._sacked and self._recover < 0:
            return
        window = self._min_rtt / 4 if math.isfinite(self._min_rtt) else 0.0
        limit = self._newest_delivered - window
        lost = [
            each
            for each in sorted(self._sent_at)
            if self._sent_at[each] < limit
            and each not in self._sacked
            and each not in self._missing
        ]
        if not lost:
            return
        self._lost.extend(lost)
        self._missing.update(lost)
        if self._recover < 0:
            self.recoveries += 1
            self._recover = self._next - 1
            self._shrink()
            self._prr_delivered = self._prr_sent = 0

    def _allowed(self) -> int:
        flying = len(self._sent_at) - len(self._sacked) - len(self._missing)
        return int(self.window) - flying

    def _reduce(self, newly: int) -> None:
        """Let the window follow what arrives, down to the threshold (RFC 6937)."""
        flying = len(self._sent_at) - len(self._sacked) - len(self._missing)
        self._prr_delivered += newly
        if flying > self.threshold:
            ratio = self.threshold / max(self._prr_window, 1.0)
            send = math.ceil(self._prr_delivered * ratio) - self._prr_sent
        else:
            room = int(self.threshold) - flying
            send = min(room, max(self._prr_delivered - self._prr_sent, newly) + 1)
        send = max(send, 1 if not self._prr_sent else 0)
        self.window = flying + max(send, 0)

    def _shrink(self) -> None:
        window = self.window
        # Fast convergence: a flow that lost before it was back at its old window gives some up.
        self._w_max = window * (1 + BETA) / 2 if window < self._w_max else window
        self._prr_window = window
        self.threshold = max(window * BETA, 2.0)
        self._epoch = None

    def _grow(self, newly: int, now: float) -> None:
        if self.window < self.threshold:
            self.window += newly
            return
        if self._epoch is None:
            self._epoch = now
            self._reno = self.window
            self._origin = max(self._w_max, self.window)
            self._k = ((self._origin - self.window) / CUBE) ** (1 / 3)
        rtt = self.srtt or 0.1
        elapsed = now - self._epoch + rtt
        target = self._origin + CUBE * (elapsed - self._k) ** 3
        target = min(max(target, self.window), 1.5 * self.window)
        self._reno += 3 * (1 - BETA) / (1 + BETA) * newly / self.window
        self.window += max((target - self.window) / self.window * newly, 0.01 * newly / self.window)
        self.window = max(self.window, self._reno)

    def _measure(self, rtt: float) -> None:
        self._min_rtt = min(self._min_rtt, rtt)
        if self.srtt is None:
            self.srtt, self._rttvar = rtt, rtt / 2
            return
        self._rttvar += (abs(self.srtt - rtt) - self._rttvar) / 4
        self.srtt += (rtt - self.srtt) / 8

    def _restart_timer(self, now: float) -> None:
        variation = max(MIN_TIMEOUT, 4 * self._rttvar)
        self._timeout_at = now + ((self.srtt or 0.8) + variation) * self._backoff
        if self._timer_at == math.inf:
            self._timer_at = self._timeout_at
            self._world.at(self._timer_at, self._on_timer)

    def _on_timer(self) -> None:
        now = self._world.now
        self._timer_at = math.inf
        if self._timeout_at == math.inf:
            return
        if now < self._timeout_at:
            self._timer_at = self._timeout_at
            self._world.at(self._timer_at, self._on_timer)
            return
        self.timeouts += 1
        self._backoff *= 2
        self._shrink()
        self.window = 1.0
        self._recover = -1
        self._lost = deque(each for each in sorted(self._sent_at) if each not in self._sacked)
        self._missing = set(self._lost)
        self._timeout_at = math.inf
        self.push()

    def _submit(self, first: int, count: int, now: float) -> None:
        for segment in range(first, first + count):
            self._sent_at[segment] = now
        self._prr_sent += count
        self._world.submit(self._end, super_frame(self._end, self._port, first, count))


class Receiver:
    """What the receiving kernel does."""

    def __init__(self, world: World, end: str, port: int) -> None:
        self.delivered: dict[
            int, int
        ] = {}  # segments in order, by tenths of a second since the start
        self.arrived = 0
        self.duplicates = 0
        self._world, self._end, self._port = world, end, port
        self._next = 0
        self._early: list[Block] = []  # out of order, ascending
        self._latest: list[Block] = []  # the same, the newest first
        self._unacknowledged = 0
        self._ack_due = False
        self._timer_set = False
        self._started = world.now

    def on_frame(self, vector: list[Buffer]) -> None:
        """Take a frame or super-frame."""
        head = vector[0] if len(vector[0]) > VNET.size else bytes(VNET.size) + bytes(vector[1])
        first = struct.unpack_from("!I", head, VNET.size + TRANSPORT + 4)[0] // PAYLOAD
        size = sum(map(len, vector)) - VNET.size - HEAD
        block = Block(first, first + round(size / PAYLOAD))
        self.arrived += block.end - block.first
        if first <= self._next < block.end and not self._early:
            self._advance(block.end)
        else:
            self._disorder(block)
        if self._unacknowledged >= 2 or self._early:
            self._ack_soon()
        elif not self._timer_set:
            self._timer_set = True
            self._world.at(self._world.now + DELAYED_ACK, self._on_timer)

    def _advance(self, end: int) -> None:
        count = end - self._next
        self._next = end
        self._unacknowledged += count
        tenth = int((self._world.now - self._started) / BIN_SECONDS)
        self.delivered[tenth] = self.delivered.get(tenth, 0) + count

    def _disorder(self, block: Block) -> None:
        self._ack_soon()
        if block.end <= self._next:
            self.duplicates += 1
            return
        index = bisect_right(self._early, block)
        while index and self._early[index - 1].end >= block.first:
            index -= 1
            block = Block(
                min(block.first, self._early[index].first), max(block.end, self._early[index].end)
            )
            self._latest.remove(self._early.pop(index))
        while index < len(self._early) and self._early[index].first <= block.end:
            block = Block(block.first, max(block.end, self._early[index].end))
            self._latest.remove(self._early.pop(index))
        if block.first <= self._next:
            self._advance(block.end)
        else:
            insort(self._early, block)
            self._latest.insert(0, block)

    def _ack_soon(self) -> None:
        if not self._ack_due:
            self._ack_due = True
            self._world.at(self._world.now, self._acknowledge)

    def _on_timer(self) -> None:
        self._timer_set = False
        if self._unacknowledged:
            self._ack_soon()

    def _acknowledge(self) -> None:
        self._ack_due = False
        self._unacknowledged = 0
        blocks = b"".join(struct.pack("!II", *block) for block in self._latest[:3])
        self._world.submit(self._end, acknowledgement(self._end, self._port, self._next, blocks))


def super_frame(end: str, port: int, first: int, count: int) -> bytes:
    """Make `count` segments as the kernel hands them over."""
    kind, size = (GSO_TCPV4, PAYLOAD) if count > 1 else (0, 0)
    vnet = VNET.pack(NEEDS_CHECKSUM, kind, HEAD, size, TRANSPORT, 16)
    return vnet + _head(end, port, first * PAYLOAD, 0, count * PAYLOAD, 8) + bytes(count * PAYLOAD)


def acknowledgement(end: str, port: int, acked: int, blocks: bytes) -> bytes:
    """Make a frame without payload."""
    vnet = VNET.pack(NEEDS_CHECKSUM, 0, 0, 0, TRANSPORT, 16)
    words = 8 + len(blocks) // 4
    return vnet + _head(end, port, 0, acked, len(blocks), words) + blocks


def _head(end: str, port: int, seq: int, acked: int, size: int, words: int) -> bytes:
    addresses = ADDRESSES[end == "server"]
    ip = struct.pack("!BBHHHBBH8s", 0x45, 0, HEAD - 14 + size, 0, 0x4000, 64, 6, 0, addresses)
    tcp = struct.pack("!HHIIBBHHH", port, port, seq, acked, words << 4, 0x10, 0xFFFF, 0, 0)
    return bytes(12) + b"\x08\x00" + ip + tcp + bytes(HEAD - OPTIONS)
