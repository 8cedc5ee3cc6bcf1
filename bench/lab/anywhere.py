"""Make sure that there is a netem, wherever the command was started.

In this kernel; else, for root and where the ends need this host's speed, in a guest that has
nothing else to do (cable.py); else in a guest that runs the whole command.
"""

import sys

from bench.lab import cable, netem, uml


def ensure_netem(timeout_seconds: float, *, ends_here: bool = False) -> None:
    """Return at once where netem is; else run this same command in user-mode Linux and exit.

    `ends_here`: the ends of the lines had better stay on this host, if that can be.

    The command's exit code becomes ours. It is stopped after `timeout_seconds` of its own time.
    """
    if uml.inside() or netem.available() or (ends_here and cable.available()):
        return
    try:
        sys.exit(uml.run([sys.executable, *sys.orig_argv[1:]], timeout_seconds))
    except uml.UmlError as error:
        sys.exit(f"No netem in this kernel, and in user-mode Linux: {error}")
