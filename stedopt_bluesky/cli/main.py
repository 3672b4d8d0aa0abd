"""The commands of ``stedopt``."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stedopt_bluesky import __version__
from stedopt_bluesky.cli.calibrating import calibrate_app
from stedopt_bluesky.cli.cataloguing import catalog_app
from stedopt_bluesky.cli.experiments import experiments_app
from stedopt_bluesky.cli.live import live
from stedopt_bluesky.cli.networks import serve_app, weights_app
from stedopt_bluesky.cli.options import (
    DEFAULT_CATALOG,
    AskedFor,
    Asks,
    AtTheTerminal,
    Catalog,
    Json,
    OnThePage,
    Uid,
)
from stedopt_bluesky.cli.output import OneLineErrors, clear_errors, console, print_json
from stedopt_bluesky.cli.train import train_app

app = typer.Typer(
    name="stedopt",
    cls=OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    help="Optimise a STED microscope's imaging parameters while it images.\n\n"
    "Try it without a microscope: [bold]stedopt run[/] images a simulated sample.",
)
app.add_typer(experiments_app, name="experiment")
app.add_typer(weights_app, name="weights")
app.add_typer(train_app, name="train")
app.add_typer(serve_app, name="serve")
app.add_typer(calibrate_app, name="calibrate")
app.add_typer(catalog_app, name="catalog")


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # "µ" and "↑" are not in every terminal's letters
            stream.reconfigure(errors="replace")
    app()


def _version(value: bool) -> None:
    if value:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None: ...


@app.command()
def run(
    config: Annotated[
        Path | None,
        typer.Argument(metavar="CONFIG.toml", help="Left out: the preset 'demo'."),
    ] = None,
    images: Annotated[int | None, typer.Option(help="Regions to image.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of every random draw.")] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|NAME",
            help="The twin's sample: actin, tubulin, synapses, pores, or a 2-D image "
            "(TIFF, .npy, .npz, .msr, .obf; FILE#NAME of several).",
        ),
    ] = None,
    microscope: Annotated[
        str | None,
        typer.Option(metavar="twin|specpy", help="The digital twin, or a running Imspector."),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Start from this preset instead of a file.")
    ] = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What draws the options: kernel_ts, kernel_ucb, botorch, nsga2, grid_search "
            "or random.",
        ),
    ] = None,
    quality_network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Rates the images. Left out: the shipped one for the sample's structure.",
        ),
    ] = None,
    preference_network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Chooses the trade-off. Left out: the shipped one for the objectives.",
        ),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.csv",
            help="Image these regions (x_um, y_um) or fill these rectangles (and width_um, "
            "height_um); all of them unless --images is given.",
        ),
    ] = None,
    operator: Annotated[str | None, typer.Option(help="Who runs it, to search by.")] = None,
    prior: Annotated[
        list[str] | None,
        typer.Option(
            metavar="UID", help="Begin with what this run measured; may be given more than once."
        ),
    ] = None,
    prior_csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Begin with the measurements of this table."),
    ] = None,
    prior_weight: Annotated[
        float | None,
        typer.Option(help="What each counts, in images of this run: above 0, to 1 (left out: 1)."),
    ] = None,
    reduce_to: Annotated[
        str,
        typer.Option(metavar="UID", help="Reduce the grid to the region that this run chose most."),
    ] = "",
    reduce_share: Annotated[
        float | None,
        typer.Option(help="Share of its choices that the region holds (left out: 0.5)."),
    ] = None,
    expert: OnThePage = False,
    ask: AskedFor = None,
    terminal: AtTheTerminal = False,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            help="Where to save the picture of the run; "
            "left out: in the catalogue, under figures/.",
        ),
    ] = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Image region after region while optimising the imaging parameters.

    Everything is kept in the catalogue. Ctrl-C once: the image in progress is
    finished, then the run is closed; twice: it is abandoned. Either way the
    lasers are off and the command to go on is printed.

    Examples: [bold]stedopt run --images 20[/], [bold]stedopt run --sample my_image.tiff[/],
    [bold]stedopt config > mine.toml && stedopt run mine.toml[/]
    """
    from stedopt_bluesky.cli.running import begin

    changes: dict[str, Any] = {
        "images": images,
        "seed": seed,
        "sample.name": sample,
        "microscope.kind": microscope,
        "bandit.strategy": strategy,
        "quality.network": quality_network,
        "choice.network": preference_network,
        "operator": operator,
        "prior.runs": tuple(prior) if prior else None,
        "prior.csv": str(prior_csv) if prior_csv else None,
        "prior.weight": prior_weight,
        "expert.asks": tuple(ask) if ask else None,
    }
    with clear_errors():
        if ask and not expert:
            from stedopt_bluesky.config import ConfigError

            raise ConfigError(f"ask = {ask[0]!r}: only together with --expert")
        begin(
            config,
            preset,
            {key: value for key, value in changes.items() if value is not None},
            catalog=catalog,
            figure=figure,
            as_json=as_json,
            regions=regions,
            reduce_to=reduce_to,
            reduce_share=reduce_share,
            asks=_asks(page=expert, terminal=terminal),
        )


def _asks(*, page: bool, terminal: bool) -> Asks:
    """Where a person chooses."""
    from stedopt_bluesky.config import ConfigError

    if page and terminal:
        raise ConfigError("expert: not together with --terminal; choose on the page or there")
    return "page" if page else "terminal" if terminal else ""


@app.command()
def resume(
    uid: Uid,
    images: Annotated[
        int | None, typer.Option(help="How many more; left out: to the planned number.")
    ] = None,
    expert: OnThePage = False,
    terminal: AtTheTerminal = False,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Where to save the picture.")
    ] = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Go on with a run that was interrupted, or take more images of one that was not.

    A new run begins, linked to the old one, with what its models had learnt;
    regions that were imaged are not imaged again.
    """
    from stedopt_bluesky.cli.running import go_on

    with clear_errors():
        go_on(
            uid,
            images,
            catalog=catalog,
            figure=figure,
            as_json=as_json,
            asks=_asks(page=expert, terminal=terminal),
        )


@app.command()
def runs(
    sample: Annotated[str | None, typer.Option(help="Only of this sample.")] = None,
    structure: Annotated[str | None, typer.Option(help="Only of this structure.")] = None,
    preset: Annotated[str | None, typer.Option(help="Only of this preset.")] = None,
    operator: Annotated[str | None, typer.Option(help="Only of this operator.")] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help="Only those that ended so: success, abort, fail; or running, interrupted, damaged."
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CONDITION",
            help="Only where it holds, as 'snr >= 0.5': an objective that was reached (median of "
            "the last ten images; 'best.snr': the best one), a setting that was used, images, "
            "exposure_s. May be given again.",
        ),
    ] = None,
    parameter: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that optimised this parameter.")
    ] = None,
    objective: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only those that optimised by this one.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only those with this network, by name or SHA-256, or part of it."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only from then on: 2026-11-20 [14:30].")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="DATE", help="Only before then.")] = None,
    uid: Annotated[str | None, typer.Option(help="Only those whose uid begins so.")] = None,
    newest: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="So many at most. Left out: 50 in a table."),
    ] = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """List runs, newest first.

    Examples: [bold]stedopt runs --structure actin --since 2026-11-01[/],
    [bold]stedopt runs --where 'resolution_nm < 70' --where 'photobleaching <= 0.3'[/],
    [bold]stedopt runs --status interrupted --json[/]
    """
    from stedopt_bluesky.cli.listing import list_runs
    from stedopt_bluesky.records.query import Condition, RunQuery

    with clear_errors():
        query = RunQuery(
            sample=sample,
            structure=structure,
            preset=preset,
            operator=operator,
            exit_status=status,
            parameter=parameter,
            objective=objective,
            network=network,
            since=since,
            until=until,
            uid_prefix=uid,
            where=tuple(Condition.parse(text) for text in where or ()),
        )
        list_runs(query, catalog=catalog, newest=newest, as_json=as_json)


@app.command()
def ingest(
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with it, beside the instrument, until Ctrl-C.")
    ] = False,
    to: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="A Tiled server, http://HOST:PORT, with STEDOPT_CATALOG_KEY set; left out: the "
            "catalogue's own databases, in its folder.",
        ),
    ] = "",
    server_folder: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Where the server finds the catalogue's folder, if not at the same path.",
        ),
    ] = "",
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Bring runs from their journals into the catalogue that Tiled serves.

    It does not matter how often: what is in stays, what is missing comes in,
    what is there in part is put in anew. A server that is down or slow is
    waited for; nothing is lost. Exit code 1 when the server was not there, or,
    without [bold]--follow[/], a run is refused.

    Examples: [bold]stedopt ingest[/],
    [bold]stedopt ingest --follow --to http://127.0.0.1:8000[/]
    """
    from stedopt_bluesky.cli.ingesting import ingest as bring_in

    with clear_errors():
        bring_in(catalog, to=to, server_folder=server_folder, follow_on=follow, as_json=as_json)


@app.command()
def report(
    uids: Annotated[
        list[str], typer.Argument(metavar="UID...", help="Runs, by their first characters.")
    ],
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the page and its pictures; is made.")
    ] = Path("report"),
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Write a report: one page that opens anywhere, and each figure as PNG.

    Objectives over time and per ten images, where the parameters went, cumulative
    regret, what the models expect, first and last images, and a paragraph for a
    methods section.

    Examples: [bold]stedopt report 57dc --out report[/], [bold]stedopt report 57dc 3f2a[/]
    """
    from stedopt_bluesky.cli.reporting import write_report

    with clear_errors():
        write_report(uids, out, catalog=catalog, as_json=as_json)


@app.command()
def show(
    uid: Uid,
    figure: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Draw the run's picture there.")
    ] = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Show one run: its best and last images, how it ended, how to go on."""
    from stedopt_bluesky.cli.showing import show_run

    with clear_errors():
        show_run(uid, catalog=catalog, figure=figure, as_json=as_json)


app.command()(live)


@app.command()
def export(
    uid: Uid,
    out: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder of the files; made when it is missing.")
    ],
    file_format: Annotated[
        str,
        typer.Option(
            "--format", metavar="ome-tiff|obf", help="obf: for Imspector; Fiji opens both."
        ),
    ] = "ome-tiff",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files that are there already.")
    ] = False,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Write the images of a run to files: one per region, and one for the overview.

    The channels of a region are named confocal1, sted1, ... and confocal2.
    Pixel size, position, powers, dwelltime and objectives are in the files.
    Images that cannot be read, as after a crash, are left out; each is told in
    one line on standard error, and the exit code is 2.

    Examples: [bold]stedopt export 1f0c --out images[/],
    [bold]stedopt export 1f0c --out images --format obf[/]
    """
    from stedopt_bluesky.cli.exporting import export_images

    with clear_errors():
        export_images(
            uid,
            out,
            file_format=file_format,
            overwrite=overwrite,
            catalog=catalog,
            as_json=as_json,
        )


@app.command()
def replay(
    uid: Uid,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What would this strategy have chosen?"),
    ] = None,
    preference_network: Annotated[
        str | None,
        typer.Option(metavar="NAME|FILE", help="What would this network have chosen?"),
    ] = None,
    other: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE.toml",
            help="What would its sections [bandit] and [choice] have chosen?",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", help="Draw recorded against new choices there."),
    ] = None,
    emit: Annotated[
        bool, typer.Option("--emit", help="Emit the documents, a line of JSON each, instead.")
    ] = False,
    speed: Annotated[
        float | None,
        typer.Option(
            help="With --emit or --to: 1 for the run's own pace, 10 for ten times as fast; left "
            "out: as fast as possible."
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Publish the documents over ZMQ: 127.0.0.1:PORT."),
    ] = None,
    to_proxy: Annotated[
        bool, typer.Option("--proxy", help="With --to: a bluesky-0MQ-proxy is there already.")
    ] = False,
    microscope: Annotated[
        bool,
        typer.Option(
            "--microscope",
            help="Run the whole plan anew, on a microscope that answers with the run's images.",
        ),
    ] = False,
    images_from: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="UID",
            help="With --microscope: this run's images may be given too; may be given more than "
            "once.",
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="With --microscope: the new run's catalogue; left out: the same."
        ),
    ] = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Replay a run: its documents, its decisions.

    Without options: every decision is made anew and compared, and the documents
    are re-emitted and checked. Exit code 1 when a decision differs: the program,
    or the record, has changed.

    With another strategy, network or configuration: what would it have chosen
    of the same images? Exit code 0, however much differs.

    With --microscope the plan runs anew into a new run, from the connection to
    the journal; where another configuration is chosen than was imaged, the image
    of the nearest one is given.

    Examples: [bold]stedopt replay 1f0c[/],
    [bold]stedopt replay 1f0c --strategy random --figure new.png[/],
    [bold]stedopt replay 1f0c --to 127.0.0.1:5577 --speed 10[/],
    [bold]stedopt replay 1f0c --microscope --strategy random[/]
    """
    from stedopt_bluesky.cli.replaying import Asked, choose_way

    with clear_errors():
        way = choose_way(
            Asked(strategy, preference_network, other),
            figure=figure,
            emit=emit,
            speed=speed,
            to=to,
            to_proxy=to_proxy,
            microscope=microscope,
            images_from=tuple(images_from or ()),
            into=into,
            as_json=as_json,
        )
        way(uid, catalog)


@app.command()
def config(
    preset: Annotated[
        str | None, typer.Argument(metavar="PRESET", help="Left out: 'demo'.")
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="List the presets instead.")] = False,
    as_json: Json = False,
) -> None:
    """Print a preset as a commented TOML file to edit.

    Example: [bold]stedopt config live_far_red > mine.toml[/]
    """
    from stedopt_bluesky import config as configuration

    with clear_errors():
        if names:
            presets = list(configuration.preset_names())
            if as_json:
                print_json(presets)
            else:
                typer.echo("\n".join(presets))
            return
        chosen = configuration.preset(preset or configuration.DEFAULT_PRESET)
    if as_json:
        print_json(chosen.model_dump(mode="json", exclude_none=True))
    else:
        typer.echo(configuration.commented_toml(chosen), nl=False)
        asked = f" {preset}" if preset else ""
        console.print(f"# save it: stedopt config{asked} > mine.toml, then: stedopt run mine.toml")


@app.command()
def rate(
    images: Annotated[
        list[Path],
        typer.Argument(
            metavar="IMAGE",
            help="TIFF, .npy, .npz, .msr or .obf: photon counts; FILE#NAME: one of several.",
        ),
    ],
    weights: Annotated[
        str, typer.Option(metavar="NAME|FILE", help="The quality network, see 'weights list'.")
    ] = "general",
    maps: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Also draw the score of each pixel, one PNG an image."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score STED images by the quality network, from 0 to 1.

    Of a file that holds several images, a measurement or an OME-TIFF, each
    is scored. An image without a score (empty, constant, pixels that are not finite) is
    told as invalid, with the reason. A file that cannot be read is told in
    one line on standard error; the others are rated all the same, and the
    exit code is 2. A network knows structures by their size in pixels: the
    shipped ones were trained on pixels of 20 nm.

    Examples: [bold]stedopt rate image.tif[/],
    [bold]stedopt rate day1/*.tif --weights actin --maps maps[/],
    [bold]stedopt rate stack/*.npy --json > scores.json[/]
    """
    from stedopt_bluesky.cli.rating import rate_files

    with clear_errors():
        rate_files(images, weights, maps, as_json=as_json)
