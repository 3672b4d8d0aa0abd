"""An overview's arrays go back to the system, whatever is kept of what came after them."""

import os
import platform
import subprocess
import sys

import pytest

from stedopt_bluesky.session.memory import return_large_arrays

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own settings")

# Overviews, each with some small things made meanwhile that stay.
PROGRAM = """
import resource, sys
import numpy as np
if sys.argv[1] == "set":
    from stedopt_bluesky.session.memory import return_large_arrays
    assert return_large_arrays()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() / 2**20
kept = []
def overview():
    arrays = []
    for _ in range(4):
        arrays.append(np.ones(9 * 2**17))
        kept.append(np.ones(1000))
overview()
before = resident()
for _ in range(3):
    overview()
print(resident() - before)
"""


def grown_mib(how):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], check=True, capture_output=True, env=environment
    )
    return float(done.stdout)


def test_overviews_leave_nothing_behind():
    assert grown_mib("set") < 4


def test_what_it_is_good_for_still_happens_without_it():
    assert grown_mib("unset") > 20


def test_what_the_environment_says_goes_first(monkeypatch):
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    assert not return_large_arrays()
