"""Tiled's tree of runs, made fast for what runs are looked for by.

Tiled 0.2.20 has SQLite read and parse the metadata of every run for each question. SQLite can have
an index of a value in it, and finds that in a question as it is written there; but SQLAlchemy binds
the value's path as a parameter.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine
    from tiled.catalog.adapter import CatalogContainerAdapter

# How SQLAlchemy asks SQLite for a value of a node's metadata, up to the value's path.
_EXTRACT = "JSON_EXTRACT(nodes.metadata, "
# Bytes of a row of PostgreSQL that are not moved out of it: the most that it takes.
_IN_ITS_ROW = 8160
# An index helps where a text must be equal, not where it must contain another one.
_TEXTS = (
    *(("start", key) for key in ("uid", "sample", "structure", "preset", "operator", "plan_name")),
    ("stop", "exit_status"),
)
_NUMBERS = (
    ("start", "time"),
    ("start", "scan_id"),
    ("stop", "time"),
    ("stop", "summary", "images"),
    ("stop", "summary", "exposure_s"),
)


def runs(*, streamed: bool = False, **arguments: Any) -> CatalogContainerAdapter:
    """Tiled's own tree of a database, which asks SQLite so that its indexes are used.

    Parameters
    ----------
    streamed : bool
        Whether runs can be followed over a WebSocket: what comes is kept for an hour, as far as it
        is among the last thousand messages. Tiled 0.2.20 gives its option ``streaming_cache`` to
        no other trees than those that it makes itself.
    **arguments
        Those of ``tiled.catalog:from_uri``, which stand in Tiled's configuration.
    """
    from sqlalchemy import event
    from tiled.catalog import from_uri
    from tiled.config import StreamingCacheConfig

    if streamed:
        arguments["cache_config"] = StreamingCacheConfig(uri="memory").model_dump()
    tree = from_uri(**arguments)
    engine = tree.context.engine.sync_engine
    if engine.dialect.name == "sqlite":
        event.listen(engine, "before_cursor_execute", _with_literal_paths, retval=True)
    return tree


def _with_literal_paths(
    connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
) -> tuple[str, Any]:
    if many or _EXTRACT not in statement:
        return statement, parameters
    return with_literals(statement, parameters)


def with_literals(statement: str, parameters: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """Write paths that have an index into a question, in place of their parameters.

    Parameters
    ----------
    statement : str
        In SQL, a question mark for each parameter.
    parameters : sequence
        What is bound.

    Returns
    -------
    str, tuple
        Statement and parameters that ask for the same. A path without an index stays bound.
    """
    head, *rest = statement.split("?")
    if len(rest) != len(parameters):  # a question mark that stands for none
        return statement, tuple(parameters)
    bound = []
    for value, following in zip(parameters, rest, strict=True):
        path = _literals().get(value) if head.endswith(_EXTRACT) else None
        if path is None:
            bound.append(value)
        head += ("?" if path is None else path) + following
    return head, tuple(bound)


@cache
def _literals() -> Mapping[str, str]:
    """Paths as SQLAlchemy binds them, and as SQL has them."""
    paths = ["$" + "".join(f'."{key}"' for key in path) for path in _searched()]
    return {path: f"'{path}'" for path in paths}


def _searched() -> Iterator[tuple[str, ...]]:
    """Paths, in the metadata of a run, of what is equal or compared in a `RunQuery`."""
    yield from _TEXTS
    yield from _NUMBERS
    yield from _summed_up()


def _summed_up() -> Iterator[tuple[str, ...]]:
    from stedopt_bluesky.config.parameters import PARAMETER_UNITS
    from stedopt_bluesky.objective_table import OBJECTIVE_TABLE

    for group in ("reached", "best"):
        yield from (("stop", "summary", group, name) for name in OBJECTIVE_TABLE)
    yield from (("stop", "summary", "used", name) for name in PARAMETER_UNITS)


async def prepare_questions(engine: AsyncEngine) -> None:
    """Have a database that has just got Tiled's tables answer questions about runs fast.

    SQLite gets an index of runs, the nodes below the root, for each thing that they are looked for
    by. PostgreSQL keeps the documents of a run in its row, as far as they are below 8 KiB: it would
    compress them and put them elsewhere, and fetch each for each question.

    Parameters
    ----------
    engine : AsyncEngine
        Of the database.
    """
    from sqlalchemy import text

    if engine.dialect.name == "sqlite":
        statements = [
            f"CREATE INDEX IF NOT EXISTS stedopt_{'_'.join(path)} "
            f"ON nodes (parent, json_extract(metadata, {literal})) WHERE parent = 0"
            for path, literal in zip(_searched(), _literals().values(), strict=True)
        ]
    else:
        statements = [f"ALTER TABLE nodes SET (toast_tuple_target = {_IN_ITS_ROW})"]
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))
