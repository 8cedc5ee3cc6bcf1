"""Run the checks that fit a configuration file."""

from collections.abc import Callable, Iterator
from pathlib import Path

from wrrtun import path_check
from wrrtun.config import ClientConfig, ServerConfig
from wrrtun.config_file import role_of
from wrrtun.core.errors import ConfigError, WrrtunError
from wrrtun.link_socket import resolve
from wrrtun.linux import inspect
from wrrtun.load import load_client, load_server

from . import lines as of_lines
from . import paths as of_paths
from .finding import Finding, Level, bad, ok
from .machine import check_all

Running = Callable[[Path], bool]


def examine(path: Path | None, ntp_server: str | None, is_running: Running) -> Iterator[Finding]:
    """Check the machine and, if there is a configuration, what it wants.

    `is_running` tells whether a daemon answers at a control socket.
    """
    yield from check_all(ntp_server)
    if path is None:
        yield Finding(
            Level.NOTE,
            "there is no configuration to check",
            "wrrtun server init, or wrrtun client join; or name a file with --config",
        )
        return
    try:
        if role_of(path) == "server":
            yield from examine_server(load_server(path, {}), is_running)
        else:
            yield from examine_client(load_client(path, {}), is_running)
    except WrrtunError as error:
        yield bad(str(error), f"wrrtun check-config {path}")


def examine_client(config: ClientConfig, is_running: Running) -> Iterator[Finding]:
    """Check a client: its lines one by one, up to the server's answer."""
    yield _daemon("client", config.control_socket, is_running)
    try:
        servers = resolve(config.server_host, config.server_port)
    except ConfigError:
        yield bad(
            f"the server's name {config.server_host} does not resolve",
            "look at /etc/resolv.conf and the name; or write the server's address in `server`",
        )
        return
    lines, troubles = of_lines.find_lines(config, servers)
    yield from troubles
    yield from of_lines.check_addresses(config, lines)
    yield from of_lines.check_loop(config, lines)
    yield from of_lines.check_filters(config, lines)
    yield from of_lines.check_names(config, lines)
    if not lines:
        return
    answers = path_check.check(config)
    yield from of_lines.check_gateways(lines)
    yield from of_paths.judge_answers(config, lines, answers)
    answered = {answer.where for answer in answers if answer.seconds is not None}
    for line in lines:
        if line.where in answered:
            yield from of_paths.check_path_mtu(config, line)
            yield from of_paths.check_nat(line)


def examine_server(config: ServerConfig, is_running: Running) -> Iterator[Finding]:
    """Check a server: its port, its peers, forwarding."""
    running = _daemon("server", config.control_socket, is_running)
    yield running
    if running.level is not Level.OK:
        trouble = inspect.port_trouble(config.listen_address, config.listen_port)
        if trouble is not None:
            yield bad(
                f"UDP port {config.listen_port} cannot be used: {trouble}",
                f"ss -lunp sport = :{config.listen_port} shows who has it; or choose another one "
                "in `listen`, and in each client's `server`",
            )
        else:
            yield ok(f"UDP port {config.listen_port} is free")
    if not config.peers:
        yield Finding(Level.NOTE, "no client may connect yet", "wrrtun server invite NAME")
    if config.nat and running.level is Level.OK and inspect.setting("ipv4/ip_forward") != "1":
        yield bad("nothing is forwarded (ip_forward is 0)", "sysctl -w net.ipv4.ip_forward=1")
    if config.public is not None:
        host, port = config.public
        try:
            resolve(host, port)
        except ConfigError:
            yield bad(f"the name {host} in `public` does not resolve", "correct `public`, or DNS")


def _daemon(role: str, control_socket: Path, is_running: Running) -> Finding:
    if is_running(control_socket):
        return ok(f"the {role} runs")
    return Finding(Level.NOTE, f"the {role} does not run", f"systemctl start wrrtun-{role}")
