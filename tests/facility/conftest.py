import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.facility.units import FACILITY
from tests.small import small_toml
from tests.waiting import free_ports

TOML = small_toml("[catalog]\nbackground = false\n", images=2, seed=1)


@pytest.fixture(scope="session")
def program():
    """The program, as a command."""
    return str(Path(sys.executable).parent / "stedopt")


@pytest.fixture(scope="session")
def imaged(tmp_path_factory, program):
    """A catalogue with a run of two images, not in any database. Read only."""
    folder = tmp_path_factory.mktemp("imaged")
    (folder / "small.toml").write_text(TOML)
    subprocess.run(
        [program, "run", "small.toml", "--catalog", folder / "catalogue"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    return folder / "catalogue"


@pytest.fixture(scope="session")
def uid(imaged):
    (journal,) = imaged.glob("journal/*/*.jsonl")
    return journal.stem


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """Folder of keys that the script has made."""
    folder = tmp_path_factory.mktemp("keys") / "stedopt"
    subprocess.run([FACILITY / "make_keys.sh", folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def free_port():
    return free_ports(1)[0]


@pytest.fixture(autouse=True)
def _without_keys(monkeypatch):
    for name in [name for name in os.environ if name.startswith("STEDOPT_")]:
        monkeypatch.delenv(name)
