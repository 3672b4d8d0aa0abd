"""The catalogue's folder: where journals, images and the Tiled catalogue lie.

::

    DIR/catalog.toml                 marks the folder as a catalogue, names the format
    DIR/journal/<yyyy>/<uid>.jsonl   one journal per run: the truth
    DIR/arrays/                      HDF5 files, written by the devices
    DIR/networks/                    the networks that runs used, by their SHA-256
    DIR/tiled/                       derived from the two above; can be rebuilt at any time
    DIR/tiled.before/                the same, while it is being rebuilt
    DIR/runs.sqlite                  index of the journals; can be rebuilt at any time
    DIR/locks/                       who writes just now, and where it is published
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

MARKER = "catalog.toml"
# Raised when the layout above changes so that an older program would misread it.
FORMAT = 1
# Tiled (0.2.20) does not decode percent signs in file addresses, so that a path cannot be
# written as an address when it holds one of the two characters that end an address's path.
FORBIDDEN_CHARACTERS = "#?"


class CatalogError(ValueError):
    """A catalogue, a journal or a run that cannot be used; the message says why, in one line."""


@dataclass(frozen=True)
class CatalogFolder:
    """A folder that is a catalogue. Made by :meth:`create_or_open` and :meth:`open`.

    Parameters
    ----------
    path : Path
        Absolute path with symbolic links resolved, as the addresses in documents need it.
    """

    path: Path

    @property
    def marker(self) -> Path:
        """File that says that this folder is a catalogue."""
        return self.path / MARKER

    @property
    def journal(self) -> Path:
        """Folder of the journals, one subfolder per year (UTC)."""
        return self.path / "journal"

    @property
    def arrays(self) -> Path:
        """Folder into which the devices write images."""
        return self.path / "arrays"

    @property
    def networks(self) -> Path:
        """Folder of the networks that rated and chose."""
        return self.path / "networks"

    @property
    def tiled(self) -> Path:
        """Folder of Tiled's databases."""
        return self.path / "tiled"

    @property
    def tiled_before(self) -> Path:
        """Folder of the databases that were, while new ones are made."""
        return self.path / "tiled.before"

    @property
    def index(self) -> Path:
        """File of the index of runs."""
        return self.path / "runs.sqlite"

    @property
    def locks(self) -> Path:
        """Folder of the lock files."""
        return self.path / "locks"

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> CatalogFolder:
        """Open an existing catalogue for reading.

        Raises
        ------
        CatalogError
            When there is no folder of that name, when it is no catalogue, or when
            its format is not the one that this program reads.
        """
        folder = cls(_absolute(path))
        if not folder.path.exists():
            raise CatalogError(f"there is no catalogue at {folder.path}: no such folder")
        if not folder.path.is_dir():
            raise CatalogError(f"{folder.path} is a file; a catalogue is a folder")
        if not folder.marker.is_file():
            raise CatalogError(
                f"{folder.path} is not a catalogue (it has no {MARKER}); "
                "give the folder of a catalogue"
            )
        _check_format(folder.marker)
        return folder

    @classmethod
    def create_or_open(cls, path: str | os.PathLike[str]) -> CatalogFolder:
        """Open a catalogue for writing; make it when the folder is missing or empty.

        Nothing is left behind when this is refused, missing parent folders included.

        Raises
        ------
        CatalogError
            When the path is a file, holds something else than a catalogue, cannot be
            written to, or has a ``#`` or a ``?`` in it.
        """
        folder = cls.check(path)
        if not folder.marker.exists():
            _create(folder)
        return folder

    @classmethod
    def check(cls, path: str | os.PathLike[str]) -> CatalogFolder:
        """Check that a catalogue can be opened for writing at a path, or made there.

        Nothing is made.

        Raises
        ------
        CatalogError
            As :meth:`create_or_open`.
        """
        folder = cls(_absolute(path))
        if bad := [c for c in FORBIDDEN_CHARACTERS if c in str(folder.path)]:
            raise CatalogError(
                f"a catalogue cannot lie at {folder.path}: {bad[0]!r} is not allowed in its path"
            )
        if folder.path.exists():
            if not folder.path.is_dir() or folder.marker.exists():
                cls.open(folder.path)
            elif any(folder.path.iterdir()):
                raise CatalogError(
                    f"{folder.path} is neither empty nor a catalogue; "
                    "give a new or empty folder, or the folder of a catalogue"
                )
        _check_writable(folder.path)
        return folder


def _absolute(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().resolve()
    except (OSError, RuntimeError) as error:  # a loop of links, an unknown ~user
        raise CatalogError(f"{os.fspath(path)!r} cannot be a catalogue: {error}") from error


def _check_format(marker: Path) -> None:
    """Raise unless the marker names the format that this program reads."""
    try:
        found = tomllib.loads(marker.read_text(encoding="utf-8")).get("format")
    except (OSError, ValueError, RecursionError) as error:
        raise CatalogError(f"{marker} cannot be read: {error}") from error
    if found != FORMAT:
        raise CatalogError(
            f"{marker} says format {found!r}; this program reads format {FORMAT} only"
        )


def _check_writable(path: Path) -> None:
    """Raise unless ``path`` is a folder to write into, or can be made."""
    nearest = path
    while not nearest.exists():
        nearest = nearest.parent
    if not nearest.is_dir():
        raise CatalogError(
            f"a catalogue cannot be made at {path}: {nearest} is a file; a folder is needed"
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise CatalogError(
            f"a catalogue at {path} cannot be written: no permission to write to {nearest}"
        )


def _create(folder: CatalogFolder) -> None:
    """Make the folder, its missing parents and the marker; undo all of it when one step fails."""
    missing = [p for p in (folder.path, *folder.path.parents) if not p.exists()]
    made: list[Path] = []
    try:
        for parent in reversed(missing):
            parent.mkdir()
            made.append(parent)
        folder.marker.write_text(
            f"# A catalogue of stedopt_bluesky. Do not edit.\nformat = {FORMAT}\n",
            encoding="utf-8",
        )
    except OSError as error:
        folder.marker.unlink(missing_ok=True)
        for parent in reversed(made):
            parent.rmdir()
        raise CatalogError(f"a catalogue cannot be made at {folder.path}: {error}") from error
