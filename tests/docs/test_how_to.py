"""The guide to bluesky-adaptive is run as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "bluesky_adaptive.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", GUIDE.read_text("utf-8"), re.S | re.M)


def test_the_guide_to_bluesky_adaptive_runs_as_it_stands(tmp_path):
    pytest.importorskip("bluesky_adaptive")
    (tmp_path / "guide.py").write_text("".join(blocks("python")), "utf-8")
    ended = subprocess.run(
        [sys.executable, "guide.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    (shown,) = blocks("text")
    assert ended.stdout.startswith(shown)
    # Kernel TS has found where quality is highest, which random sampling seldom does.
    best = max(float(found) for found in re.findall(r"'quality': ([\d.]+)", ended.stdout))
    assert best > 0.9
