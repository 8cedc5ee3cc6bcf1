"""Checks beyond this machine: the server's answer over each line, the path's MTU, NAT."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from typing import Final

from wrrtun.config import ClientConfig
from wrrtun.linux import inspect
from wrrtun.path_check import Answer

from .finding import Finding, Level, bad, ok
from .lines import Line

REACH_SECONDS: Final = 1.0
HOPS: Final = 3
MIN_PATH_BYTES: Final = {4: 576, 6: 1280}
# The tunnel's MTU is the smallest line's less this: headers of UDP/IP, wrrtun and Ethernet.
OVERHEAD_BYTES: Final = {4: 66, 6: 86}
NOT_PUBLIC: Final = ip_network("100.64.0.0/10")  # RFC 6598: a provider's NAT


def judge_answers(
    config: ClientConfig, lines: Sequence[Line], answers: Sequence[Answer]
) -> Iterator[Finding]:
    """Say what the handshakes tell: which lines work, and why the others do not."""
    by_where = {line.where: line for line in lines}
    port = config.server_port
    silent = []
    for answer in answers:
        line = by_where.get(answer.where)
        if answer.seconds is not None:
            milliseconds = f"{answer.seconds * 1000:.0f} ms"
            yield ok(f"{answer.where}: the server answers a handshake in {milliseconds}")
        elif line is not None:
            silent.append(line)
    for line in silent:
        if inspect.is_refused(line.place, line.server, port, REACH_SECONDS):
            yield bad(
                f"{line.where}: nothing listens at {line.server} UDP port {port}",
                "start wrrtun server, or correct the port in `server`",
            )
    reachable = [line for line in silent if _is_reachable(line, port)]
    if reachable and len(silent) == len(answers):
        yield bad(
            f"the server {lines[0].server} is there, but answers no handshake over any line",
            "either server_key is not its key (wrrtun pubkey on the server), or it does not know "
            "ours (wrrtun server list), or the pre-shared keys differ, or its firewall drops UDP "
            f"port {port}: wrrtun status on the server counts bad_mac, unknown_peer, "
            "bad_handshake, or nothing",
        )
        return
    for line in silent:
        if line in reachable:
            yield bad(
                f"{line.where}: UDP to {line.server} port {port} is blocked on this line",
                "try another port, such as 443 or 53, in `listen` and `server`; or ask the "
                "provider",
            )
        else:
            yield bad(
                f"{line.where}: nothing of the server is reached over this line",
                f"look at the modem; try: ping -I {line.info.name} {line.server}",
            )


def _is_reachable(line: Line, port: int) -> bool:
    return inspect.answers_tcp(line.place, line.server, port, REACH_SECONDS) or bool(
        inspect.answers_ping(line.place, line.server, 100, REACH_SECONDS)
    )


def check_path_mtu(config: ClientConfig, line: Line) -> Iterator[Finding]:
    """Do packets of the interface's size get through?"""
    version = line.server.version
    whole = min(line.info.mtu, 1500)
    if not inspect.answers_ping(line.place, line.server, 100, REACH_SECONDS):
        yield Finding(
            Level.NOTE,
            f"{line.where}: the path's MTU is unknown: no ping is answered",
            "ask again while the client runs: its rules let answers in on every line"
            if config.routing.networks
            else "",
        )
        return
    if _passes(line, whole):
        yield ok(f"{line.where}: packets of {whole} bytes pass")
        return
    passes, fails = MIN_PATH_BYTES[version], whole
    while fails - passes > 1:
        middle = (passes + fails) // 2
        passes, fails = (middle, fails) if _passes(line, middle) else (passes, middle)
    fitting = passes - OVERHEAD_BYTES[version]
    if config.mtu is not None and config.mtu <= fitting:
        yield ok(f"{line.where}: packets of {passes} bytes pass, and mtu = {config.mtu} fits")
        return
    yield Finding(
        Level.NOTE,
        f"{line.where}: packets of more than {passes} bytes vanish, though the interface takes "
        f"{line.info.mtu}: the tunnel finds that out, and has an MTU of {fitting} or a little less",
    )


def _passes(line: Line, size: int) -> bool:
    return any(
        inspect.answers_ping(line.place, line.server, size, REACH_SECONDS / 2) for _ in range(2)
    )


def check_nat(line: Line) -> Iterator[Finding]:
    """How many address translators are on the way? None of them hurts the tunnel."""
    if line.server.version != 4 or line.server.is_private:
        return
    own = line.place.source or next(
        (one.ip for one in line.info.addresses if one.version == 4), None
    )
    if own is None or own.is_global:
        return
    inner = inspect.hops(line.place, line.server, HOPS, REACH_SECONDS / 2)
    private = [hop for hop in inner if hop.is_private or hop in NOT_PUBLIC]
    if any(hop in NOT_PUBLIC for hop in inner):
        kind = "behind the provider's NAT as well (100.64.0.0/10)"
    elif len(private) > 1:
        kind = "behind two NATs, it seems: " + ", ".join(str(hop) for hop in private)
    else:
        kind = "behind NAT"
    yield Finding(Level.NOTE, f"{line.where}: {kind}; that is no trouble for the tunnel")
