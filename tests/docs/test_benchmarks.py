"""Every benchmark that can be run alone is run by `make bench` or `make campaign` too."""

import ast
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "benchmarks"


def test_every_benchmark_is_registered():
    alone = {path.stem for path in FOLDER.glob("*.py") if "__main__" in path.read_text("utf-8")}
    tree = ast.parse((FOLDER / "__main__.py").read_text("utf-8"))
    run = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "tests.benchmarks"
        for alias in node.names
    }
    assert {"faults", "kills"} < alone
    assert alone - {"__main__"} == run
