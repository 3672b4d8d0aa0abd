"""``stedopt export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED
from stedopt_bluesky.cli.output import console, fail, print_json, stdout, warn

if TYPE_CHECKING:
    from stedopt_bluesky.records.export import Export
    from stedopt_bluesky.records.run_record import RunRecord


def export_images(
    uid: str, folder: Path, *, file_format: str, overwrite: bool, catalog: Path, as_json: bool
) -> None:
    """Write the images of a run to files.

    What cannot be read of them is told line by line on standard error; all else is written, and
    the exit code is 2.

    Raises
    ------
    CatalogError, ExportError
        When the run is not there or damaged, or the files cannot be written.
    """
    from stedopt_bluesky.records.folder import CatalogFolder
    from stedopt_bluesky.records.journal import find_run
    from stedopt_bluesky.records.run_record import RunRecord

    with console.status("reading the run ..."):
        record = RunRecord.read(find_run(CatalogFolder.open(catalog), uid))
    found = _export(record, folder, file_format=file_format, overwrite=overwrite)
    for line in found.missing:
        warn(f"missing: {line}")
    if as_json:
        print_json(
            {
                "uid": record.uid,
                "format": file_format,
                "files": [str(path.resolve()) for path in found.files],
                "missing": list(found.missing),
            }
        )
    else:
        missing = f", {len(found.missing)} images are missing" if found.missing else ""
        stdout.print(
            f"{len(found.files)} files of run {record.uid[:8]} in {folder}{missing}", markup=False
        )
    if found.missing:
        raise typer.Exit(2)


def _export(record: RunRecord, folder: Path, *, file_format: str, overwrite: bool) -> Export:
    from stedopt_bluesky.experiments.progress import ExperimentProgress
    from stedopt_bluesky.records.export import export_run
    from stedopt_bluesky.records.field_images import FieldReader

    total = len(FieldReader(record).fields)
    try:
        with ExperimentProgress(console, "files", total) as progress:
            return export_run(
                record, folder, format=file_format, overwrite=overwrite, advance=progress
            )
    except KeyboardInterrupt:
        fail(
            f"interrupted by the user (Ctrl-C): {folder} holds the files written so far",
            code=EXIT_CODES[INTERRUPTED],
        )
