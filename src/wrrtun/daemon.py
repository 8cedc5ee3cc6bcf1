"""The two entry points that the command line calls; each imports its own end only."""

from collections.abc import Callable

from .config import ClientConfig, ServerConfig
from .loop import run


def run_client(config: ClientConfig, read_again: Callable[[], ClientConfig]) -> int:
    """Run a client until it is told to stop; return the exit code."""
    from .client_daemon import ClientDaemon  # noqa: PLC0415

    async def main() -> int:
        return await ClientDaemon(config, read_again).run()

    return run(main, config.watch.log_format)


def run_server(config: ServerConfig, read_again: Callable[[], ServerConfig]) -> int:
    """Run a server until it is told to stop; return the exit code."""
    from .server_daemon import ServerDaemon  # noqa: PLC0415

    async def main() -> int:
        return await ServerDaemon(config, read_again).run()

    return run(main, config.watch.log_format)
