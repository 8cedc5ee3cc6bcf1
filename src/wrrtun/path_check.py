"""Does the server answer over each line? Real handshakes, without a daemon or a device.

An answer proves all of it: the line carries UDP both ways, the server is the one whose key we
have, and it knows us. It is a session that nobody uses, which the server forgets.
"""

import os
import select
import time
from dataclasses import dataclass, replace
from typing import Final

from .config import ClientConfig, IPAddress
from .core.errors import ConfigError, PeerError
from .core.initiator import Initiator
from .core.offers import LinkOffer, LinkTable
from .core.seal import Suite
from .link_socket import LinkSocket, resolve
from .router import ClientRouter, claim_routes
from .routing import MARK

ATTEMPTS: Final = 4
ATTEMPT_SECONDS: Final = 1.0
BUFFER_BYTES: Final = 1 << 16
MTU: Final = 1280
NO_ANSWER: Final = "no answer"


@dataclass(frozen=True)
class Answer:
    """What became of the handshakes over one link; `seconds` None: no answer, and why."""

    where: str
    seconds: float | None
    trouble: str = ""


def check(config: ClientConfig) -> list[Answer]:
    """Try each link for some seconds, one after the other.

    Where the configuration has routes, each line gets its rules meanwhile: without them, a strict
    reverse path filter drops the answers on all lines but one.
    """
    server = resolve(config.server_host, config.server_port)
    holder = claim_routes()
    if holder is None or not config.routing.networks:
        return _try_all(config, server, 0)
    router = ClientRouter(replace(config, when_down="wait", nat=False))
    with holder:
        router.update(present=True, carrying=False)
        try:
            return _try_all(config, server, MARK)
        finally:
            router.update(present=False, carrying=False)


def _try_all(config: ClientConfig, server: list[IPAddress], mark: int) -> list[Answer]:
    initiator = Initiator(
        config.private_key,
        config.server_public_key,
        config.psk,
        suite=Suite.CHACHA20_POLY1305,
        boot_id=os.urandom(16),
        random=os.urandom,
    )
    answers = []
    for number, link in enumerate(config.links):
        socket = LinkSocket(number, link, server, mark)
        try:
            answers.append(_try(socket, config, initiator))
        except ConfigError as error:
            answers.append(Answer(link.where, None, str(error)))
        finally:
            socket.close()
    return answers


def _try(link: LinkSocket, config: ClientConfig, initiator: Initiator) -> Answer:
    where = link.config.where
    if not link.open(config.server_port) or link.socket is None:
        return Answer(where, None, link.failure)
    offers = _offers(config)
    buffer = memoryview(bytearray(BUFFER_BYTES))
    for attempt in range(ATTEMPTS):
        began = time.monotonic()
        init = initiator.start(
            attempt + 1, 0, MTU, offers, now=began, wall_clock_seconds=time.time()
        )
        link.socket.send(init, len(init))
        while (left := began + ATTEMPT_SECONDS - time.monotonic()) > 0:
            if not select.select([link.socket], [], [], left)[0]:
                break
            received = link.socket.receive_into(buffer)
            if received is None:  # refused: nothing listens there yet
                time.sleep(min(left, 0.1))
                continue
            now = time.monotonic()
            try:
                if initiator.receive(bytes(buffer[: received[0]]), now) is not None:
                    return Answer(where, now - began)
            except PeerError:
                continue
            break  # a cookie, to come with the next attempt
    return Answer(where, None, NO_ANSWER)


def _offers(config: ClientConfig) -> LinkTable:
    offers = (
        LinkOffer(
            number,
            link.weight_down,
            link.weight_up,
            link.rate_down_bits_per_second or 0,
            link.rate_up_bits_per_second or 0,
        )
        for number, link in enumerate(config.links)
    )
    return LinkTable(0, 1, tuple(offers))
