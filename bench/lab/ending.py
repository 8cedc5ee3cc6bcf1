"""How things are ended: what a `with` block holds, and child processes."""

import signal
import subprocess
from typing import Any, Self


class Held:
    """What a `with` block holds and closes at its end."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, and all that belongs to it."""
        raise NotImplementedError


def end(
    process: subprocess.Popen[Any], seconds: float, signal_number: int = signal.SIGTERM
) -> bool:
    """Send a signal, if the process still runs, and wait; False: it had to be killed.

    It has ended when this returns.
    """
    if process.poll() is not None:
        return True
    process.send_signal(signal_number)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True
