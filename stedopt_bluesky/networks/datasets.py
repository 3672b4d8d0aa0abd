"""Rated images, the training data of quality networks, in memory and in folders.

A folder is read in one of two forms:

- a table ``ratings.csv`` or ``ratings.parquet`` with the columns ``file`` and ``quality`` and,
  where they are known, ``structure`` and ``specimen``, beside images (TIFF, ``.npy``, ``.npz``,
  ``.msr``, ``.obf``) that it names; of a file that holds several images, one (``a.msr#STED``), or
  all where none is named: they have the same quality then;
- the published form: files ``X-Y.npz``, X a number, Y the quality from 0 to 1, whose first array
  is the image; in the folder itself or in its subfolders ``train`` and ``test``.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.acquisition import Image
from stedopt_bluesky.errors import in_one_line
from stedopt_bluesky.image_files import (
    IMAGE_SUFFIXES,
    ImageFileError,
    StoredImage,
    agreed_pixel_size_nm,
    read_images,
    split_address,
)

TABLES = ("ratings.csv", "ratings.parquet")
PUBLISHED_NAME = re.compile(r"(?P<number>\d+)-(?P<quality>[01](?:\.\d+)?)\.npz")


class DatasetError(ValueError):
    """A dataset that cannot be used; one line that names the file, the row and what is allowed."""


@dataclass(frozen=True, eq=False)
class RatedImages:
    """Images with the quality that somebody gave them.

    Parameters
    ----------
    images : sequence of ndarray, each of shape (Y, X)
        Photon counts.
    ratings : ndarray, shape (N,)
        Quality, 0 to 1.
    structures : tuple of str, length N
        What each shows; ``""`` where it is not known.
    specimens : tuple of str, length N
        From which specimen each is: images of one specimen are never divided between training
        and validation. ``""`` where it is not known: then the image stands for itself.
    names : tuple of str, length N
        For messages.
    pixel_size_nm : float or None
        Side of a pixel, nm, where the images' files tell it.

    Raises
    ------
    DatasetError
        When there are no images, the lengths differ, or a rating is not from 0 to 1.
    """

    images: Sequence[Image] = field(repr=False)
    ratings: npt.NDArray[np.float64] = field(repr=False)
    structures: tuple[str, ...] = field(repr=False)
    specimens: tuple[str, ...] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    pixel_size_nm: float | None = None

    def __post_init__(self) -> None:
        lengths = [len(self.images), len(self.ratings), len(self.structures)]
        lengths += [len(self.specimens), len(self.names)]
        if len(set(lengths)) > 1:
            raise DatasetError(f"images and what is said of them differ in number: {lengths}")
        if not len(self.images):
            raise DatasetError("the dataset has no rated image")
        for name, rating in zip(self.names, self.ratings, strict=True):
            if not 0 <= rating <= 1:
                raise DatasetError(f"{name}: quality = {rating:g}: from 0 to 1")

    def __len__(self) -> int:
        return len(self.images)

    def part(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> RatedImages:
        """Some of the images, in the order of ``rows``."""
        chosen = [int(row) for row in rows]
        return RatedImages(
            [self.images[i] for i in chosen],
            self.ratings[chosen],
            tuple(self.structures[i] for i in chosen),
            tuple(self.specimens[i] for i in chosen),
            tuple(self.names[i] for i in chosen),
            self.pixel_size_nm,
        )

    def split(self, share: float, seed: int) -> tuple[RatedImages, RatedImages]:
        """Divide into a larger and a smaller part, never within a specimen.

        Parameters
        ----------
        share : float
            Of the images that the smaller part has, about; above 0, below 1.
        seed : int
            Of the draw.

        Returns
        -------
        tuple of RatedImages
            The rest, and the share; neither is empty.

        Raises
        ------
        DatasetError
            When there are not two specimens to divide.
        """
        groups: dict[str, list[int]] = {}
        for i, specimen in enumerate(self.specimens):
            groups.setdefault(specimen or f"image {i}", []).append(i)
        if len(groups) < 2:
            raise DatasetError("one specimen alone cannot be divided: name at least two")
        order = [str(name) for name in np.random.default_rng(seed).permutation(sorted(groups))]
        held: list[int] = []
        for name in order[:-1]:
            # Each that brings the part nearer to its share.
            if len(held) + len(groups[name]) / 2 <= share * len(self):
                held += groups[name]
        held = held or groups[min(order, key=lambda name: len(groups[name]))]
        rest = sorted(set(range(len(self))) - set(held))
        return self.part(rest), self.part(sorted(held))

    def fingerprint(self) -> str:
        """SHA-256 of all images and ratings: what a network was trained on, in one number."""
        digest = hashlib.sha256()
        for image, rating in zip(self.images, self.ratings, strict=True):
            array = np.ascontiguousarray(image)
            digest.update(f"{array.dtype.str}{array.shape}{float(rating)!r}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


def joined(parts: Sequence[RatedImages]) -> RatedImages:
    """Put datasets together; their pixel size is known where it is the same."""
    sizes = {part.pixel_size_nm for part in parts}
    return RatedImages(
        [image for part in parts for image in part.images],
        np.concatenate([part.ratings for part in parts]),
        tuple(s for part in parts for s in part.structures),
        tuple(s for part in parts for s in part.specimens),
        tuple(n for part in parts for n in part.names),
        sizes.pop() if len(sizes) == 1 else None,
    )


def read_folder(folder: str | Path, advance: Callable[[int], None] | None = None) -> RatedImages:
    """Read a dataset from a folder.

    Parameters
    ----------
    folder : str or Path
        In one of the forms that this module's text describes.
    advance : callable, optional
        Told the number of images that have just been read: 1.

    Raises
    ------
    DatasetError
        When the folder is in neither form, a row lacks something, an image cannot be read, or
        two images have pixels of different sizes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DatasetError(f"{folder}: no such folder")
    table = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    rows = _table_rows(table) if table else _published_rows(folder)
    if not rows:
        raise DatasetError(
            f"{folder}: expected ratings.csv or ratings.parquet with the columns file and quality, "
            "or files X-Y.npz (X a number, Y the quality from 0 to 1)"
        )
    found: list[tuple[_Row, StoredImage]] = []
    pixel_size_nm: float | None = None
    for row in rows:
        try:
            for stored in read_images(row.address):
                pixel_size_nm = agreed_pixel_size_nm(
                    stored.address, pixel_size_nm, stored.pixel_size_nm
                )
                found.append((row, stored))
        except ImageFileError as error:
            raise DatasetError(str(error)) from None
        if advance:
            advance(1)
    files = [split_address(stored.address) for _, stored in found]
    return RatedImages(
        [stored.image for _, stored in found],
        np.array([row.quality for row, _ in found]),
        tuple(row.structure for row, _ in found),
        # Images of one file show one place, whatever else is known of them.
        tuple(
            row.specimen or (str(path) if image else "")
            for (row, _), (path, image) in zip(found, files, strict=True)
        ),
        tuple(path.name + (f"#{image}" if image else "") for path, image in files),
        pixel_size_nm,
    )


@dataclass(frozen=True)
class _Row:
    """An image file, or one image of it, and what is said of it."""

    address: str
    quality: float
    structure: str = ""
    specimen: str = ""


def _table_rows(table: Path) -> list[_Row]:
    import pandas as pd

    try:
        # Text, so that a specimen called 007 stays what it is.
        frame = pd.read_csv(table, dtype=str) if table.suffix == ".csv" else pd.read_parquet(table)
    except Exception as error:  # pandas and pyarrow have many
        reason = in_one_line(error)
        raise DatasetError(f"{table}: cannot be read ({reason})") from None
    for column in ("file", "quality"):
        if column not in frame.columns:
            raise DatasetError(f"{table}: column {column!r} is missing; it has {list(frame)}")
    frame = frame.fillna("")
    rows = []
    for number, record in enumerate(frame.to_dict("records"), start=2):  # 1 is the heading
        address = _inside(table, number, str(record["file"]))
        try:
            quality = float(record["quality"])
        except (TypeError, ValueError):
            quality = math.nan
        if not 0 <= quality <= 1:
            raise DatasetError(
                f"{table}, line {number}: quality = {record['quality']!r}: from 0 to 1"
            )
        extra = {key: str(record.get(key, "")) for key in ("structure", "specimen")}
        rows.append(_Row(address, quality, **extra))
    return rows


def _inside(table: Path, number: int, file: str) -> str:
    """Address of an image that a table names; it lies in the table's folder or below."""
    path, image = split_address(table.parent / file)
    path = path.resolve()
    if not file or not path.is_relative_to(table.parent.resolve()):
        raise DatasetError(f"{table}, line {number}: file = {file!r}: a file in the table's folder")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        raise DatasetError(
            f"{table}, line {number}: file = {file!r}: allowed are {', '.join(IMAGE_SUFFIXES)}"
        )
    return f"{path}#{image}" if image else str(path)


def _published_rows(folder: Path) -> list[_Row]:
    found = []
    for place in (folder, folder / "train", folder / "test"):
        for path in sorted(place.glob("*.npz")) if place.is_dir() else ():
            match = PUBLISHED_NAME.fullmatch(path.name)
            if match and float(match["quality"]) <= 1:
                found.append(_Row(str(path), float(match["quality"])))
    return found


def write_folder(folder: str | Path, dataset: RatedImages) -> None:
    """Write a dataset as TIFF images and ``ratings.csv``, which `read_folder` reads.

    Raises
    ------
    DatasetError
        When the folder holds a dataset already, or cannot be written.
    """
    import csv

    import tifffile

    folder = Path(folder)
    if any((folder / name).exists() for name in TABLES):
        raise DatasetError(f"{folder}: holds a dataset already")
    try:
        (folder / "images").mkdir(parents=True, exist_ok=True)
        with (folder / "ratings.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["file", "quality", "structure", "specimen"])
            for i, image in enumerate(dataset.images):
                name = f"images/{i:06d}.tif"
                tifffile.imwrite(folder / name, np.asarray(image))
                row = [f"{dataset.ratings[i]:.4f}", dataset.structures[i], dataset.specimens[i]]
                writer.writerow([name, *row])
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be written: {error.strerror or error}") from None
