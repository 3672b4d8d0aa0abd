"""Where the command line writes, and how it says what is wrong."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import typer
from rich.console import Console

# Standard error: progress, tables' company, warnings. Standard output is for scripts.
console = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, soft_wrap=True)


def print_json(data: Any) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n")
    sys.stdout.flush()


@contextlib.contextmanager
def clear_errors() -> Iterator[None]:
    """Say what is wrong with a request in one line, and exit with code 2; no traceback."""
    from stedopt_bluesky.config import ConfigError
    from stedopt_bluesky.imspector.connect import NoImspectorError
    from stedopt_bluesky.records.folder import CatalogError

    try:
        yield
    except (ConfigError, CatalogError, NoImspectorError) as error:
        fail(str(error))


def fail(message: str, code: int = 2) -> None:
    """Write a line to standard error and exit."""
    console.print(f"[bold red]error:[/] {_escaped(message)}", soft_wrap=True)
    raise typer.Exit(code)


def _escaped(text: str) -> str:
    """Keep brackets in a message from being read as markup."""
    return text.replace("[", "\\[")
