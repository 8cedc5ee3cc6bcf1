"""The server as a process: one socket, one TAP per peer, one core Server."""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import replace

from . import __version__
from .clocks import clock
from .config import PeerConfig, ServerConfig, least_mtu
from .core.errors import ConfigError
from .core.events import Event, MtuAgreed
from .core.output import Transmit
from .core.reads import MAX_READS, Reads
from .core.responder import PeerKey, Responder
from .core.server import PathFacts, Server
from .core.session import KeyLife
from .core.settings import UDP_IPV4_BYTES, UDP_IPV6_BYTES, TunnelSettings, tunnel_mtu
from .device import Device
from .inbox import Inbox
from .keys import device_mac, public_key_of
from .linux.control_socket import ControlSocket
from .linux.machine import lift_descriptor_limit
from .linux.paths import Path, path_bytes, path_local_text, path_text, unmapped
from .linux.udp import SendResult, ServerSocket
from .loop import IN_ORDER, Daemon, draw, was_held_up
from .reload import compare_peers, refuse_restart
from .report import LinkAddresses, peer_status
from .router import ServerRouter
from .status import Snapshot

DEFAULT_LINK_MTU = 1500


def describe(path: object) -> PathFacts:
    """Tell the core what it must know of a path."""
    assert isinstance(path, Path)
    version = unmapped(ipaddress.ip_address(path.remote[0])).version
    return PathFacts(path_bytes(path), UDP_IPV4_BYTES if version == 4 else UDP_IPV6_BYTES)


def _keys(peers: Iterable[PeerConfig]) -> dict[bytes, PeerKey]:
    return {peer.public_key: PeerKey(peer.name, peer.psk) for peer in peers}


def _mtu(peer: PeerConfig) -> int:
    # Without a word from the client, assume IPv4: the smaller of both ends' MTUs counts.
    return peer.mtu or tunnel_mtu(DEFAULT_LINK_MTU, ipv6=False)


class ServerDaemon(Daemon):
    """Everything that `wrrtun server` runs."""

    def __init__(self, config: ServerConfig, read_again: Callable[[], ServerConfig]) -> None:
        super().__init__(config.watch, "server")
        self._config = config
        self._read_again = read_again
        self._inbox: Inbox[Path] | None = None
        self._reads = Reads()
        self._devices: dict[str, Device] = {}
        self._socket: ServerSocket | None = None
        self._control: ControlSocket | None = None
        self._server: Server | None = None
        self._responder: Responder | None = None
        self._router = ServerRouter()

    async def start(self) -> None:
        """Open the socket, the TAPs and the control socket."""
        config = self._config
        lift_descriptor_limit()
        self._socket = ServerSocket(config.listen_address, config.listen_port)
        self._control = ControlSocket(config.control_socket, self.answer)
        await self._control.start()
        for peer in config.peers:
            self._open_device(peer)
        self._responder = Responder(config.private_key, draw(16), _keys(config.peers), draw)
        settings = {peer.name: self._settings(peer) for peer in config.peers}
        self._server = Server(self._responder, settings, describe, draw, clock())
        self._router.update({peer.device: peer for peer in config.peers}, nat=config.nat)
        self._inbox = Inbox(self._server.receive)
        self.watch(self._socket.fileno(), self._receive, self._inbox.flush)

    async def close(self) -> None:
        """Say goodbye, and take everything away that was set up."""
        if self._server is not None:
            self._transmit(self._server.close(clock()))
        if self._socket is not None:
            self.loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self._router.close()
        for name in list(self._devices):
            self._close_device(name)
        if self._control is not None:
            await self._control.close()

    def wake(self, now: float) -> None:
        """Poll the core; send, write and log what it says."""
        if self._server is None:
            return
        result = self._server.poll(now)
        self._transmit(result.transmits)
        if was_held_up(result.transmits, now):
            for peer, _ in result.outputs:
                self._server.tunnels[peer].held_up(now)
        for event in result.events:
            self.observer.note(event)
        for peer, output in result.outputs:
            device = self._devices[peer]
            device.settle()
            if output.frames:
                device.write(output.frames)
            for event in output.events:
                self._note(event)
        self.timer.set(result.deadline, now)

    def reload(self) -> str:
        """Take peers in and out; what else has changed needs a restart."""
        assert self._server is not None
        assert self._responder is not None
        config = self._read_again()
        refuse_restart(self._config, config)
        gone, new = compare_peers(self._config.peers, config.peers)
        now = clock()
        for peer in gone:
            self._server.remove_peer(peer.name, now)
            self._close_device(peer.name)
        failed: dict[str, ConfigError] = {}
        for peer in new:
            try:
                self._open_device(peer)
            except ConfigError as error:
                failed[peer.name] = error
            else:
                self._server.add_peer(peer.name, self._settings(peer), now)
        peers = tuple(peer for peer in config.peers if peer.name not in failed)
        self._config = replace(config, peers=peers)
        self._responder.set_peers(_keys(peers))
        self.wake(now)
        said = [f"{len(peers)} peers, {len(new) - len(failed)} of them new, {len(gone)} gone"]
        said += [f"{name}: {error}" for name, error in failed.items()]
        try:
            self._router.update({peer.device: peer for peer in peers}, nat=config.nat)
        except ConfigError as error:
            said.append(str(error))
        return "; ".join(said)

    def _settings(self, peer: PeerConfig) -> TunnelSettings:
        limits = self._config.limits
        life = KeyLife(limits.rekey_seconds, limits.reject_seconds)
        return TunnelSettings(_mtu(peer), life, IN_ORDER, least_mtu(peer.addresses))

    def _close_device(self, name: str) -> None:
        device = self._devices.pop(name, None)
        if device is not None:
            self.loop.remove_reader(device.tap.fileno())
            device.close()

    def _open_device(self, peer: PeerConfig) -> None:
        mac = device_mac(public_key_of(self._config.private_key), peer.public_key)
        device = Device(peer.device, peer.addresses, _mtu(peer), peer.bridge, mac, self._reads)
        self._devices[peer.name] = device

        def read(most: int, now: float) -> int:
            reads = device.read(most, now)
            count = len(reads)
            if self._server is not None:
                self._server.submit(peer.name, reads, now)
            return count

        self.watch_many(device.tap.fileno(), read, MAX_READS)

    def _receive(self, now: float) -> int:
        assert self._socket is not None
        assert self._inbox is not None
        received = self._socket.receive_into(self._inbox.room)
        if received is None:
            return 0
        size, datagram_bytes, path = received
        waited = self.wall_clock.since(self._socket.received_at, now)
        self._inbox.add(path, size, datagram_bytes, now, waited)
        return size or 1

    def _transmit(self, transmits: list[Transmit]) -> None:
        assert self._socket is not None
        send = self._socket.send
        for _link, path, data, datagram_bytes in transmits:
            assert isinstance(path, Path)
            result = send(data, datagram_bytes, path)
            if result is SendResult.OK or self._server is None:
                continue
            if result is SendResult.TOO_BIG:
                self._server.too_big(path, datagram_bytes, clock())
            else:
                self._server.send_failed(path, self._socket.why(result), clock())

    def _note(self, event: Event) -> None:
        self.observer.note(event)
        if isinstance(event, MtuAgreed):
            self._devices[event.peer].set_mtu(event.mtu)

    def snapshot(self) -> Snapshot:
        """Describe the tunnels of all peers."""
        assert self._server is not None
        now = clock()
        peers = []
        for name, tunnel in self._server.tunnels.items():
            addresses = {
                member.number: LinkAddresses(
                    None, path_local_text(member.path), path_text(member.path), ""
                )
                for member in tunnel.bond
                if isinstance(member.path, Path)
            }
            peers.append(peer_status(tunnel, self._devices.get(name), addresses, now))
        return Snapshot(
            role="server",
            version=__version__,
            uptime_seconds=now - self.started,
            peers=peers,
            drops=self._server.counters.drops(),
        )
