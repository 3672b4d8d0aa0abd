"""How long a list, a question and opening a run take in a catalogue of ten thousand runs.

``python -m tests.benchmarks.catalogue_scale [--runs N] [--postgres URI]`` prints a markdown
table. One run of the digital twin is made; its journal is written N times, with other uids, times,
samples, operators, networks, settings, objectives and ends, so that journals are what they are in
use. Of these the first twenty go into Tiled whole; of the others a row each does, with start and
stop document and what their runs have come to, since a question to Tiled looks at nothing else.
Each question finds some runs, and Tiled as many as the journals have: a thousand runs or more.
``--postgres``: the address of an empty database. ``--tiled-alone``: with Tiled's own tree and
tables, without what `records/tiled_tree.py` adds to them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import copy
import functools
import hashlib
import json
import os
import random
import statistics
import tempfile
import time
import unittest.mock
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

# Before numpy is loaded: one thread, so that figures do not depend on the machine's load.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

RUNS = 10_000
IMAGES = 10
WHOLE = 20
REPEATS = 7
# Runs of three years.
_FIRST_S, _SPAN_S = 1_700_000_000.0, 3 * 365 * 86_400.0
KEY = "k" * 64


def one_run(folder: Path) -> list[tuple[str, dict[str, Any]]]:
    """Documents of a run of the twin."""
    from stedopt_bluesky.config import preset
    from stedopt_bluesky.records import RunRecord, find_run
    from stedopt_bluesky.session import connect_application, open_session

    config = preset("classical").updated({"images": IMAGES})
    with open_session(config, connect_application(config), folder) as session:
        (uid,) = session.run_engine(session.optimize())
        return list(RunRecord.read(find_run(session.folder, uid)).documents)


def another(
    documents: list[tuple[str, dict[str, Any]]], number: int, total: int
) -> list[tuple[str, dict[str, Any]]]:
    """Another run with the same images: what runs are looked for by differs."""
    rng = random.Random(number)  # noqa: S311
    renamed: dict[str, str] = {}
    begun = _FIRST_S + _SPAN_S * number / total
    first = documents[0][1]["time"]
    # Not the twin's run's own: the same seed decides otherwise on another processor.
    reached, dwelltime_us = rng.random(), rng.uniform(4.0, 100.0)

    def new(uid: str) -> str:
        head, *tail = uid.split("/")
        if head not in renamed:
            renamed[head] = str(uuid.UUID(int=rng.getrandbits(128), version=4))
        return "/".join([renamed[head], *tail])

    found = []
    for name, doc in copy.deepcopy(documents):
        for key in ("uid", "run_start", "descriptor", "stream_resource"):
            if isinstance(doc.get(key), str):
                doc[key] = new(doc[key])
        if "time" in doc:
            doc["time"] += begun - first
        if name == "start":
            doc |= {"sample": f"sample {number % 200}", "operator": f"operator {number % 20}"}
            doc |= {"structure": ("actin", "tubulin")[number % 2], "scan_id": number}
            network = f"network-{number % 20:02d}"
            sha256 = hashlib.sha256(network.encode()).hexdigest()
            doc["networks"] = {"quality": {"name": network, "sha256": sha256}}
        if name == "stop" and number % 50 == 1:
            doc |= {"exit_status": "fail", "reason": "the microscope failed"}
        if name == "event":
            data = doc["data"]
            data |= {k: reached for k in data if k.startswith("objective_")}
            data |= {k: dwelltime_us for k in data if k == "dwelltime_us"}
        found.append((name, doc))
    return found


def write(folder: Any, documents: list[tuple[str, dict[str, Any]]], runs: int) -> None:
    """Write the journals."""
    from stedopt_bluesky.records import Journal

    journal = Journal(folder, fsync=False)
    for number in range(runs):
        for name, doc in another(documents, number, runs):
            journal(name, doc)


def take_in(client: Any, folder: Any, whole: int, database: str) -> float:
    """Fill Tiled; seconds per run that was taken in whole."""
    from stedopt_bluesky.records.ingest import Ingester, relocation
    from stedopt_bluesky.records.journal import journal_paths

    paths = journal_paths(folder)
    begun = time.perf_counter()
    Ingester(folder, client, relocation(folder)).step(paths[:whole])
    took_s = time.perf_counter() - begun
    asyncio.run(_put_rows(paths[whole:], database or f"sqlite:///{folder.tiled / 'catalog.db'}"))
    return took_s / whole


async def _put_rows(paths: list[Path], database: str) -> None:
    """Put a row for each run, as Tiled's writer leaves it, straight into the database."""
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine
    from tiled.utils import ensure_specified_sql_driver

    engine = create_async_engine(ensure_specified_sql_driver(database))
    as_json = "CAST(:metadata AS JSONB)" if "postgres" in database else ":metadata"
    insert = (
        "INSERT INTO nodes (parent, key, structure_family, metadata, specs) "
        f"SELECT parent, :key, structure_family, {as_json}, specs FROM nodes "
        "WHERE id = (SELECT min(id) FROM nodes WHERE parent = 0)"
    )
    async with engine.begin() as connection:
        for path in paths:
            metadata = json.dumps(_metadata(path))
            await connection.execute(text(insert), {"key": path.stem, "metadata": metadata})
    await engine.dispose()


def _metadata(path: Path) -> dict[str, Any]:
    from stedopt_bluesky.records.journal import read_journal
    from stedopt_bluesky.records.reached import Reached

    reached, found = Reached(), {}
    for name, doc in read_journal(path):
        reached(name, doc)
        found[name] = doc
    return {"start": found["start"], "stop": {**found["stop"], "summary": reached.summary()}}


def ms(call: Callable[[], Any], repeats: int = REPEATS) -> tuple[float, Any]:
    """Milliseconds of a call, median, and what it gave."""
    times, found = [], None
    for _ in range(repeats):
        begun = time.perf_counter()
        found = call()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times), found


QUERIES: dict[str, dict[str, Any]] = {
    "sample": {"sample": "sample 7"},
    "structure and operator": {"structure": "actin", "operator": "operator 8"},
    "a week": {"since": _FIRST_S + _SPAN_S / 2, "until": _FIRST_S + _SPAN_S / 2 + 7 * 86_400},
    "exit status": {"exit_status": "fail"},
    "network": {"network": "network-07"},
    "objective reached": {"where": ["snr >= 0.9"]},
    "setting used": {"where": ["dwelltime_us < 5"]},
    "objective, sample and date": {
        "where": ["snr >= 0.5"],
        "sample": "sample 7",
        "since": _FIRST_S + _SPAN_S / 2,
    },
}


def queries() -> Iterator[tuple[str, Any]]:
    """Questions, by what is asked for."""
    from stedopt_bluesky.records import Condition, RunQuery

    for name, asked in QUERIES.items():
        where = tuple(Condition.parse(text) for text in asked.get("where", ()))
        yield name, RunQuery(**{**asked, "where": where})


def of_journals(folder: Any) -> dict[str, int]:
    """Measure the index and the journals; how many runs each question finds.

    Raises
    ------
    RuntimeError
        When one finds none, so that its time would mean nothing.
    """
    from stedopt_bluesky.records import RunRecord, find_run, list_runs

    begun = time.perf_counter()
    runs = list_runs(folder)
    first_s = time.perf_counter() - begun
    row("journals: the first list, which makes the index", 1000 * first_s, len(runs))
    row("journals: all runs", *_counted(lambda: list_runs(folder)))
    counts = {}
    for name, query in queries():
        took, counts[name] = _counted(functools.partial(list_runs, folder, query))
        row(f"journals: by {name}", took, counts[name])
        if not counts[name]:
            raise RuntimeError(f"by {name} nothing is found among {len(runs)} runs: take more")
    uid = runs[len(runs) // 2].uid
    row("journals: open a run", ms(lambda: RunRecord.read(find_run(folder, uid[:12])))[0], 1)
    return counts


def of_tiled(client: Any, what: str, counts: Mapping[str, int]) -> None:
    """Measure Tiled's queries: the first page of what was found, as a person sees it.

    Raises
    ------
    RuntimeError
        When a question finds not as many runs as it does among the journals.
    """
    keys = list(client.keys()[:1])
    for name, query in queries():
        if (found := len(query.search(client))) != counts[name]:
            raise RuntimeError(f"{what} finds {found} runs by {name}, the journals {counts[name]}")
        # A new search each time: the client keeps answers.
        row(
            f"{what}: by {name}",
            *_counted(lambda query=query: query.search(client).values().head(20)),
        )
    row(f"{what}: the newest run", ms(lambda: client.values().last())[0], 1)
    row(f"{what}: open a run, by its uid", ms(lambda: client[keys[0]])[0], 1)
    row(f"{what}: open a run, by the beginning", ms(lambda: client[keys[0][:12]])[0], 1)
    run = client[keys[0]]
    table = functools.partial(lambda: run["primary"].read(["dwelltime_us"]))
    row(f"{what}: its table of {IMAGES} images", ms(table)[0], 1)


def _counted(call: Callable[[], Any]) -> tuple[float, int]:
    took, found = ms(call)
    return took, len(found)


def row(what: str, took_ms: float, count: int) -> None:
    """Print a row of the table."""
    print(f"| {what} | {took_ms:.0f} | {count} |", flush=True)


@contextlib.contextmanager
def tiled_on(folder: Any, database: str, *, alone: bool = False) -> Iterator[Any]:
    """Tiled in this process, on the folder's own databases or on PostgreSQL."""
    from tiled.client import from_context
    from tiled.client.context import Context
    from tiled.server.app import build_app_from_config

    from stedopt_bluesky.records.tiled_server import (
        create_tables,
        make_storage,
        tiled_configuration,
    )

    with without_addition() if alone else contextlib.nullcontext():
        make_storage(folder)
        if database:
            create_tables(database)
    configuration = tiled_configuration(folder, KEY, database)
    if alone:
        (tree,) = configuration["trees"]
        tree["tree"] = "catalog"
        del tree["args"]["streamed"]
    app = build_app_from_config(configuration)
    with contextlib.closing(Context.from_app(app, api_key=KEY)) as context:
        yield from_context(context)


@contextlib.contextmanager
def without_addition() -> Iterator[None]:
    """Leave the tables as Tiled makes them while entered."""
    from stedopt_bluesky.records import tiled_tree

    async def nothing(_: Any) -> None: ...

    with unittest.mock.patch.object(tiled_tree, "prepare_questions", nothing):
        yield


def main(runs: int = RUNS, postgres: str = "", *, alone: bool = False) -> None:
    """Measure and print the table."""
    from stedopt_bluesky.records import CatalogFolder

    with tempfile.TemporaryDirectory(prefix="stedopt-") as directory:
        documents = one_run(Path(directory) / "one")
        folder = CatalogFolder.create_or_open(Path(directory) / "many")
        write(folder, documents, runs)
        start = len(json.dumps(documents[0][1]))
        print(f"| {runs} runs of {IMAGES} images, start document {start} bytes | ms | found |")
        print("|---|---|---|")
        counts = of_journals(folder)
        for what, database in {"SQLite": "", "PostgreSQL": postgres}.items():
            if what == "SQLite" or database:
                with tiled_on(folder, database, alone=alone) as client:
                    one_s = take_in(client, folder, min(runs, WHOLE), database)
                    row(f"{what}: take one run in, whole", 1000 * one_s, 1)
                    of_tiled(client, what, counts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--postgres", default="", metavar="URI")
    parser.add_argument("--tiled-alone", action="store_true")
    arguments = parser.parse_args()
    main(arguments.runs, arguments.postgres, alone=arguments.tiled_alone)
