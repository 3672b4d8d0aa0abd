"""A session's documents published for those who look on; a run never fails, nor waits, for it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.config import ExperimentConfig

if TYPE_CHECKING:
    from bluesky import RunEngine

    from stedopt_bluesky.records.folder import CatalogFolder

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def published(
    config: ExperimentConfig, folder: CatalogFolder, engine: RunEngine
) -> Iterator[str | None]:
    """Publish a RunEngine's documents while entered, and tell where in the catalogue's folder.

    Parameters
    ----------
    config : ExperimentConfig
        Its section ``[live]`` says whether and where.
    folder : CatalogFolder
        Where the address is told.
    engine : RunEngine
        Whose documents.

    Yields
    ------
    str or None
        The address, ``127.0.0.1:PORT``; None when nothing is published. That it cannot be is
        logged as a warning, in one line.
    """
    with contextlib.ExitStack() as closing:
        yield _publish(config, folder, engine, closing) if config.live.publish else None


def _publish(
    config: ExperimentConfig,
    folder: CatalogFolder,
    engine: RunEngine,
    closing: contextlib.ExitStack,
) -> str | None:
    from stedopt_bluesky.records.announcement import Announcement, forget_dead
    from stedopt_bluesky.records.live import LiveError, Publisher

    try:
        publisher = closing.enter_context(Publisher(config.live.address))
    except LiveError as error:
        _log.warning("live.%s; the run goes on, 'stedopt live' follows its journal", error)
        return None
    _subscribe(engine, publisher, closing)
    try:
        forget_dead(folder)
        announcement = Announcement(folder, publisher.address)
    except OSError as error:
        _log.warning(
            "the address %s cannot be told in %s: %s", publisher.address, folder.locks, error
        )
    else:
        closing.callback(announcement.close)
        _subscribe(engine, announcement, closing)
    return publisher.address


def _subscribe(engine: RunEngine, callback: Any, closing: contextlib.ExitStack) -> None:
    """Subscribe a callback; what it raises, which would end the run, ends the callback."""
    failed = False

    def observe(name: str, doc: Any) -> None:
        nonlocal failed
        if failed:
            return
        try:
            callback(name, doc)
        except Exception as error:
            failed = True
            _log.warning("documents are published no more: %s", error)

    closing.callback(engine.unsubscribe, engine.subscribe(observe))
