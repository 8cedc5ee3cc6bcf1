"""Make sure that there is a netem, wherever the command was started."""

import sys

from bench.lab import netem, uml


def ensure_netem(timeout_seconds: float) -> None:
    """Return at once where netem is; else run this same command in user-mode Linux and exit.

    The command's exit code becomes ours. It is stopped after `timeout_seconds` of its own time.
    """
    if uml.inside() or netem.available():
        return
    try:
        sys.exit(uml.run([sys.executable, *sys.orig_argv[1:]], timeout_seconds))
    except uml.UmlError as error:
        sys.exit(f"No netem in this kernel, and in user-mode Linux: {error}")
