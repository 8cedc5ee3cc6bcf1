"""What every test may use: throw-away network namespaces, and skips that say what is missing.

A namespace made here has no name: it is a descriptor, and the kernel removes it with everything
in it when the last descriptor goes. So nothing is left behind, whatever a test does.
"""

import contextlib
import ctypes
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from bench.lab import netem, uml

# How long an example takes says how busy the machine is, and nothing about the program.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

CLONE_NEWNET = 0x40000000
OWN_NAMESPACE = "/proc/thread-self/ns/net"

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network namespace; `with namespace:` is inside it, and so are the sockets made there."""

    def __init__(self) -> None:
        self._outside: list[int] = []
        before = os.open(OWN_NAMESPACE, os.O_RDONLY)
        try:
            _checked(_libc.unshare(CLONE_NEWNET))
            self.descriptor = os.open(OWN_NAMESPACE, os.O_RDONLY)
        finally:
            _checked(_libc.setns(before, CLONE_NEWNET))
            os.close(before)

    def __enter__(self) -> "Namespace":
        self._outside.append(os.open(OWN_NAMESPACE, os.O_RDONLY))
        _checked(_libc.setns(self.descriptor, CLONE_NEWNET))
        return self

    def __exit__(self, *_exc: object) -> None:
        before = self._outside.pop()
        _checked(_libc.setns(before, CLONE_NEWNET))
        os.close(before)

    def close(self) -> None:
        os.close(self.descriptor)


@functools.cache
def missing_for_root_tests() -> str | None:
    """Say what keeps tests with real devices from running here; None when nothing does."""
    if os.geteuid() != 0:
        return "needs root"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun"
    try:
        Namespace().close()
    except OSError as error:
        return f"needs network namespaces: {error.strerror}"
    return None


@functools.cache
def missing_for_netem_tests() -> str | None:
    """Say what keeps tests of shaped lines from running here; None when nothing does."""
    return None if netem.available() else uml.obstacle()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("root") and (missing := missing_for_root_tests()):
            item.add_marker(pytest.mark.skip(reason=missing))
        if item.get_closest_marker("uml") and (missing := missing_for_netem_tests()):
            item.add_marker(pytest.mark.skip(reason=f"needs netem: {missing}"))


@pytest.fixture
def make_namespace() -> Iterator[Callable[[], Namespace]]:
    """Make throw-away namespaces that live as long as the test."""
    with contextlib.ExitStack() as made:

        def make() -> Namespace:
            namespace = Namespace()
            made.callback(namespace.close)
            return namespace

        yield make


@pytest.fixture
def namespace(make_namespace: Callable[[], Namespace]) -> Iterator[Namespace]:
    """Run the whole test inside one throw-away namespace."""
    with make_namespace() as inside:
        yield inside
