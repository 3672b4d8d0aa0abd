"""A small camera and a small optimisation, so that this room is tested without the devices.

The module is also run by itself, as the child process that a test kills (see `main`).
"""

from __future__ import annotations

import sys
import threading
import uuid
from collections import deque
from pathlib import Path

import h5py
import numpy as np
import pytest
from bluesky import RunEngine
from bluesky import plan_stubs as bps
from ophyd import Component as Cpt
from ophyd import Device, Signal
from ophyd.status import Status

from stedopt_bluesky.acquisition import Choice, Options
from stedopt_bluesky.devices.image_store import checksum_of
from stedopt_bluesky.records.folder import CatalogFolder
from stedopt_bluesky.records.journal import Journal

OBJECTIVES = ("quality", "photobleaching")
CONFIGURATIONS = 9
IMAGES = {"microscope_confocal1": ((6, 5), "i2"), "microscope_sted1": ((6, 5), "u2")}


def expected_image(key, n):
    """What the camera writes: known without reading it back."""
    shape, dtype = IMAGES[key]
    return np.random.default_rng([n, len(key)]).integers(0, 999, shape).astype(dtype)


class ArrayWriter(Device):
    """Writes one array per key and trigger to HDF5 and announces them as stream assets."""

    rewindable = Cpt(Signal, value=False, kind="omitted")

    def __init__(self, arrays, folder, *, name, checksums=True):
        super().__init__(name=name)
        self.arrays, self.folder, self.docs = arrays, folder, deque()
        self.checksum_key = f"{name}_arrays_blake2b" if checksums else ""
        self.next = None

    def stage(self):
        path = self.folder / f"{uuid.uuid4()}.h5"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = h5py.File(path, "w", libver="latest")
        self.uids = {key: str(uuid.uuid4()) for key in self.arrays}
        for key, (shape, dtype) in self.arrays.items():
            self.file.create_dataset(
                key, shape=(0, *shape), maxshape=(None, *shape), chunks=(1, *shape), dtype=dtype
            )
            resource = {
                "uid": self.uids[key],
                "data_key": key,
                "mimetype": "application/x-hdf5",
                "uri": path.as_uri().replace("file://", "file://localhost"),
                "parameters": {"dataset": key, "chunk_shape": [1, *shape], "swmr": True},
                "run_start": "",
            }
            self.docs.append(("stream_resource", resource))
        self.file.swmr_mode = True
        self.index = 0
        return super().stage()

    def trigger(self):
        for key, uid in self.uids.items():
            dataset = self.file[key]
            dataset.resize(self.index + 1, axis=0)
            dataset[self.index] = self.next[key]
            dataset.flush()
            datum = {
                "uid": f"{uid}/{self.index}",
                "stream_resource": uid,
                "descriptor": "",
                "indices": {"start": self.index, "stop": self.index + 1},
                "seq_nums": {"start": 0, "stop": 0},
            }
            self.docs.append(("stream_datum", datum))
        self.index += 1
        status = Status()
        status.set_finished()
        return status

    def describe(self):
        external = {
            key: {
                "source": "file",
                "dtype": "array",
                "shape": list(shape),
                "dtype_numpy": np.dtype(dtype).str,
                "external": "STREAM:",
            }
            for key, (shape, dtype) in self.arrays.items()
        }
        plain = {"source": "sum", "dtype": "string", "shape": []}
        checksum = {self.checksum_key: plain} if self.checksum_key else {}
        return {**super().describe(), **checksum, **external}

    def read(self):
        if not self.checksum_key:
            return super().read()
        checksum = {"value": checksum_of(self.next), "timestamp": 0.0}
        return {**super().read(), self.checksum_key: checksum}

    def get_index(self):
        return self.index

    def collect_asset_docs(self, index=None):
        while self.docs:
            yield self.docs.popleft()

    def unstage(self):
        self.file.close()
        return super().unstage()


class Strategy:
    """Options that depend on the seed, the iteration and everything that was learnt."""

    def __init__(self, seed):
        self.seed, self.history = seed, []

    def suggest(self):
        rng = np.random.default_rng([self.seed, len(self.history)])
        learnt = sum(q for _, (q, _) in self.history if np.isfinite(q))
        values = rng.normal(size=(CONFIGURATIONS, 2)) + learnt
        grid = np.arange(CONFIGURATIONS, dtype=float)[:, None]
        return Options(values, grid, len(self.history), OBJECTIVES, ("depletion_power_mW",))

    def ingest(self, index, values):
        self.history.append((index, tuple(values[name] for name in OBJECTIVES)))


def choose(options):
    return Choice(int(np.argmax(options.values[:, 0])), "best_quality")


def optimize(folder, images, before_image, md, checksums):
    """The documents of an optimisation; every third quality is invalid (NaN)."""
    camera = ArrayWriter(IMAGES, folder.arrays, name="microscope", checksums=checksums)
    cloud = ArrayWriter(
        {"decision_cloud": ((CONFIGURATIONS, 2), "f8")},
        folder.arrays,
        name="decision",
        checksums=checksums,
    )
    names = ("decision_iteration", "decision_index", "image_iteration", "image_configuration_index")
    decision_iteration, decision_index, iteration, index = (Signal(name=n, value=0) for n in names)
    chosen_by = Signal(name="decision_chosen_by", value="")
    objectives = [Signal(name=f"objective_{n}", value=0.0) for n in OBJECTIVES]
    strategy = Strategy(md["seed"])
    yield from bps.open_run(md)
    for device in (camera, cloud):
        yield from bps.stage(device)
    for n in range(images):
        options = strategy.suggest()
        choice = choose(options)
        cloud.next = {"decision_cloud": options.values}
        decision_iteration.put(options.iteration)
        decision_index.put(choice.index)
        chosen_by.put(choice.chosen_by)
        yield from bps.trigger_and_read(
            [cloud, decision_iteration, decision_index, chosen_by], name="decision"
        )
        before_image(n)
        values = (np.nan if n % 3 == 2 else 0.1 * (n + 1) / 3, -0.0 if n == 0 else 0.2 * n)
        camera.next = {key: expected_image(key, n) for key in IMAGES}
        iteration.put(n)
        index.put(choice.index)
        for signal, value in zip(objectives, values, strict=True):
            signal.put(value)
        yield from bps.trigger_and_read([camera, iteration, index, *objectives], name="primary")
        strategy.ingest(choice.index, dict(zip(OBJECTIVES, values, strict=True)))
    for device in (camera, cloud):
        yield from bps.unstage(device)
    yield from bps.close_run()


def record_run(folder, images=4, *, before_image=lambda n: None, fsync=False, checksums=True, **md):
    """Run an optimisation with a journal as first subscriber; return its uid and documents."""
    metadata = {
        "plan_name": "optimize_sted",
        "stedopt": {"version": "0", "config": {"objectives": [{"name": n} for n in OBJECTIVES]}},
        "sample": "neuron",
        "preset": "live_far_red",
        "operator": "AD",
        "seed": 7,
        "images_planned": images,
        **md,
    }
    engine = RunEngine({}, context_managers=[])
    documents = []
    journal = Journal(folder, fsync=fsync)
    engine.subscribe(journal)
    engine.subscribe(lambda name, doc: documents.append((name, doc)))
    engine(optimize(folder, images, before_image, metadata, checksums))
    return documents[0][1]["uid"], documents


@pytest.fixture
def folder(tmp_path):
    # A blank and a µ: paths of real users.
    return CatalogFolder.create_or_open(tmp_path / "my catalogue µ")


@pytest.fixture(scope="session")
def stored(tmp_path_factory):
    """A catalogue with one run of four images: folder, uid, documents as emitted. Read only."""
    folder = CatalogFolder.create_or_open(tmp_path_factory.mktemp("stored") / "my catalogue")
    return folder, *record_run(folder, fsync=True)


@pytest.fixture(scope="session")
def small():
    """The parts of the small optimisation, by name."""
    return {
        "record_run": record_run,
        "expected_image": expected_image,
        "Strategy": Strategy,
        "choose": choose,
        "objectives": OBJECTIVES,
    }


def main(path):
    """Run until the third image's decision is recorded, say so, and wait to be killed."""

    def before_image(n):
        if n == 2:
            print("ready", flush=True)
            threading.Event().wait()

    record_run(CatalogFolder.create_or_open(path), before_image=before_image)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
