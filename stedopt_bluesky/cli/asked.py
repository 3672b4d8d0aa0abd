"""A person who is asked while a run is under way: for what, and where the answers come from."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from stedopt_bluesky.cli.options import Asks
from stedopt_bluesky.cli.output import console
from stedopt_bluesky.config import ConfigError, ExperimentConfig

if TYPE_CHECKING:
    from stedopt_bluesky.session import Networks, Session
    from stedopt_bluesky.session.asking import Asked
    from stedopt_bluesky.web.page.desk import Desk
    from stedopt_bluesky.web.page.watched import Watched


def asked_of(config: ExperimentConfig, networks: Networks, asks: Asks) -> Asked:
    """Say what a person is asked for.

    Raises
    ------
    ConfigError
        When a terminal cannot show what is asked.
    """
    from stedopt_bluesky.session.asking import Asked, make_asked

    if not asks:
        return Asked()
    if asks == "terminal" and (more := [a for a in config.expert.asks if a != "choice"]):
        raise ConfigError(
            f"expert.asks: {', '.join(more)} needs pictures; at a terminal 'choice' is asked for, "
            "the others on the page (--expert)"
        )
    return make_asked(config, networks)


def answered(
    asked: Asked,
    session: Session,
    asks: Asks,
    hide: Callable[[], contextlib.AbstractContextManager[None]],
    watched: Watched | None,
) -> contextlib.AbstractContextManager[Any]:
    """Have what a person is asked for answered, while entered.

    Parameters
    ----------
    asked : Asked
        What they are asked for.
    session : Session
        Of the run.
    asks : {"", "page", "terminal"}
        Where, if at all.
    hide : callable
        Gives what clears the terminal of everything else while entered.
    watched : Watched or None
        The run as the page shows it.
    """
    if not asks:
        return contextlib.nullcontext()
    objectives, config = session.station.rating.objectives, session.config
    if asks == "terminal":
        from stedopt_bluesky.cli.terminal_expert import TerminalExpert, lines_of_terminal

        assert asked.choose is not None  # noqa: S101  the one thing that a terminal is for
        return TerminalExpert(
            asked.choose.expert,
            objectives,
            console,
            lines_of_terminal(),
            name=config.operator,
            hide=hide,
            undo_s=config.expert.undo_s,
        )
    from stedopt_bluesky.web.page.desk import Desk

    desk = Desk(
        None if asked.choose is None else asked.choose.expert,
        objectives,
        config.operator or "expert",
        config.seed,
        config.expert.undo_s,
        rater=None if asked.rate is None else asked.rate.rater,
        quality=asked.quality,
        surveyor=None if asked.lay is None else asked.lay.surveyor,
        folder=session.folder,
    )
    if watched is not None:
        desk.followed, desk.controls = watched.followed, watched.controls
    return _page(desk, config.expert.port)


@contextlib.contextmanager
def _page(desk: Desk, port: int) -> Iterator[None]:
    """Serve the page while entered.

    Raises
    ------
    ConfigError
        When the port is taken.
    """
    from stedopt_bluesky.errors import in_one_line
    from stedopt_bluesky.web.page.server import PageServer

    with contextlib.ExitStack() as serving:
        try:
            server = serving.enter_context(PageServer(desk, tell_link, port))
        except OSError as error:
            raise ConfigError(f"expert.port = {port}: {in_one_line(error)}") from None
        yield
        server.show_the_end()


def tell_link(link: str) -> None:
    """Tell where the page is: each link works once."""
    console.print(f"the page, by a link that works once: {link}", markup=False, soft_wrap=True)
