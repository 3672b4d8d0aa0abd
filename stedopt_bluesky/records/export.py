"""Export of a run's images to files that other programs open."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from stedopt_bluesky.records.field_images import FieldImages, FieldReader
from stedopt_bluesky.records.obf import write_obf
from stedopt_bluesky.records.ome_tiff import write_ome_tiff
from stedopt_bluesky.records.run_record import RunRecord

# Ending and writer of each format.
FORMATS: Mapping[str, tuple[str, Callable[[Path, FieldImages], None]]] = MappingProxyType(
    {"ome-tiff": (".ome.tif", write_ome_tiff), "obf": (".obf", write_obf)}
)


class ExportError(ValueError):
    """Images that cannot be exported; one line that says why."""


@dataclass(frozen=True)
class Export:
    """What an export came to.

    Parameters
    ----------
    files : tuple of Path
        What was written, in the order in which the images were taken.
    missing : tuple of str
        Images of the run that could not be read, one line each.
    """

    files: tuple[Path, ...]
    missing: tuple[str, ...]


def export_run(
    record: RunRecord,
    folder: str | Path,
    *,
    format: str = "ome-tiff",
    overwrite: bool = False,
    advance: Callable[[int], None] | None = None,
) -> Export:
    """Write the images of a run to a folder: a file for each region, and one for the overview.

    The channels of a region are ``confocal1``, ``sted1``, ... and ``confocal2``. Files are named
    by the first characters of the run's uid and a number, so that they sort as the images were
    taken: ``1f0c9a2b-0000-overview.ome.tif``, ``1f0c9a2b-0001-region.ome.tif``. The Ca²⁺ frames of
    a region have a file of their own, ``1f0c9a2b-0001-calcium.ome.tif``: those before the pulse
    and those after it as one series. What cannot be read, as after a crash, is left out and told.
    A file is there whole or not at all.

    Parameters
    ----------
    record : RunRecord
        The run, as ``RunRecord.read(find_run(folder, uid))`` gives it.
    folder : str or Path
        Where; made when it is missing.
    format : {"ome-tiff", "obf"}
        Of the files.
    overwrite : bool
        Whether files that are there may be replaced.
    advance : callable, optional
        Told the number of fields that have just been done: 1.

    Returns
    -------
    Export
        The files, and what is missing.

    Raises
    ------
    ExportError
        When the format is unknown, a file is there already (nothing is written then), the folder
        cannot be written, or there is no image to write.
    CatalogError
        When the run does not tell the size of a pixel.
    """
    if format not in FORMATS:
        raise ExportError(f"format = {format!r}: allowed are {', '.join(FORMATS)}")
    ending, write = FORMATS[format]
    folder, reader = Path(folder), FieldReader(record)
    targets = [folder / (reader.name(*field) + ending) for field in reader.fields]
    _check(folder, targets, overwrite=overwrite)
    files: list[Path] = []
    missing: list[str] = []
    for target, field in zip(targets, reader.fields, strict=True):
        try:
            images, gaps = reader.read(*field)
        except (AttributeError, KeyError, TypeError, OverflowError) as error:
            raise ExportError(
                f"run {record.uid}: its documents are none of this program: {error}"
            ) from None
        missing += gaps
        if images is not None:
            if not files:
                _make(folder)
            _write_whole(target, images, write)
            files.append(target)
        if advance:
            advance(1)
    if not files:
        raise ExportError(
            f"run {record.uid} has no image that can be exported"
            + (f" ({missing[0]})" if missing else "")
        )
    return Export(tuple(files), tuple(missing))


def _check(folder: Path, targets: list[Path], *, overwrite: bool) -> None:
    """Refuse a folder that is none, and files that are there, before anything is read."""
    if folder.exists() and not folder.is_dir():
        raise ExportError(f"out = {str(folder)!r}: is a file; a folder is needed")
    there = [target for target in targets if target.exists()]
    if there and not overwrite:
        raise ExportError(
            f"{there[0]}: is there already, as {len(there)} of {len(targets)} files; "
            "name another folder, or say --overwrite"
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(
            f"out = {str(folder)!r}: the folder cannot be made ({error.strerror or error})"
        ) from None


def _write_whole(
    target: Path, images: FieldImages, write: Callable[[Path, FieldImages], None]
) -> None:
    """Write beside the target and rename: a full disk or a Ctrl-C leaves no half file."""
    part = target.with_name(f".{target.name}.part")
    try:
        write(part, images)
        os.replace(part, target)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ExportError(f"{target}: cannot be written ({reason})") from None
    finally:
        part.unlink(missing_ok=True)
