"""Emulated lines between two ends: namespaces and netem, on this kernel or inside user-mode Linux.

netem       is there a netem here? and the settings of one direction of a line
namespace   a network namespace: made, entered, run in, removed
topology    client, lines and server as namespaces; lines can be changed while they run
uml, guest  the same command again inside user-mode Linux, where this kernel has no netem
"""
