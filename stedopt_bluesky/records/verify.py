"""Whether all that a catalogue holds is there, whole and unchanged."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy.typing as npt

from stedopt_bluesky.devices.image_store import CHECKSUM_SUFFIX, checksum_of
from stedopt_bluesky.networks.weights import find_weights, load_weights, shipped_names
from stedopt_bluesky.records import locks
from stedopt_bluesky.records.assets import FrameFiles, open_to_read, path_of
from stedopt_bluesky.records.folder import CatalogError, CatalogFolder
from stedopt_bluesky.records.journal import Document, is_live, journal_paths, lines, lock_path
from stedopt_bluesky.records.journal_check import (
    OPEN,
    TORN,
    EventArrays,
    JournalCheck,
    check_journal,
)
from stedopt_bluesky.records.networks import keep_network, network_path
from stedopt_bluesky.records.recovery import BROKEN_REASON, close_broken_run

Advance = Callable[[int], object]
Status = Literal["whole", "wrong", "running"]

# A lock is let go a moment after the stop document was written.
_LOCK_WAIT_S = 1.0
# A file may have been begun before its run's start document: devices are made ready first.
_STAGING_S = 600.0


@dataclass
class RunCheck:
    """What was found of one run.

    Parameters
    ----------
    uid : str
        The run.
    status : {"whole", "wrong", "running"}
        ``"running"``: a living process writes it; not judged.
    problems : list of str
        What is wrong, one line each; what was mended is not among them.
    mended : list of str
        What was wrong and is no more.
    events, arrays : int
        Events, and arrays of them that were looked at.
    unchecked : int
        Of these arrays, those that have no checksum.
    """

    uid: str
    status: Status = "whole"
    problems: list[str] = field(default_factory=list)
    mended: list[str] = field(default_factory=list)
    events: int = 0
    arrays: int = 0
    unchecked: int = 0


@dataclass
class Verification:
    """What was found of a catalogue.

    Parameters
    ----------
    runs : list of RunCheck
        Of each run, by year and uid.
    orphans : list of str
        Files under ``DIR/arrays`` that hold arrays, or nothing that can be read, and that no
        journal names; one line each.
    left_over : list of str
        Files of devices under ``DIR/arrays`` into which no array was ever written.
    """

    runs: list[RunCheck]
    orphans: list[str] = field(default_factory=list)
    left_over: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Whether nothing is wrong."""
        return not self.orphans and all(run.status != "wrong" for run in self.runs)


def verify(
    folder: CatalogFolder,
    journals: Sequence[Path] | None = None,
    *,
    quick: bool = False,
    mend: bool = False,
    advance: Advance = lambda count: None,
) -> Verification:
    """Check runs, and where all of them are checked, that no file of arrays is nobody's.

    Parameters
    ----------
    folder : CatalogFolder
        Of which catalogue.
    journals : sequence of Path, optional
        Which runs; left out: all.
    quick : bool
        Whether to leave out the bytes of arrays: files, shapes and dtypes are looked at.
    mend : bool
        Whether to close runs that were left open, a torn last record cut off, and to bring back
        networks that come with this program. Nothing of a run under way is touched.
    advance : callable, optional
        Called with 1 after each Event of :func:`count_events`.
    """
    runs = _Runs(folder, quick=quick, mend=mend)
    if journals is not None:
        return Verification([runs.check(path, advance) for path in journals])
    # Listed before the journals: a file of a run that begins meanwhile is not among them.
    files = [path for path in folder.arrays.rglob("*") if path.is_file()]
    found = Verification([runs.check(path, advance) for path in journal_paths(folder)])
    since = min(runs.under_way, default=float("inf")) - _STAGING_S
    for path in sorted(files):
        if path.resolve() in runs.named or not path.exists() or path.stat().st_mtime >= since:
            continue
        what = _what_is_in(path)
        shown = path.relative_to(folder.path).as_posix()
        if what:
            found.orphans.append(f"{shown}: no journal names it; {what}")
        else:
            found.left_over.append(shown)
    return found


def count_events(journals: Sequence[Path]) -> int:
    """Count the Events of journals without reading what is in them, to tell the time left."""
    total = 0
    for path in journals:
        try:
            with path.open("rb") as file:
                total += sum(line.startswith(b'["event"') for line in lines(file))
        except OSError:
            continue
    return total


class _Runs:
    """Checks runs of a catalogue, one after the other."""

    def __init__(self, folder: CatalogFolder, *, quick: bool, mend: bool) -> None:
        self._folder = folder
        self._quick = quick
        self._mend = mend
        # What is wrong with each network, by its SHA-256: one is used by many runs.
        self._networks: dict[str, str] = {}
        # When the runs under way began, s since 1970.
        self.under_way: list[float] = []
        # Files of arrays that their journals name.
        self.named: set[Path] = set()

    def check(self, path: Path, advance: Advance) -> RunCheck:
        run = RunCheck(path.stem)
        journal = self._read(path)
        if journal.left_open:
            if is_live(self._folder, path):
                run.status = "running"
                began = journal.start["time"] if journal.start else path.stat().st_mtime
                self.under_way.append(began)
                return run
            journal = self._read(path)  # it may have been closed meanwhile
        if journal.left_open:
            journal = self._close(path, journal, run)
        elif self._still_locked(path):
            run.problems.append("it is closed, and a living process holds its lock")
        run.problems += journal.problems
        self._check_arrays(journal, run, advance)
        self._check_networks(journal.start or {}, run)
        if run.problems:
            run.status = "wrong"
        return run

    def _read(self, path: Path) -> JournalCheck:
        journal = check_journal(path)
        for resource in journal.resources:
            with contextlib.suppress(CatalogError, OSError, ValueError):  # told with its Events
                named = path_of(resource["uri"], self._folder.arrays)
                self.named.add(named.resolve())
        return journal

    def _close(self, path: Path, journal: JournalCheck, run: RunCheck) -> JournalCheck:
        """Close a run that its program left open, or say that it is."""
        open_ended = journal.stop is None and journal.start is not None
        what = [*([TORN] if journal.torn else []), *([OPEN] if open_ended else [])]
        # Where more is wrong, the numbers of the stop document would be made up.
        if self._mend and not journal.problems and journal.stop is None:
            try:
                if close_broken_run(self._folder, path) is not None:
                    cut = "the torn record was cut off, " if journal.torn else ""
                    run.mended.append(f"{cut}the run was closed: {BROKEN_REASON}")
                    return check_journal(path)
            except (CatalogError, OSError) as error:
                what.append(f"it cannot be closed: {error}")
        run.problems += what
        return journal

    def _still_locked(self, path: Path) -> bool:
        lock_file = lock_path(self._folder, path)
        if not lock_file.exists():
            return False
        try:
            lock = locks.hold(lock_file, _LOCK_WAIT_S)
        except OSError:  # somebody else's, or read-only storage: as far as can be told, held
            return True
        if lock is None:
            return True
        locks.let_go(lock)
        return False

    def _check_arrays(self, journal: JournalCheck, run: RunCheck, advance: Advance) -> None:
        told: set[str] = set()
        # The folder's own: a copy is not whole while the original has what it lacks.
        with FrameFiles(self._folder.arrays, growing=False) as files:
            for event in journal.events:
                arrays = self._arrays(event, files, run, told)
                self._compare(event, arrays, run)
                run.events += 1
                run.arrays += len(arrays)
                advance(1)

    def _arrays(
        self, event: EventArrays, files: FrameFiles, run: RunCheck, told: set[str]
    ) -> dict[str, npt.NDArray[Any] | None]:
        """Read the arrays of an Event; None of those whose bytes are left out."""
        arrays: dict[str, npt.NDArray[Any] | None] = {}
        for key, (resource, index) in event.frames.items():
            try:
                dataset = files.dataset(resource)
            except (CatalogError, KeyError) as error:
                # Once, and not for each Event of the file.
                reason = str(error) if isinstance(error, CatalogError) else f"it has no {error}"
                if reason not in told:
                    told.add(reason)
                    run.problems.append(reason)
                continue
            if problem := _unlike(event.descriptor["data_keys"][key], dataset):
                if (problem := f"{key} {problem}") not in told:
                    told.add(problem)
                    run.problems.append(problem)
                continue
            try:
                if self._quick and index < len(dataset):
                    arrays[key] = None
                else:
                    arrays[key] = files.frames(resource, [index])[0]
            except CatalogError as error:
                run.problems.append(f"{_where(event)}: {error}")
        return arrays

    def _compare(
        self, event: EventArrays, arrays: dict[str, npt.NDArray[Any] | None], run: RunCheck
    ) -> None:
        """Hold the arrays of an Event against its checksums."""
        unchecked = set(arrays)
        for keys in map(_texts, (event.descriptor.get("object_keys") or {}).values()):
            own = [key for key in keys if key in arrays or key in event.frames]
            recorded = [key for key in keys if key.endswith(CHECKSUM_SUFFIX)]
            if not own or not recorded or recorded[0] not in event.event["data"]:
                continue
            unchecked -= set(own)
            read = {key: array for key in own if (array := arrays.get(key)) is not None}
            # Arrays that could not be read have been told.
            if len(read) == len(own) and checksum_of(read) != event.event["data"][recorded[0]]:
                run.problems.append(f"{_where(event)}: {recorded[0]} is not that of {_list(own)}")
        run.unchecked += len(unchecked)

    def _check_networks(self, start: Document, run: RunCheck) -> None:
        networks = start.get("networks") or {}
        if not isinstance(networks, dict):
            run.problems.append("networks of the start document is no table")
            return
        for kind, network in networks.items():
            told = network if isinstance(network, dict) else {}
            name, sha256 = told.get("name"), str(told.get("sha256", ""))
            problem = self._problem_of_network(sha256)
            if problem and self._mend and (problem := self._bring_back(sha256, problem)) == "":
                run.mended.append(f"its {kind} network {name!r} was brought back")
            if problem:
                run.problems.append(f"its {kind} network {name!r}: {problem}")

    def _problem_of_network(self, sha256: str) -> str:
        if sha256 not in self._networks:
            self._networks[sha256] = self._look_at_network(sha256)
        return self._networks[sha256]

    def _look_at_network(self, sha256: str) -> str:
        path = network_path(self._folder, sha256)
        if path is None:
            return f"{sha256!r} is no SHA-256"
        shown = path.relative_to(self._folder.path).as_posix()
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            return f"{shown} is missing"
        except OSError as error:
            return f"{shown} cannot be read: {error}"
        return "" if found == sha256 else f"{shown} is damaged: its SHA-256 is {found}"

    def _bring_back(self, sha256: str, problem: str) -> str:
        """Copy a network that comes with this program; what is still wrong, "" where nothing is."""
        path = network_path(self._folder, sha256)
        shipped = None if path is None else _shipped(sha256)
        if path is None or shipped is None:
            return problem
        try:
            if path.exists():  # damaged: kept beside, as nothing is deleted here
                path.replace(path.with_name(f"{path.name}.damaged"))
            keep_network(self._folder, load_weights(shipped, None))
        except (CatalogError, OSError) as error:
            return f"{problem}; it cannot be brought back: {error}"
        self._networks[sha256] = self._look_at_network(sha256)
        return self._networks[sha256]


def _shipped(sha256: str) -> Path | None:
    """File of the network of this hash that comes with this program."""
    for kind in ("quality", "preference"):
        for name in shipped_names(kind):
            path = find_weights(name, kind)
            if hashlib.sha256(path.read_bytes()).hexdigest() == sha256:
                return path
    return None


def _unlike(data_key: Document, dataset: Any) -> str:
    """Say what a dataset's frames have otherwise than their data key; "" when nothing."""
    shape, dtype = list(data_key["shape"]), data_key.get("dtype_numpy")
    if list(dataset.shape[1:]) != shape:
        return f"has arrays of shape {list(dataset.shape[1:])} in its file, {shape} in the journal"
    if isinstance(dtype, str) and dataset.dtype.str != dtype:
        return f"has arrays of dtype {dataset.dtype.str} in its file, {dtype} in the journal"
    return ""


def _texts(keys: Any) -> list[str]:
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def _where(event: EventArrays) -> str:
    return f"Event {event.event['seq_num']} of {event.stream!r}"


def _list(keys: Sequence[str]) -> str:
    return ", ".join(sorted(keys))


def _what_is_in(path: Path) -> str:
    """Say what is in a file of arrays; "" when nothing was ever written."""
    import h5py

    try:
        if not h5py.is_hdf5(path):
            # Room is set aside with zeros before HDF5 writes anything.
            return "it is no HDF5 file" if path.read_bytes().strip(b"\0") else ""
        with open_to_read(path, growing=False) as file:
            frames = [len(d) for d in file.values() if isinstance(d, h5py.Dataset) and d.shape]
    except (OSError, RuntimeError, ValueError) as error:
        return f"it cannot be read ({error})"
    return f"it has arrays of {max(frames)} Events" if max(frames, default=0) else ""
