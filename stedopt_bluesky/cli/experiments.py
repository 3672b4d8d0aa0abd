"""The commands of ``stedopt experiment``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stedopt_bluesky.cli.options import DEFAULT_CATALOG, Catalog, Json
from stedopt_bluesky.cli.output import clear_errors

experiments_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Compare strategies, on images taken earlier or by the runs they have made; "
    "rated images of the twin to train networks with.",
)

Figure = Annotated[Path | None, typer.Option(metavar="FILE.png", help="Where to save the picture.")]


@experiments_app.command()
def replay(
    trials: Annotated[int, typer.Option(help="Trials of each strategy.")] = 100,
    images: Annotated[int, typer.Option(help="Images of a trial.")] = 60,
    seed: Annotated[int, typer.Option(help="Seed of the trials.")] = 0,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="kernel_ts, kernel_ucb, grid_search or random; may be given several times. "
            "Left out: kernel_ts, grid_search and random.",
        ),
    ] = None,
    objective: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What is optimised: one of the dataset's objectives, or 'utility', their "
            "weighted mean.",
        ),
    ] = "utility",
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Worst value that is no failure. Left out: 19 of 20 images of the relevant "
            "region are no failures."
        ),
    ] = None,
    relevant: Annotated[
        int | None,
        typer.Option(help="Configurations in the relevant region. Left out: the best third."),
    ] = None,
    repeats: Annotated[int, typer.Option(help="Images per configuration of grid_search.")] = 5,
    dataset: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.npz",
            help="The images' ratings: read when the file is there, else made. "
            "Left out: stedopt-replay.npz.",
        ),
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(metavar="FILE|NAME", help="The twin's sample to image. Left out: actin."),
    ] = None,
    queue: Annotated[
        int | None, typer.Option(help="Images of it at each of 12 powers. Left out: 39.")
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="UID",
            help="Take the images of this stored run, not the twin's; may be given several times.",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. Left out: one per core.")] = None,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="tcp://HOST:PORT",
            help="Scheduler of your own Dask cluster to run the trials on, or tls://.",
        ),
    ] = None,
    figure: Figure = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Replay images taken earlier: what each strategy would have chosen, and got.

    The paper's Fig. 1: 39 images at each of 12 excitation powers, 100 trials
    of 60 images. A trial shuffles the images of each power. What a strategy
    gets is the next one of the power that it asks for; when all of them are
    used up, they begin again. All strategies meet the same images, and the
    same seed gives the same numbers on one core, on many and on a cluster.

    Name only a Dask scheduler that you trust: it can run anything here.

    Examples: [bold]stedopt experiment replay[/],
    [bold]stedopt experiment replay --objective frc --strategy kernel_ts --strategy random[/],
    [bold]stedopt experiment replay --from 3f2a --dask tcp://10.0.0.5:8786[/]
    """
    from stedopt_bluesky.cli.experimenting import ReplayRequest, replay_images

    request = ReplayRequest(
        trials=trials,
        images=images,
        seed=seed,
        strategies=tuple(strategy or ()),
        objective=objective,
        threshold=threshold,
        relevant=relevant,
        repeats=repeats,
        dataset=dataset,
        sample=sample,
        queue=queue,
        source=tuple(source or ()),
        workers=workers,
        dask=dask,
        figure=figure,
        catalog=catalog,
    )
    with clear_errors():
        replay_images(request, as_json=as_json)


@experiments_app.command()
def uncaging(
    images: Annotated[int, typer.Option(help="Spines of a run.")] = 80,
    cells: Annotated[int, typer.Option(help="Cells on each coverslip.")] = 3,
    runs: Annotated[int, typer.Option(help="Coverslips; a run of each strategy on each.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of coverslips, responses and draws.")] = 0,
    strategy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="kernel_ts or random; may be given several times. Left out: both.",
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes. Left out: one per core.")] = None,
    figure: Figure = None,
    as_json: Json = False,
) -> None:
    """Uncage at spines of the twin: Kernel TS against random sampling.

    The paper's Fig. 4: power and distance of a 405-nm pulse, 80 spines a
    run, on coverslips whose cells differ in their excitability. A response
    is local when it is there and smaller than 0.6 of the cell. Intervals are
    of 95 %, by 1,000 bootstrap resamples of the runs; p-values are Kruskal
    and Wallis's, of the runs' first against their last 20 images, and in the
    last rows of the strategies' last images.

    Examples: [bold]stedopt experiment uncaging[/],
    [bold]stedopt experiment uncaging --runs 2 --images 20 --cells 1 --json[/]
    """
    from stedopt_bluesky.cli.uncaging import UncagingRequest, uncage

    request = UncagingRequest(
        images=images,
        cells=cells,
        runs=runs,
        seed=seed,
        strategies=tuple(strategy or ()),
        workers=workers,
        figure=figure,
    )
    with clear_errors():
        uncage(request, as_json=as_json)


@experiments_app.command()
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[UID]...", help="Runs, by uid; left out: all of the catalogue."),
    ] = None,
    group_by: Annotated[
        str, typer.Option(metavar="strategy|preset|sample|uid", help="What tells groups apart.")
    ] = "strategy",
    preset: Annotated[str | None, typer.Option(help="Only runs of this preset.")] = None,
    sample: Annotated[str | None, typer.Option(help="Only runs of this sample.")] = None,
    strategy: Annotated[str | None, typer.Option(help="Only runs of this strategy.")] = None,
    images: Annotated[
        int | None,
        typer.Option(
            help="Compare the first so many images of the runs that have them. "
            "Left out: as many as the shortest run has."
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="An image fails whose objective is worse; may be given several times. "
            "Left out: photobleaching=0.6 and quality=0.6, where the runs have them.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    figure: Figure = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Compare stored runs: failures, first against last images, hypervolume.

    A run that was resumed counts once, with all its images. Intervals are of
    95 %, by 1,000 bootstrap resamples of the runs. p-values are Kruskal and
    Wallis's: first against last 20 images, and the groups' last images. The
    hypervolume is the part of the objectives' usual ranges that the images
    of a run dominate.

    Examples: [bold]stedopt experiment compare --preset demo[/],
    [bold]stedopt experiment compare 3f2a 9c41 --group-by uid --threshold snr=0.5[/]
    """
    from stedopt_bluesky.cli.experimenting import CompareRequest, compare_runs

    request = CompareRequest(
        uids=tuple(runs or ()),
        group_by=group_by,
        preset=preset,
        sample=sample,
        strategy=strategy,
        images=images,
        thresholds=tuple(threshold or ()),
        seed=seed,
        figure=figure,
        catalog=catalog,
    )
    with clear_errors():
        compare_runs(request, as_json=as_json)


@experiments_app.command("rated-images")
def rated_images(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder to be written, new or empty.")
    ],
    structure: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A structure of the twin; may be given several times. Left out: actin.",
        ),
    ] = None,
    images: Annotated[int, typer.Option(help="How many.")] = 400,
    seed: Annotated[int, typer.Option(help="Other seeds, other specimens.")] = 0,
    size: Annotated[int, typer.Option(metavar="PX", help="Side of an image, in pixels.")] = 128,
    as_json: Json = False,
) -> None:
    """Image the twin with random parameters, and rate each image by the truth.

    Every image has a dye, a labelling, a microscope and imaging parameters
    of its own. Its rating, 0 to 1, is how well it resolves the structure
    that the twin knows. The folder can be learnt from by
    [bold]stedopt train quality[/]: a way to try a training before rating
    images of your own.

    Examples: [bold]stedopt experiment rated-images rated --images 200[/],
    [bold]stedopt experiment rated-images rated --structure actin --structure tubulin --size 96[/]
    """
    from stedopt_bluesky.cli.rated_images import write_rated_images

    with clear_errors():
        write_rated_images(
            folder, tuple(structure or ("actin",)), images, seed, size, as_json=as_json
        )
