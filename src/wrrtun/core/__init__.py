"""The protocol without I/O: bytes, plain values and `now` in; bytes, frames and events out.

Nothing here opens a socket, reads a clock, draws randomness or logs. tests/test_architecture.py
holds it to that.
"""
