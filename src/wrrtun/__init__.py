"""wrrtun: a userspace tunnel that bonds several internet lines by weighted round robin."""

from .put_off import put_off

__version__ = "0.1.0"

# All that is used of pyroute2 are messages, and it imports everything it has when it is imported:
# 160 modules, 9 MB that a daemon would keep, and a fifth of a second. construct imports a debugger
# and cryptography's RSA `random`, half a megabyte, for what nobody here uses.
put_off("pyroute2")
put_off("pdb")
put_off("random")
