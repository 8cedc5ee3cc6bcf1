"""The client as a process: one TAP, one socket per link, one core Client."""

import logging
import time
from collections.abc import Callable
from typing import Final

from . import __version__
from .client_links import LOOK_SECONDS, ClientLinks
from .clocks import clock
from .config import MIN_MTU, ClientConfig, LinkConfig, least_mtu
from .core.client import Client
from .core.errors import ConfigError
from .core.events import Event, LinkChanged, MtuAgreed, SessionDown
from .core.initiator import Initiator
from .core.offers import alone
from .core.output import Transmit
from .core.reads import MAX_READS, Reads
from .core.seal import Suite
from .core.session import KeyLife
from .core.settings import UDP_IPV4_BYTES, UDP_IPV6_BYTES, TunnelSettings, tunnel_mtu
from .device import Device
from .keys import device_mac, public_key_of
from .link_socket import LinkSocket
from .linux.control_socket import ControlSocket
from .linux.machine import has_aes
from .linux.monitor import Monitor
from .linux.udp import SendResult
from .loop import IN_ORDER, Daemon, Timer, draw, was_held_up
from .meter_keeper import MeterKeeper
from .reload import refuse_restart, renumber
from .report import LinkAddresses, peer_status
from .route_keeper import RouteKeeper
from .routing import MARK
from .server_name import ServerName
from .status import Snapshot

log = logging.getLogger("wrrtun")

DEFAULT_LINK_MTU: Final = 1500


class ClientDaemon(Daemon):
    """Everything that `wrrtun client` runs."""

    def __init__(self, config: ClientConfig, read_again: Callable[[], ClientConfig]) -> None:
        super().__init__(config.watch, "client")
        self._config = config
        self._read_again = read_again
        self._links = ClientLinks(
            self.loop,
            ServerName(self.loop, config.server_host, config.server_port),
            self.watch,
            self.wall_clock.since,
            lambda: self._client,
            lambda: self.wake(clock()),
            clock,
        )
        self._device: Device | None = None
        self._control: ControlSocket | None = None
        self._monitor: Monitor | None = None
        self._client: Client | None = None
        self._only: int | None = None  # the link that is being measured
        self._looking = Timer(self.loop, self._look)  # after the links
        self._metering = MeterKeeper(config.watch)
        self._routes = RouteKeeper(self.loop, config, self._usable)

    async def start(self) -> None:
        """Open the sockets, the TAP and the control socket; start the first handshake."""
        config = self._config
        self._routes.prepare()
        self._links.server.look_up()
        for number, link in enumerate(config.links):
            self._add_link(number, link)
        self._links.start()
        # Any link may have to go by any of the addresses.
        ipv6 = any(address.version == 6 for address in self._links.server.addresses)
        mtu = config.mtu or self._fitting_mtu(ipv6)
        now = clock()
        initiator = Initiator(
            config.private_key,
            config.server_public_key,
            config.psk,
            suite=Suite.named(config.cipher, has_aes=has_aes()),
            boot_id=draw(16),
            random=draw,
        )
        limits = config.limits
        life = KeyLife(limits.rekey_seconds, limits.reject_seconds)
        settings = TunnelSettings(mtu, life, IN_ORDER, least_mtu(config.addresses))
        header_bytes = UDP_IPV6_BYTES if ipv6 else UDP_IPV4_BYTES
        self._metering.load(config.links)
        offers = self._metering.offers(self._configured())
        self._client = Client(
            initiator, offers, settings, header_bytes, draw, time.time, now, config.copies
        )
        self._metering.start(self._configured, self._client.tunnel.bond, self._tell_links)
        self._control = ControlSocket(config.control_socket, self.answer)
        await self._control.start()
        mac = device_mac(public_key_of(config.private_key), config.server_public_key)
        self._device = Device(config.device, config.addresses, mtu, config.bridge, mac, Reads())
        self.watch_many(self._device.tap.fileno(), self._read_tap, MAX_READS)
        self._routes.start()
        self._monitor = Monitor()
        self.watch(self._monitor.fileno(), self._network_changed)
        self._look_soon()
        self.wake(now)

    async def close(self) -> None:
        """Say goodbye, and take everything away that was set up."""
        if self._client is not None:
            self._transmit(self._client.close(clock()))
        bond = self._client.tunnel.bond if self._client is not None else None
        await self._metering.close(self._configured(), bond)
        self._routes.close()
        for link in self._links.sockets.values():
            self._links.close(link)
        if self._monitor is not None:
            self.loop.remove_reader(self._monitor.fileno())
            self._monitor.close()
        if self._device is not None:
            self.loop.remove_reader(self._device.tap.fileno())
            self._device.close()
        if self._control is not None:
            await self._control.close()

    def wake(self, now: float) -> None:
        """Poll the core; send, write and log what it says."""
        if self._client is None or self._device is None:
            return
        output = self._client.poll(now)
        self._device.settle()
        self._transmit(output.transmits)
        if was_held_up(output.transmits, now):
            self._client.tunnel.held_up(now)
        if output.frames:
            self._device.write(output.frames)
        for event in output.events:
            self._note(event)
        self.timer.set(output.deadline, now)

    def _configured(self) -> dict[int, LinkConfig]:
        return {number: link.config for number, link in self._links.sockets.items()}

    def _tell_links(self) -> None:
        """Have both ends use the links as they are configured, and metered, now."""
        if self._client is not None:
            offers = self._metering.offers(self._configured())
            self._client.set_links(alone(offers, self._only), clock(), self._config.copies)
            self.wake(clock())

    def _fitting_mtu(self, ipv6: bool) -> int:
        """Return what fits every link that is there."""
        known = [
            link.socket.mtu_bytes
            for link in self._links.sockets.values()
            if link.socket is not None
        ]
        smallest = min((mtu for mtu in known if mtu), default=DEFAULT_LINK_MTU)
        mtu = tunnel_mtu(min(smallest, DEFAULT_LINK_MTU), ipv6=ipv6)
        if mtu < MIN_MTU:
            raise ConfigError(
                f"the links' MTU of {smallest} bytes leaves {mtu} for the tunnel; "
                f"it needs {MIN_MTU}: raise the interfaces' MTU"
            )
        return mtu

    def _usable(self) -> bool:
        """Tell whether the tunnel can carry packets now."""
        return self._client is not None and self._client.tunnel.usable(clock())

    # Links

    def reload(self) -> str:
        """Apply changes of links, weights and routes; what else has changed needs a restart."""
        config = self._read_again()
        refuse_restart(self._config, config)
        numbered = renumber(self._configured(), config.links)
        sockets = self._links.sockets
        # A socket's mark is set before it is bound.
        marking = bool(config.routing.networks) != bool(self._config.routing.networks)
        self._config = config
        for number, link in list(sockets.items()):
            if number in numbered and not marking:
                link.config = numbered[number]
            else:
                self._links.remove(number)
        added = [number for number in sorted(numbered) if number not in sockets]
        for number in added:
            self._add_link(number, numbered[number])
        self._links.open_closed()
        self._look_soon()  # after those that could not be opened
        self._tell_links()
        trouble = self._routes.configure(config)
        return f"{len(numbered)} links, {len(added)} of them opened{trouble}"

    def use_only(self, number: int | None) -> None:
        """Have one link carry and the others stand by; None: as configured."""
        if number not in (None, *self._links.sockets):
            raise ValueError(f"there is no link {number}")
        self._only = number
        self._tell_links()

    def _add_link(self, number: int, config: LinkConfig) -> None:
        self._links.add(number, config, MARK if self._config.routing.networks else 0)

    def _look_soon(self) -> None:
        now = clock()
        self._looking.set(now + LOOK_SECONDS, now)

    def _look(self, now: float) -> None:
        self._looking.set(now + self._links.look(self._usable()), now)

    def _network_changed(self, _now: float) -> bool:
        assert self._monitor is not None
        changes = self._monitor.read()
        if not changes:
            return False
        self._routes.network_changed()
        self._links.network_changed(changes)
        return True

    def _transmit(self, transmits: list[Transmit]) -> None:
        for number, _path, data, datagram_bytes in transmits:
            link = self._links.sockets.get(number)
            if link is None or link.socket is None:
                continue
            result = link.socket.send(data, datagram_bytes)
            if link.socket.took_error:
                link.socket.took_error = False
                self._links.watch(link)
            if result is SendResult.TOO_BIG and self._client is not None:
                self._client.tunnel.too_big(link.number, datagram_bytes, clock())
            elif result is not SendResult.OK:
                self._send_failed(link, result)

    def _send_failed(self, link: LinkSocket, result: SendResult) -> None:
        assert self._client is not None
        assert link.socket is not None
        reason = link.socket.why(result)
        if result in (SendResult.DEVICE_GONE, SendResult.UNREACHABLE):
            # A bound socket whose address or device has gone says so for ever.
            if self._links.replace(link):
                reason = ""  # it may only have another address
            else:
                link.failure = link.failure or reason
        self._client.tunnel.send_failed(link.number, reason, clock())

    def _read_tap(self, most: int, now: float) -> int:
        assert self._device is not None
        assert self._client is not None
        reads = self._device.read(most, now)
        count = len(reads)
        self._client.submit(reads, now)
        return count

    def _note(self, event: Event) -> None:
        self.observer.note(event)
        self._routes.note(event)
        if isinstance(event, MtuAgreed) and self._device is not None:
            self._device.set_mtu(event.mtu)
        elif isinstance(event, LinkChanged | SessionDown):
            self._look_soon()

    def snapshot(self) -> Snapshot:
        """Describe the tunnel."""
        assert self._client is not None
        now = clock()
        addresses = {
            link.number: LinkAddresses(
                link.config.where,
                link.socket.local_text if link.socket else None,
                link.socket.remote_text if link.socket else None,
                "" if link.socket else link.failure,
            )
            for link in self._links.sockets.values()
        }
        peer = peer_status(self._client.tunnel, self._device, addresses, now)
        return Snapshot(
            role="client",
            version=__version__,
            uptime_seconds=now - self.started,
            peers=[peer],
            drops={},
        )
