"""What is small and thin overtakes what is large, but nothing overtakes its own flow."""

import random
from functools import partial
from itertools import pairwise

import pytest

from tests.core.test_classify import ipv4, udp
from tests.sim.lines import both
from tests.sim.world import World
from wrrtun.core.headers import Buffer
from wrrtun.core.vnet import GSO_UDP_L4, NEEDS_CHECKSUM, VNET, VNET_PLAIN

LINES = [(0.011, 10e6), (0.060, 3e6)]
HEADERS = 42
EF = 46 << 2


class UdpFlow:
    """Numbered datagrams of one flow from the server to the client, and when each came."""

    def __init__(self, world: World, port: int, tos: int = 0) -> None:
        self.came: list[int] = []
        self.delays: list[float] = []
        self._world, self._port, self._tos = world, port, tos
        self._sent_at: list[float] = []

    def send(self, size: int) -> None:
        payload = len(self._sent_at).to_bytes(8).ljust(size, b"\xaa")
        self._sent_at.append(self._world.now)
        frame = ipv4(17, udp(payload, target=self._port), tos=self._tos)
        self._world.submit("server", VNET_PLAIN + frame)

    def send_super(self, size: int, count: int) -> None:
        payload = b"".join(
            (len(self._sent_at) + index).to_bytes(8).ljust(size, b"\xaa") for index in range(count)
        )
        self._sent_at += [self._world.now] * count
        frame = ipv4(17, udp(payload, target=self._port), tos=self._tos)
        head = VNET.pack(NEEDS_CHECKSUM, GSO_UDP_L4, HEADERS, size, 34, 6)
        self._world.submit("server", head + frame)

    def take(self, datagram: bytes) -> None:
        number = int.from_bytes(datagram[:8])
        self.came.append(number)
        self.delays.append(self._world.now - self._sent_at[number])


def udp_world(rates: list[float] | None, seed: int = 1) -> tuple[World, dict[int, UdpFlow]]:
    world = World([both(delay=delay, rate=rate) for delay, rate in LINES], rates=rates, seed=seed)
    flows: dict[int, UdpFlow] = {}

    def take(vector: list[Buffer]) -> None:
        read = b"".join(vector)
        port = int.from_bytes(read[VNET.size + 36 : VNET.size + 38])
        payload = read[VNET.size + HEADERS :]
        step = VNET.unpack_from(read)[3] or len(payload)
        for start in range(0, len(payload), step):
            flows[port].take(payload[start : start + step])

    world.listen("client", 0, take)
    world.run(2.0)
    return world, flows


@pytest.mark.parametrize("rates", [None, [10e6, 3e6]])
@pytest.mark.parametrize("tos", [0, EF])
def test_a_udp_flow_of_mixed_sizes_stays_in_order(rates: list[float] | None, tos: int) -> None:
    world, flows = udp_world(rates)
    flow = flows[7] = UdpFlow(world, 7, tos)
    rng = random.Random(1)
    for step in range(4000):
        size = rng.choice((40, 100, 300, 1200, 1200, 1200, 1200, 1200, 1200))
        world.at(world.now + step / 1000, partial(flow.send, size))  # 8 Mbit/s
    world.run(6.0)
    overtaken = [number for number, following in pairwise(flow.came) if following < number]
    # Marked as express, some run ahead of the first that finds no room among express.
    assert len(overtaken) <= (0 if tos != EF else 10)
    assert len(set(flow.came)) == len(flow.came) > 3900


def test_what_follows_a_super_frame_of_its_flow_stays_behind_it() -> None:
    world, flows = udp_world([10e6, 3e6])
    flow = flows[7] = UdpFlow(world, 7)
    for step in range(200):
        world.at(world.now + step / 50, partial(flow.send_super, 1200, 15))  # 7.2 Mbit/s
        world.at(world.now + step / 50 + 0.001, partial(flow.send, 50))
    world.run(6.0)
    assert flow.came == list(range(200 * 16))


def test_a_call_overtakes_another_flow_s_bulk() -> None:
    world, flows = udp_world([10e6, 3e6])
    call, transfer = UdpFlow(world, 5), UdpFlow(world, 7)
    flows |= {5: call, 7: transfer}
    for step in range(5500):
        world.at(world.now + step / 1100, partial(transfer.send, 1300))  # all that the lines carry
    for step in range(250):
        world.at(world.now + step / 50, partial(call.send, 172))
    world.run(6.0)
    assert call.came == list(range(250))
    assert max(call.delays) < 0.011 + 0.008
    assert max(transfer.delays) > 0.060


def test_a_call_that_once_sent_something_large_overtakes_again_two_seconds_later() -> None:
    world, flows = udp_world([10e6, 3e6])
    call, transfer = UdpFlow(world, 5), UdpFlow(world, 7)
    flows |= {5: call, 7: transfer}
    for step in range(5500):
        world.at(world.now + step / 1100, partial(transfer.send, 1300))
    for step in range(250):
        world.at(world.now + step / 50, partial(call.send, 1000 if step == 50 else 172))
    world.run(6.0)
    kept = [number for number, delay in zip(call.came, call.delays, strict=True) if delay > 0.030]
    assert min(kept) == 50
    assert 100 <= max(kept) <= 150


@pytest.mark.parametrize(("loss", "path_seconds"), [(0.005, 0.011), (0.10, 0.060)])
def test_express_leaves_a_line_that_loses_much(loss: float, path_seconds: float) -> None:
    world, flows = udp_world([10e6, 3e6])
    for direction in world.lines[0]:
        direction.loss = loss
    call = flows[5] = UdpFlow(world, 5)
    transfer = flows[7] = UdpFlow(world, 7)
    for step in range(3000):
        world.at(world.now + step / 200, partial(transfer.send, 1200))
    world.run(5.0)
    for step in range(500):
        world.at(world.now + step / 50, partial(call.send, 172))
    world.run(11.0)
    assert len(set(call.came)) >= 490
    delays = sorted(call.delays)
    assert path_seconds < delays[len(delays) // 2] < path_seconds + 0.008
