"""What is kept of a run: its journal, the catalogue made from it, and how both are read."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths, read_journal
from stedopt_bluesky.records.query import Condition, RunQuery
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord
from stedopt_bluesky.records.runs import RunSummary, list_runs

if TYPE_CHECKING:
    from stedopt_bluesky.records.catalog import Catalog
    from stedopt_bluesky.records.export import Export, ExportError, export_run
    from stedopt_bluesky.records.replay import DecisionComparison, emit, rerun_decisions

__all__ = [
    "Catalog",
    "CatalogError",
    "CatalogFolder",
    "Condition",
    "DecisionComparison",
    "DocumentKeys",
    "Export",
    "ExportError",
    "Journal",
    "RunQuery",
    "RunRecord",
    "RunSummary",
    "close_broken_run",
    "emit",
    "export_run",
    "find_run",
    "journal_paths",
    "list_runs",
    "read_journal",
    "rerun_decisions",
]

# Where the others live: imported when they are asked for, since commands that need none of them
# would wait for them.
_HOMES = {
    "Catalog": "catalog",
    "DecisionComparison": "replay",
    "Export": "export",
    "ExportError": "export",
    "emit": "replay",
    "export_run": "export",
    "rerun_decisions": "replay",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
