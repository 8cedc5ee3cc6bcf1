"""Every system call. These rooms do what they are told and decide nothing."""

from wrrtun.put_off import put_off

# All that is used of it are messages, and pyroute2 imports everything it has when it is imported:
# 160 modules, 9 MB that a daemon would keep, and a fifth of a second.
put_off("pyroute2")
