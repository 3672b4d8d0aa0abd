"""``stedopt rate``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from stedopt_bluesky.cli.interrupts import EXIT_CODES, INTERRUPTED
from stedopt_bluesky.cli.output import console, fail, print_json, stdout, warn
from stedopt_bluesky.config import ConfigError

if TYPE_CHECKING:
    from stedopt_bluesky.acquisition import Image
    from stedopt_bluesky.image_files import StoredImage
    from stedopt_bluesky.networks.rater import QualityRater, Rated
    from stedopt_bluesky.networks.weights import WeightsInfo

# Pixels that are read before they are rated, so that few files are held in memory at once: 32
# images of 224².
_PIXELS_AT_ONCE = 32 * 224**2


@dataclass(frozen=True)
class Rating:
    """What is printed of one file: a score, or why there is none."""

    path: Path
    score: float | None
    reason: str = ""
    map: Path | None = None
    unreadable: bool = False

    def as_json(self, *, with_maps: bool) -> dict[str, Any]:
        """What a script reads of it."""
        shown: dict[str, Any] = {"path": str(self.path), "score": self.score}
        if self.score is None:
            shown["reason"] = self.reason
        if with_maps:
            shown["map"] = str(self.map.resolve()) if self.map else None
        return shown


def rate_files(paths: Sequence[Path], weights: str, maps: Path | None, *, as_json: bool) -> None:
    """Rate the images in files and show their scores.

    A file that cannot be read is told of in a line on standard error; the others are rated
    all the same, and the exit code is 2.

    Raises
    ------
    ConfigError, WeightsError
        When the network or the folder of the maps cannot be used.
    """
    if maps is not None:
        _make_folder(maps)
    from stedopt_bluesky.experiments.progress import ExperimentProgress

    with console.status("loading the network ..."):
        from stedopt_bluesky.networks.rater import QualityRater, use_threads

        use_threads()
        rater = QualityRater.named(weights)
    try:
        with ExperimentProgress(console, "files", len(paths)) as progress:
            found = list(_rated(paths, rater, maps, progress))
    except KeyboardInterrupt:
        fail("interrupted by the user (Ctrl-C)", code=EXIT_CODES[INTERRUPTED])
    if as_json:
        print_json([rating.as_json(with_maps=maps is not None) for rating in found])
    else:
        stdout.print(_table(found))
    if any(rating.unreadable for rating in found):
        raise typer.Exit(2)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigError(f"maps = {str(folder)!r}: a folder for the pictures ({reason})") from None


def _rated(
    paths: Sequence[Path], rater: QualityRater, maps: Path | None, progress: Any
) -> Iterator[Rating]:
    """Read and rate, as many images at once as fill one pass; in the order of the files."""
    names = _Names(maps)
    for part in _parts(paths, rater.weights.info):
        images = [image for _, image, _ in part if not isinstance(image, str)]
        rated = iter(rater.rate(images))
        for path, image, last in part:
            if isinstance(image, str):
                yield Rating(path, None, image, unreadable=True)
            else:
                yield _one(path, image, next(rated), names)
            progress(int(last))


def _one(path: Path, image: Image, rated: Rated, names: _Names) -> Rating:
    from stedopt_bluesky.acquisition import invalid_reason

    if math.isnan(rated.score):
        return Rating(path, None, invalid_reason(rated.score))
    target = names.next(path)
    if target is not None:
        from stedopt_bluesky.reports.score_map import save_score_map

        title = f"{path.name} · score {rated.score:.3f}"
        try:
            save_score_map(image, rated.map, rated.foreground, target, title=title)
        except OSError as error:
            warn(f"the picture {target} was not saved: {error.strerror or error}")
            target = None
    return Rating(path, rated.score, map=target)


def _parts(
    paths: Sequence[Path], info: WeightsInfo
) -> Iterator[list[tuple[Path, Image | str, bool]]]:
    """Images of files, or why they cannot be read, in parts that fit the memory.

    Each with whether it is the last one of its file.
    """
    from stedopt_bluesky.image_files import ImageFileError, read_images

    part: list[tuple[Path, Image | str, bool]] = []
    pixels = 0
    for path in paths:
        try:
            found = read_images(path)
        except ImageFileError as error:
            warn(str(error))
            part.append((path, str(error).removeprefix(f"{path}: "), True))
            continue
        _check_pixel_size(found[0], info)
        for stored in found:
            part.append((Path(stored.address), stored.image, stored is found[-1]))
            pixels += stored.image.size
        if pixels >= _PIXELS_AT_ONCE:
            yield part
            part, pixels = [], 0
    if part:
        yield part


def _check_pixel_size(stored: StoredImage, info: WeightsInfo) -> None:
    """Warn where the network does not know pixels of this size."""
    from stedopt_bluesky.session.networks import PIXEL_SIZE_FACTOR

    size_nm, trained_nm = stored.pixel_size_nm, info.pixel_size_nm
    low_nm, high_nm = trained_nm / PIXEL_SIZE_FACTOR, trained_nm * PIXEL_SIZE_FACTOR
    if size_nm and trained_nm and not low_nm <= size_nm <= high_nm:
        warn(
            f"{stored.address}: has pixels of {size_nm:.4g} nm; {info.name!r} was trained on "
            f"pixels of {trained_nm:g} nm: its scores mean little"
        )


class _Names:
    """Names of the maps: the image's own and ``.png``, with a number where two would be alike."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._used: set[str] = set()

    def next(self, path: Path) -> Path | None:
        """Where the map of the next image goes; None where none is wanted."""
        if self._folder is None:
            return None
        numbered = (f"{path.name}-{n}.png" for n in itertools.count(2))
        for name in itertools.chain([f"{path.name}.png"], numbered):
            if name.casefold() not in self._used:  # some file systems take A for a
                self._used.add(name.casefold())
                return self._folder / name
        raise AssertionError  # there are names without end


def _table(found: Sequence[Rating]) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 2, 0, 0))
    table.add_column("image", overflow="fold")
    table.add_column("score ↑", justify="left", overflow="fold")
    for rating in found:
        invalid = f"{'unreadable' if rating.unreadable else 'invalid'}: {rating.reason}"
        score = invalid if rating.score is None else f"{rating.score:.4f}"
        table.add_row(Text(str(rating.path)), Text(score))
    return table
