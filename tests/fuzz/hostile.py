"""What an enemy on the path has: a tunnel at work, what it sent, and any address to send from."""

from tests.sim.lines import both
from tests.sim.world import Sent, World
from wrrtun.core.wire import Kind

ENDS = ("client", "server")
STRANGER = 50_000  # a port that no client owns


def other(end: str) -> str:
    return "server" if end == "client" else "client"


def tunnel_at_work(links: int = 2, seed: int = 1) -> World:
    """A tunnel that has been up for two seconds and has carried a few frames both ways."""
    world = World([both(delay=0.005 + 0.020 * number) for number in range(links)], seed=seed)
    world.sent = []
    world.run(1.5)
    for end in ENDS:
        world.stream(end, range(20), 0.005, 100)
        world.stream(end, range(1_000, 1_005), 0.010, 60, express=True)
    world.run(0.5)
    assert [len(world.reads[end]) for end in ENDS] == [25, 25]
    world.poll()
    return world


def path_to(world: World, end: str, link: int = 0) -> int:
    """Return the path on which `end` hears the other end over a link."""
    return link if end == "client" else world.ports[link]


def captured(world: World, sender: str, kind: Kind) -> Sent:
    """Return the newest datagram of a kind that an end has sent."""
    assert world.sent is not None
    return next(sent for sent in reversed(world.sent) if sent.end == sender and sent.kind == kind)


def withheld(world: World, sender: str, kind: Kind) -> Sent:
    """Have an end send a datagram of a kind, and keep it from arriving."""
    assert world.sent is not None
    for pair in world.lines:
        pair[0].cut = pair[1].cut = True
    before = len(world.sent)
    if kind == Kind.CONTROL:
        while not any(sent.end == sender and sent.kind == kind for sent in world.sent[before:]):
            world.run(0.010)
    else:
        world.send(sender, 5_000, 100, express=kind == Kind.EXPRESS)
    world.poll()
    for pair in world.lines:
        pair[0].cut = pair[1].cut = False
    return captured(world, sender, kind)


def answers(world: World, end: str, datagram: bytes, path: int, size: int = 0) -> list[Sent]:
    """Hand an end a datagram; return what both ends send because of it, at once."""
    assert world.sent is not None
    world.poll()
    before = len(world.sent)
    world.inject(end, datagram, path, size)
    return world.sent[before:]


def refused(world: World, end: str) -> int:
    """Count what an end has dropped, for whatever reason."""
    return sum(world.drops(end).values())


def learned(world: World, end: str) -> list[object]:
    """Return all that hostile datagrams must not change at one end."""
    tunnel = world.tunnel(end)
    facts: list[object] = [tunnel.sessions.local_ids, tunnel.inbound.reorder.next_seq]
    for member in tunnel.bond:
        link = member.link
        facts += [member.path, link.state, link.incoming.datagrams, link.incoming.bytes]
        facts += [link.heard_at, link.srtt, link.loss_in, member.arrivals.datagrams]
        facts += [tunnel.inbound.reorder.floor(member.number)]
    return facts


def flip(datagram: bytes, bit: int) -> bytes:
    """Return a copy with one bit changed."""
    changed = bytearray(datagram)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)
