"""Emulated lines between two ends: namespaces and netem, on this kernel or inside user-mode Linux.

anywhere    the door: makes sure that there is a netem, wherever the command was started
namespace   a network namespace: made, entered, run in, removed
netem       is there a netem here? and the settings of one direction of a line
topology    client, lines and server as namespaces; lines can be changed while they run
uml, guest  the same command again inside user-mode Linux
            (with uml_registers.c where the processor has more registers than its kernel knows)
cable       netem in a guest that has nothing else to do, for lines between namespaces of this host
"""
