"""A lab and keys for tests with real daemons; netem for tests that need it.

Tests marked `uml` need netem: where this kernel has none, they run inside user-mode Linux.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.lab import netem, topology, uml
from bench.lab.topology import Lab
from tests.netns.ends import Ends
from tests.netns.ends import ends as make_ends
from tests.netns.household import Household, household

TIMEOUT_SECONDS = 90.0


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not pyfuncitem.get_closest_marker("uml") or uml.inside() or netem.available():
        return None
    again = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", pyfuncitem.nodeid]
    assert uml.run(again, TIMEOUT_SECONDS) == 0, "failed inside user-mode Linux, see its output"
    return True


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two unshaped lines between a client and a server."""
    with topology.unshaped(2) as made:
        yield made


@pytest.fixture
def ends(lab: Lab) -> Iterator[Ends]:
    """Keys for both ends of that lab, and what is started from them."""
    with make_ends(lab) as made:
        yield made


@pytest.fixture
def house(tmp_path: Path) -> Iterator[Household]:
    """A home with two lines, the internet, a rented server: nothing of ours runs yet."""
    with household(tmp_path) as made:
        yield made
