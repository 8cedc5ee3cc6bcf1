"""wrrtun: a userspace tunnel that bonds several internet lines by weighted round robin."""

__version__ = "0.1.0"
