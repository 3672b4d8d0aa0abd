"""The commands of ``stedopt weights`` and ``stedopt serve``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stedopt_bluesky.cli.options import DEFAULT_CATALOG, Catalog, Json
from stedopt_bluesky.cli.output import clear_errors

weights_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Networks that rate images (quality) or choose trade-offs (preference), as files.",
)
import_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Bring in weights that were published elsewhere.",
)
weights_app.add_typer(import_app, name="import")
serve_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Offer the catalogue, networks, or the digital twin to other programs, or a page to you.",
)

Out = Annotated[
    Path, typer.Option("--out", metavar="FILE.safetensors", help="The file to be written.")
]


@weights_app.command("list")
def list_weights(as_json: Json = False) -> None:
    """List the networks that come with the program.

    RMSE: of the score against the rating, on images that the network was not
    trained on. top-1: how often it takes the very option that was chosen.

    Examples: [bold]stedopt weights list[/], [bold]stedopt weights list --json[/]
    """
    from stedopt_bluesky.cli.weights import show_shipped

    with clear_errors():
        show_shipped(as_json=as_json)


@weights_app.command()
def show(
    reference: Annotated[
        str, typer.Argument(metavar="NAME|FILE", help="A shipped network, or a file of one.")
    ],
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="quality|preference", help="Where both kinds have a network of this name."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what a network does, what it was trained on and how good it is.

    Examples: [bold]stedopt weights show general[/],
    [bold]stedopt weights show mine.safetensors --json[/]
    """
    from stedopt_bluesky.cli.weights import show_one

    with clear_errors():
        show_one(reference, kind, as_json=as_json)


@import_app.command("quality")
def import_quality(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The published parameters of one network.")
    ],
    out: Out,
    structure: Annotated[
        str, typer.Option(metavar="NAME", help="What it rates images of, as 'actin'.")
    ],
    as_json: Json = False,
) -> None:
    """Bring in a published quality network, and write it as this program's file.

    Nothing in the file is run: only tensors and plain numbers are read.

    Example:
    [bold]stedopt weights import quality params.net --structure actin --out actin.safetensors[/]
    """
    from stedopt_bluesky.cli.weights import import_published_quality

    with clear_errors():
        import_published_quality(file, structure, out, as_json=as_json)


@import_app.command("preference")
def import_preference(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder with the published network.")
    ],
    out: Out,
    as_json: Json = False,
) -> None:
    """Bring in a published preference network, and write it as this program's file.

    Nothing in the files is run: only tensors and plain numbers are read.

    Example: [bold]stedopt weights import preference prefnet --out prefnet.safetensors[/]
    """
    from stedopt_bluesky.cli.weights import import_published_preference

    with clear_errors():
        import_published_preference(folder, out, as_json=as_json)


@serve_app.callback()
def _serve() -> None: ...


@serve_app.command()
def networks(
    quality: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Network that scores images, or 'none'.")
    ] = "general",
    preference: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="Network that picks options, or 'none'.")
    ] = "quality-bleaching",
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this computer's own: see above.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free, it is printed.")] = 8765,
    max_body_mib: Annotated[
        int, typer.Option("--max-body-mib", help="Largest request, in MiB.")
    ] = 64,
) -> None:
    r"""Score images and pick options for other programs, until Ctrl-C.

    Requests need a key: the environment's STEDOPT_API_KEY, or one that is
    made and shown at the start. Send it as [bold]Authorization: Apikey KEY[/].
    Nothing is encrypted: on another host than this computer, put a proxy
    with TLS before it. Standard output has one line, the address.

    POST / takes the published JSON: {"img": [[...]], "img-type": "float32"}
    or {"pair_set": [\[q, b], ...], "type": "float32"}. POST /quality and
    POST /preference also take a .npy file (application/x-npy), much faster.
    GET /networks says which networks answer, GET /health that it lives.

    Examples: [bold]stedopt serve networks[/],
    [bold]stedopt serve networks --quality actin --port 0[/]
    """
    from stedopt_bluesky.cli.serving import serve_networks

    with clear_errors():
        serve_networks(quality, preference, host, port, max_body_mib)


@serve_app.command("catalog")
def serve_catalog_(
    catalog: Catalog = DEFAULT_CATALOG,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than this computer's own: see above.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free, it is printed.")] = 8000,
    feed: Annotated[
        bool, typer.Option("--feed/--no-feed", help="Whether it is fed from the journals, too.")
    ] = True,
) -> None:
    r"""Serve the catalogue to databroker, Tiled's clients and browsers, until Ctrl-C.

    Two keys: STEDOPT_API_KEY may write, STEDOPT_READ_KEY may read; what is
    not set is made and shown. Nothing is encrypted: on another host than this
    computer, put a proxy with TLS before it. STEDOPT_CATALOG_DATABASE names a
    PostgreSQL database in place of the catalogue's own. Each of the three may be
    in a file, which STEDOPT_API_KEY_FILE (..._FILE) names. While it serves, runs
    come in by themselves. Standard output has one line, the address.

    Examples: [bold]stedopt serve catalog[/], in Python:
    [bold]tiled.client.from_uri("http://127.0.0.1:8000", api_key="...")[/]
    """
    from stedopt_bluesky.cli.serving_catalog import serve_catalog

    with clear_errors():
        serve_catalog(catalog, host, port, feed=feed)


@serve_app.command()
def page(
    catalog: Catalog = DEFAULT_CATALOG,
    port: Annotated[int, typer.Option(help="Port; 0: any that is free, it is printed.")] = 8090,
) -> None:
    r"""Show the catalogue in a browser on this computer, until Ctrl-C.

    The run under way, whatever program makes it, and all past runs: found by what
    they are of and what they reached, looked at one by one, or two side by side.

    Standard error shows a link that works once; when a browser has used it, the
    next one. It listens on this computer only. From elsewhere:
    [bold]ssh -L 8090:127.0.0.1:8090 MICROSCOPE[/], and open the link there.
    Standard output has one line, the address.

    Examples: [bold]stedopt serve page[/],
    [bold]stedopt serve page --catalog stedopt-data --port 0[/]
    """
    from stedopt_bluesky.cli.serving_page import serve_page

    with clear_errors():
        serve_page(catalog, port)


@serve_app.command()
def twin(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.toml", help="Left out: the preset 'demo'."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Start from this preset instead of a file.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sample and of the noise.")] = None,
    sample: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="What lies under the objective; as for 'run'."),
    ] = None,
    real_time: Annotated[
        bool, typer.Option("--real-time", help="Scans take as long as on the microscope.")
    ] = False,
    port: Annotated[int, typer.Option(help="Port; 0: any that is free, it is printed.")] = 8766,
) -> None:
    r"""Let several programs use one digital twin, as one Imspector, until Ctrl-C.

    It listens on this computer only. Clients need a key: STEDOPT_API_KEY of
    their environment, the same as this one's, or one that is made and shown
    at the start. Their configuration has the address, which is the one line
    on standard output: \[microscope] host = "127.0.0.1:8766"

    Examples: [bold]stedopt serve twin[/],
    [bold]stedopt serve twin mine.toml --real-time[/]
    """
    from stedopt_bluesky.cli.serving_twin import serve_twin

    changes = {
        "seed": seed,
        "sample.name": sample,
        "microscope.real_time": real_time or None,
    }
    with clear_errors():
        serve_twin(config, preset, {key: v for key, v in changes.items() if v is not None}, port)
