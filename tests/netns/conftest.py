"""Tests marked `uml` need netem: where this kernel has none, they run inside user-mode Linux."""

import sys

import pytest

from bench.lab import netem, uml

TIMEOUT_SECONDS = 90.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not pyfuncitem.get_closest_marker("uml") or uml.inside() or netem.available():
        return None
    again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    assert uml.run(again, TIMEOUT_SECONDS) == 0, "failed inside user-mode Linux, see its output"
    return True
