"""wrrtun: a userspace tunnel that bonds several internet lines by weighted round robin."""

from .put_off import put_off

__version__ = "0.1.0"

# construct imports a debugger, and cryptography's RSA `random`: half a megabyte that a daemon would
# keep, for what nobody here uses.
put_off("pdb")
put_off("random")
