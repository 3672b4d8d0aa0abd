"""Questions to Tiled find indexes, and find what they found without."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import event
from tiled.queries import Comparison, Contains, Eq

from stedopt_bluesky.records.tiled_server import prepare_storage
from stedopt_bluesky.records.tiled_tree import runs, with_literals

EXTRACT = "SELECT id FROM nodes WHERE parent = ? AND JSON_EXTRACT(nodes.metadata, ?)"
SAMPLE = '$."start"."sample"'


@pytest.fixture
def database(folder):
    """Three runs in a database of this catalogue."""
    prepare_storage(folder)
    path = folder.tiled / "catalog.db"
    rows = [
        (
            f'{{"start": {{"sample": "s{n}", "time": {n}}}, "stop": {{"exit_status": "fail"}}}}',
            f"k{n}",
        )
        for n in range(3)
    ]
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO nodes (parent, structure_family, specs, metadata, key) "
            "VALUES (0, 'container', '[]', ?, ?)", rows,
        )  # fmt: skip
    return path


def ask(database, query):
    """How many runs match, and how SQLite looks for them."""
    tree, asked = runs(uri=f"sqlite:///{database}"), []

    async def count():
        found = await tree.search(query).exact_len()
        await tree.context.engine.dispose()
        return found

    event.listen(
        tree.context.engine.sync_engine,
        "after_cursor_execute",
        lambda c, cursor, statement, parameters, *rest: asked.append((statement, parameters)),
    )
    found = asyncio.run(count())
    ((statement, parameters),) = [a for a in asked if "JSON_EXTRACT" in a[0]]
    with closing(sqlite3.connect(database)) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
    return found, str(plan)


@pytest.mark.parametrize(
    ("query", "found", "index"),
    [
        (Eq("start.sample", "s1"), 1, "stedopt_start_sample"),
        (Comparison("ge", "start.time", 1.0), 2, "stedopt_start_time"),
        (Eq("stop.exit_status", "fail"), 3, "stedopt_stop_exit_status"),
        (Eq("stop.exit_status", "success"), 0, "stedopt_stop_exit_status"),
        (Comparison("ge", "stop.summary.reached.snr", 0.0), 0, "stedopt_stop_summary_reached_snr"),
    ],
)
def test_a_question_finds_its_index(database, query, found, index):
    there, plan = ask(database, query)
    assert there == found
    assert index in plan


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Contains("start.sample", "s"), 3),
        (Eq('start.nobody\'s "key" ?', "s1"), 0),
        (Eq("start.sample", "'; DROP TABLE nodes; --?"), 0),
    ],
)
def test_any_other_question_is_answered_as_well(database, query, found):
    assert ask(database, query)[0] == found


def test_a_path_is_written_into_the_question():
    assert with_literals(f"{EXTRACT} = ?", [0, SAMPLE, "s"]) == (
        EXTRACT.replace("ta, ?", f"ta, '{SAMPLE}'") + " = ?",
        (0, "s"),
    )


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        (f"{EXTRACT} = ?", (0, '$."start"."other"', "s")),
        (f"{EXTRACT} = ?", (0, "$' OR 1 --", SAMPLE)),
        ("SELECT id FROM nodes WHERE key = ?", (SAMPLE,)),
        (f"{EXTRACT} = ? AND key <> 'why?'", (0, SAMPLE, "s")),
    ],
)
def test_what_is_none_stays_as_it_is(statement, parameters):
    assert with_literals(statement, parameters) == (statement, parameters)
