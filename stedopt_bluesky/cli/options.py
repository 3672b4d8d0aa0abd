"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Catalog = Annotated[
    Path,
    typer.Option(
        "--catalog",
        envvar="STEDOPT_CATALOG",
        metavar="DIR",
        help="Folder of the catalogue: journals, images, databases.",
    ),
]
Json = Annotated[
    bool, typer.Option("--json", help="One JSON document on standard output, for scripts.")
]
Uid = Annotated[str, typer.Argument(metavar="UID", help="A run's uid, or its first characters.")]
OnThePage = Annotated[
    bool,
    typer.Option("--expert", help="Choose, and watch the run, on a page in your browser."),
]
AtTheTerminal = Annotated[
    bool, typer.Option("--terminal", help="Choose each option yourself, at this terminal.")
]

AskedFor = Annotated[
    list[str] | None,
    typer.Option(
        "--ask",
        metavar="choice|rating|regions",
        help="What the page asks you for; may be given again. Left out: as section \\[expert] "
        "says, choice.",
    ),
]

DEFAULT_CATALOG = Path("stedopt-data")

# Where a person chooses each option, if one does.
Asks = Literal["", "page", "terminal"]
# The option that says so.
ASKS_OPTION: dict[Asks, str] = {"": "", "page": " --expert", "terminal": " --terminal"}
