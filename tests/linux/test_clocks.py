"""The clock that keys age by."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.root

AHEAD = "from wrrtun.clocks import clock; import time; print(clock() - time.monotonic())"


def test_the_clock_goes_on_while_the_machine_sleeps() -> None:
    """As in a time namespace whose machine has slept for 600 s more than it really has."""
    words = ["unshare", "--time", "--boottime", "600", "--fork", sys.executable, "-c", AHEAD]
    slept = [
        float(subprocess.run(argv, capture_output=True, check=True, timeout=30).stdout)
        for argv in (words, words[-3:])
    ]
    assert 599 < slept[0] - slept[1] < 601
