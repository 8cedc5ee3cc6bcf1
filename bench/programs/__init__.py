"""Programs that workloads run at both ends, and the words to start them with.

web_server    files of any size over HTTP
page_client   a browser, as far as the network sees it
voice_end     one end of a telephone call
quic_end      one end of a transfer over QUIC
flood         datagrams as fast as one thread can
crowd         many idle clients of one wrrtun server

They import as little as they can: inside user-mode Linux that takes longer than anything else.
"""

import sys


def command(module: str, *arguments: str) -> list[str]:
    """The command that runs one of this package's modules as a program."""
    return [sys.executable, "-m", f"bench.programs.{module}", *arguments]


def device_option(device: str | None) -> list[str]:
    """What tells one of this package's programs to bind its sockets to a device, if any."""
    return [] if device is None else ["--device", device]


def url(address: str, port: int, size_bytes: int) -> str:
    """Where our web server has a file of that size."""
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/{size_bytes}"
