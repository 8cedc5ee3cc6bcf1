"""The lab: emulated lines, traffic over them, and what the tunnel makes of it."""
