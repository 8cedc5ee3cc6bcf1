"""Random scripts of what can befall a tunnel, with an enemy who hears and sends everything.

Invariant: nothing escapes, no frame comes out twice or changed, tables stay small, and once the
lines are mended the tunnel is up and carries everything in order.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.hostile import ENDS, STRANGER, flip, path_to
from tests.sim.lines import both
from tests.sim.world import World, frame
from wrrtun.core.session import KeyLife
from wrrtun.core.vnet import VNET

LINKS = 2
END, LINK = st.sampled_from(ENDS), st.integers(0, LINKS - 1)


class Script:
    """A world and the things that can be done to it; each takes what the script drew for it."""

    def __init__(self, seed: int) -> None:
        lines = [both(delay=0.005, jitter=0.002), both(delay=0.040, jitter=0.010)]
        # Keys that live for a few seconds: most scripts see a rekey.
        self.world = World(lines, seed=seed, life=KeyLife(rekey_seconds=3.0, reject_seconds=6.0))
        self.world.sent = []
        self._number = 0
        self._ports = 45_000

    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    def frames(self, end: str, count: int, express: bool) -> None:
        self.world.stream(
            end, range(self._number, self._number + count), 0.002, 200, express=express
        )
        self._number += count

    def cut(self, link: int, up: bool, down: bool) -> None:
        self.world.lines[link][0].cut, self.world.lines[link][1].cut = up, down

    def spoil(self, link: int, loss: float, duplicate: float, reorder: float) -> None:
        for line in self.world.lines[link]:
            line.loss, line.duplicate, line.reorder = loss, duplicate, reorder

    def move(self, link: int) -> None:
        self._ports += 1
        self.world.ports[link] = self._ports

    def fail(self, end: str, link: int) -> None:
        self.world.tunnel(end).send_failed(link, "no such device", self.world.now)

    def restart(self, end: str, goodbye: bool) -> None:
        world = self.world
        node = world.client if end == "client" else world.server
        if goodbye:
            for transmit in node.close(world.now):
                to = "server" if end == "client" else "client"
                world.inject(to, bytes(transmit.data), path_to(world, to, transmit.link))
        if end == "client":
            world.client = world.make_client()
        else:
            world.server = world.make_server()

    def replay(self, end: str, back: int, bit: int | None, path: int | None) -> None:
        """Send an old datagram of either end to `end`, perhaps flipped, from anywhere."""
        sent = self.world.sent
        if not sent:
            return
        datagram = sent[-1 - back % len(sent)].datagram
        if bit is not None:
            datagram = flip(datagram, bit % (8 * len(datagram)))
        self.noise(end, datagram, path)

    def noise(self, end: str, datagram: bytes, path: int | None) -> None:
        """Send anything to `end`; without a `path`, from a stranger."""
        to = path_to(self.world, end, path or 0)
        if path is None and end == "server":
            to = STRANGER
        self.world.inject(end, datagram, to)


Step = tuple[Callable[..., None], tuple[Any, ...]]


def step(do: Callable[..., None], *drawn: st.SearchStrategy[Any]) -> st.SearchStrategy[Step]:
    return st.tuples(st.just(do), st.tuples(*drawn))


STEPS: st.SearchStrategy[Step] = st.one_of(
    step(Script.wait, st.floats(0, 3)),
    step(Script.frames, END, st.integers(1, 100), st.booleans()),
    step(Script.cut, LINK, st.booleans(), st.booleans()),
    step(Script.spoil, LINK, st.floats(0, 0.5), st.floats(0, 1), st.floats(0, 0.5)),
    step(Script.move, LINK),
    step(Script.fail, END, LINK),
    step(Script.restart, END, st.booleans()),
    step(
        Script.replay,
        END,
        st.integers(0, 5_000),
        st.none() | st.integers(0, 5_000),
        st.none() | LINK,
    ),
    step(Script.noise, END, st.binary(max_size=100), st.none() | LINK),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 1 << 32), steps=st.lists(STEPS, max_size=40))
def test_whatever_befalls_it_the_tunnel_recovers_and_delivers_once(
    seed: int, steps: list[Step]
) -> None:
    script = Script(seed)
    world = script.world
    for do, drawn in steps:
        do(script, *drawn)
    for link in range(LINKS):
        script.cut(link, up=False, down=False)
        script.spoil(link, 0.0, 0.0, 0.0)
    world.run(20.0)
    for end in ENDS:
        assert [world.state(end, link) in ("up", "lossy") for link in range(LINKS)] == [True] * 2
        world.stream(end, range(1_000_000, 1_000_100), 0.002, 200)
    world.run(1.0)
    for end in ENDS:
        numbers = world.numbers(end)
        assert len(numbers) == len(set(numbers))
        assert numbers[-100:] == list(range(1_000_000, 1_000_100))
        for read, number in zip(world.reads[end], numbers, strict=True):
            size = len(read) - VNET.size
            assert size == 60 or read[VNET.size :] == frame(number, 200)
        tunnel = world.tunnel(end)
        assert tunnel.inbound.reorder.held_bytes == 0
        assert not tunnel.outbound.queue
    assert len(world.server._sessions) <= 3
    assert len(world.server._offers) <= 1
