"""What is kept of a run: its journal, the catalogue made from it, and how both are read."""

from stedopt_bluesky.records.catalog import Catalog
from stedopt_bluesky.records.export import Export, ExportError, export_run
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Journal, find_run, journal_paths, read_journal
from stedopt_bluesky.records.query import Condition, RunQuery
from stedopt_bluesky.records.recovery import close_broken_run
from stedopt_bluesky.records.replay import DecisionComparison, emit, rerun_decisions
from stedopt_bluesky.records.run_record import DocumentKeys, RunRecord
from stedopt_bluesky.records.runs import RunSummary, list_runs

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
