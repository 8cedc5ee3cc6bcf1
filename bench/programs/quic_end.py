"""One end of a transfer over QUIC: asks for bytes for so many seconds, or sends them.

The asking end keeps two streams under way, so that the sender always has something to send. It
writes at the end how many bytes came, and how many in each interval, as JSON; time runs from the
first datagram of the handshake.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import ssl
import sys
import time
from typing import Final

from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import QuicEvent, StreamDataReceived

from bench.certificates import self_signed

ALPN: Final = "wrrtun-bench"
STREAM_BYTES: Final = 2_000_000  # over a second of the lines here
STREAMS: Final = 2
WINDOW_BYTES: Final = 8 << 20  # more than any line here holds: it shall not be the limit


class Sender(QuicConnectionProtocol):
    """Sends as many bytes as the other end asks for."""

    def quic_event_received(self, event: QuicEvent) -> None:
        """Answer a request, which is the number of bytes in decimal."""
        if isinstance(event, StreamDataReceived) and event.data:
            self._quic.send_stream_data(event.stream_id, bytes(int(event.data)), end_stream=True)


class Receiver(QuicConnectionProtocol):
    """Asks for streams, and counts what comes."""

    def __init__(self, quic: QuicConnection, interval_seconds: float) -> None:
        super().__init__(quic)
        self.began = time.monotonic()
        self.payload_bytes = 0
        self.intervals: list[int] = []
        self._interval_seconds = interval_seconds

    def ask(self) -> None:
        """Ask for one more stream."""
        stream = self._quic.get_next_available_stream_id()
        self._quic.send_stream_data(stream, b"%d" % STREAM_BYTES, end_stream=True)

    def quic_event_received(self, event: QuicEvent) -> None:
        """Count; ask again when a stream has ended."""
        if isinstance(event, StreamDataReceived):
            interval = int((time.monotonic() - self.began) / self._interval_seconds)
            self.intervals += [0] * (interval + 1 - len(self.intervals))
            self.intervals[interval] += len(event.data)
            self.payload_bytes += len(event.data)
            if event.end_stream:
                self.ask()


async def _send(options: argparse.Namespace) -> None:
    key, certificate = self_signed("quic")
    configuration = QuicConfiguration(
        is_client=False,
        alpn_protocols=[ALPN],
        congestion_control_algorithm=options.congestion,
        certificate=certificate,
        private_key=key,
    )
    await serve(options.address, options.port, configuration=configuration, create_protocol=Sender)
    await asyncio.Event().wait()


async def _receive(options: argparse.Namespace) -> dict[str, object]:
    configuration = QuicConfiguration(
        is_client=True,
        alpn_protocols=[ALPN],
        max_data=WINDOW_BYTES,
        max_stream_data=WINDOW_BYTES,
        verify_mode=ssl.CERT_NONE,  # the server makes its certificate anew each time
    )
    six = ":" in options.address
    # aioquic compares the address with that of what comes in, which has four parts in IPv6.
    where = (options.address, options.port, *((0, 0) if six else ()))
    with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if options.device is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options.device.encode())
        sock.setblocking(False)
        sock.bind(("", 0))
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Receiver(QuicConnection(configuration=configuration), options.interval),
            sock=sock,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(options.seconds):
                protocol.connect(where)
                await protocol.wait_connected()
                for _ in range(STREAMS):
                    protocol.ask()
                protocol.transmit()
                await protocol.wait_closed()
        seconds = time.monotonic() - protocol.began
        protocol.close()
        transport.close()
    return {"bytes": protocol.payload_bytes, "seconds": seconds, "intervals": protocol.intervals}


def main() -> None:
    """Send until somebody ends us, or receive and write what came."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=("send", "receive"))
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--congestion", default="cubic")
    parser.add_argument("--device")
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--interval", type=float, default=1.0)
    options = parser.parse_args()
    if options.role == "send":
        asyncio.run(_send(options))
    else:
        json.dump(asyncio.run(_receive(options)), sys.stdout)


if __name__ == "__main__":
    main()
