"""Every benchmark can be imported, and is run by `make bench` or `make campaign` too."""

import ast
import importlib
import os
from pathlib import Path
from unittest import mock

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))


def imports_of(name):
    """All imports of a module, also those within functions."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text("utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]


def test_every_benchmark_is_registered():
    alone = {name for name in NAMES if "__main__" in (FOLDER / f"{name}.py").read_text("utf-8")}
    run = {
        alias.name
        for node in imports_of("__main__")
        if node.module == "tests.benchmarks"
        for alias in node.names
    }
    assert {"faults", "kills"} < alone
    assert alone - {"__main__"} == run


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_finds_what_it_imports(name):
    # They set the number of BLAS threads, for themselves.
    with mock.patch.dict(os.environ):
        importlib.import_module(f"tests.benchmarks.{name}".removesuffix(".__init__"))
        for node in imports_of(name):
            if node.module.split(".")[0] not in ("stedopt_bluesky", "tests"):
                continue
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
