"""The server as a process: one socket, one TAP per peer, one core Server."""

import ipaddress

from . import __version__
from .config import PeerConfig, ServerConfig
from .core.errors import WrrtunError
from .core.events import Event, MtuAgreed
from .core.output import Transmit
from .core.responder import PeerKey, Responder
from .core.server import PathFacts, Server
from .core.session import KeyLife
from .core.settings import UDP_IPV4_BYTES, UDP_IPV6_BYTES, TunnelSettings, tunnel_mtu
from .core.slab import Slab
from .keys import device_mac, public_key_of
from .linux.control_socket import ControlSocket
from .linux.paths import Path, path_bytes, path_local_text, path_text, unmapped
from .linux.udp import SendResult, ServerSocket
from .loop import Daemon, Device, clock, draw, log_event
from .report import LinkAddresses, peer_status
from .router import ServerRouter
from .status import Snapshot

DEFAULT_LINK_MTU = 1500


def describe(path: object) -> PathFacts:
    """Tell the core what it must know of a path."""
    assert isinstance(path, Path)
    version = unmapped(ipaddress.ip_address(path.remote[0])).version
    return PathFacts(path_bytes(path), UDP_IPV4_BYTES if version == 4 else UDP_IPV6_BYTES)


class ServerDaemon(Daemon):
    """Everything that `wrrtun server` runs."""

    def __init__(self, config: ServerConfig) -> None:
        super().__init__()
        self._config = config
        self._slab = Slab()
        self._devices: dict[str, Device] = {}
        self._socket: ServerSocket | None = None
        self._control: ControlSocket | None = None
        self._server: Server | None = None
        self._router = ServerRouter()

    async def start(self) -> None:
        """Open the socket, the TAPs and the control socket."""
        config = self._config
        self._socket = ServerSocket(config.listen_address, config.listen_port)
        self._control = ControlSocket(config.control_socket, self._answer)
        await self._control.start()
        life = KeyLife(config.limits.rekey_seconds, config.limits.reject_seconds)
        settings = {}
        for peer in config.peers:
            # Without a word from the client, assume IPv4: the smaller of both ends' MTUs counts.
            mtu = peer.mtu or tunnel_mtu(DEFAULT_LINK_MTU, ipv6=False)
            settings[peer.name] = TunnelSettings(mtu, life)
            self._open_device(peer, mtu)
        responder = Responder(
            config.private_key,
            draw(16),
            {peer.public_key: PeerKey(peer.name, peer.psk) for peer in config.peers},
            draw,
        )
        self._server = Server(responder, settings, describe, draw, clock())
        self._router.update({peer.device: peer for peer in config.peers}, nat=config.nat)
        self.watch(self._socket.fileno(), self._receive)

    async def close(self) -> None:
        """Say goodbye, and take everything away that was set up."""
        if self._server is not None:
            self._transmit(self._server.close(clock()))
        if self._socket is not None:
            self.loop.remove_reader(self._socket.fileno())
            self._socket.close()
        self._router.close()
        for device in self._devices.values():
            self.loop.remove_reader(device.tap.fileno())
            device.tap.close()
        if self._control is not None:
            await self._control.close()

    def wake(self, now: float) -> None:
        """Poll the core; send, write and log what it says."""
        if self._server is None:
            return
        result = self._server.poll(now)
        self._transmit(result.transmits)
        for peer, output in result.outputs:
            device = self._devices[peer]
            device.settle()
            if output.frames:
                device.write(output.frames)
            for event in output.events:
                self._note(event)
        self.timer.set(result.deadline, now)

    def _open_device(self, peer: PeerConfig, mtu: int) -> None:
        mac = device_mac(public_key_of(self._config.private_key), peer.public_key)
        device = Device(peer.device, peer.addresses, mtu, peer.bridge, mac)
        self._devices[peer.name] = device

        def read(now: float) -> bool:
            frame = device.read()
            if frame is None or self._server is None:
                return False
            self._server.submit(peer.name, frame, now)
            return True

        self.watch(device.tap.fileno(), read)

    def _receive(self, now: float) -> bool:
        assert self._socket is not None
        assert self._server is not None
        received = self._socket.receive_into(self._slab.view)
        if received is None:
            return False
        size, datagram_bytes, path = received
        self._server.receive(path, self._slab.view[:size], datagram_bytes, now, self._slab)
        return True

    def _transmit(self, transmits: list[Transmit]) -> None:
        assert self._socket is not None
        send = self._socket.send
        for _link, path, data, datagram_bytes in transmits:
            assert isinstance(path, Path)
            if send(data, datagram_bytes, path) is not SendResult.OK and self._server is not None:
                self._server.send_failed(path, clock())

    def _note(self, event: Event) -> None:
        log_event(event)
        if isinstance(event, MtuAgreed):
            self._devices[event.peer].set_mtu(event.mtu)

    def _answer(self, request: str) -> bytes:
        assert self._server is not None
        if request != "status":
            raise WrrtunError(f"unknown request {request!r}")
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
        snapshot = Snapshot(
            role="server",
            version=__version__,
            uptime_seconds=now - self.started,
            peers=peers,
            drops=self._server.counters.drops(),
        )
        return snapshot.to_json()
