"""The commands of ``stedopt catalog``."""

from __future__ import annotations

from typing import Annotated

import typer

from stedopt_bluesky.cli.options import DEFAULT_CATALOG, Catalog, Json
from stedopt_bluesky.cli.output import clear_errors

catalog_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Keep a catalogue: is all of it there and unchanged; Tiled's databases anew.",
)


@catalog_app.command()
def verify(
    uids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="UID", help="Runs, or the first characters of their uids; left out: all."
        ),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the images' own bytes.")
    ] = False,
    databases: Annotated[
        bool,
        typer.Option("--databases", help="Also compare Tiled's databases, which takes seconds."),
    ] = False,
    mend: Annotated[
        bool,
        typer.Option(
            "--mend",
            help="Close runs that a program left open, bring back shipped networks, take in "
            "what the databases lack. Nothing is deleted.",
        ),
    ] = False,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Check that everything of every run is there, whole and unchanged.

    Of each run: its documents, their order and numbers, the images' files, shapes and
    checksums, and the networks it used; and that no file of images is nobody's.
    What is wrong is told in one line each. A run under way is not judged.
    Exit code 1 when something is wrong.

    Examples: [bold]stedopt catalog verify[/],
    [bold]stedopt catalog verify 57dc --quick[/],
    [bold]stedopt catalog verify --mend --databases[/]
    """
    from stedopt_bluesky.cli.verifying import verify_runs

    with clear_errors():
        verify_runs(
            uids or [],
            quick=quick,
            databases=databases,
            mend=mend,
            catalog=catalog,
            as_json=as_json,
        )


@catalog_app.command()
def rebuild(catalog: Catalog = DEFAULT_CATALOG, as_json: Json = False) -> None:
    """Make Tiled's databases anew from the journals.

    The old ones lie aside until the new ones are complete; Ctrl-C brings them
    back. Refused while another program has the catalogue open. Exit code 1 when
    a run could not be taken in.

    Example: [bold]stedopt catalog rebuild --catalog stedopt-data[/]
    """
    from stedopt_bluesky.cli.verifying import rebuild_databases

    with clear_errors():
        rebuild_databases(catalog=catalog, as_json=as_json)
