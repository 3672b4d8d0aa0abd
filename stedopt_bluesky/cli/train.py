"""The commands of ``stedopt train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from stedopt_bluesky.cli.options import DEFAULT_CATALOG, Catalog, Json
from stedopt_bluesky.cli.output import clear_errors, typed_again

train_app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Train a network on your own images, or on your own choices.",
)

Name = Annotated[str | None, typer.Option(help="What it is called. Left out: the file's name.")]
Start = Annotated[
    str | None, typer.Option("--from", metavar="NAME|FILE", help="Begin with this network.")
]
FromCatalog = Annotated[
    bool, typer.Option("--from-catalog", help="Learn from all runs of the catalogue.")
]
Runs = Annotated[
    list[str] | None,
    typer.Option(metavar="UID", help="Learn from this run; may be given several times."),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.png", help="Where to save the picture of the training. Left out: beside OUT."
    ),
]
Patience = Annotated[
    int, typer.Option(help="Epochs without a lower validation error after which it ends.")
]
Seed = Annotated[int, typer.Option(help="Seed of all that is random.")]


@train_app.command()
def quality(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[DATASET] OUT",
            help="Folder of rated images, and the file to be written: *.safetensors.",
        ),
    ],
    start: Start = None,
    from_catalog: FromCatalog = False,
    runs: Runs = None,
    rated_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Learn from the ratings of this person; may be given several times. Left out: of "
            "all persons, or where none has rated, of whatever did.",
        ),
    ] = None,
    name: Name = None,
    structure: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What it rates. Left out: the dataset's structure."),
    ] = None,
    pixel_size_nm: Annotated[
        float | None,
        typer.Option(
            help="Of the images, in nm. Left out: as their files tell it, or that of --from."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="At most.")] = 200,
    patience: Patience = 30,
    batch: Annotated[int, typer.Option(help="Images of a step.")] = 96,
    learning_rate: Annotated[float, typer.Option(help="Of Adam, at the beginning.")] = 0.002,
    halve_every: Annotated[int, typer.Option(help="Epochs after which it is halved.")] = 50,
    validation: Annotated[
        float, typer.Option(help="Share of the images, by specimen, that decides when to stop.")
    ] = 0.2,
    rotation: Annotated[
        str, typer.Option(metavar="right_angles|arbitrary", help="How images are turned.")
    ] = "right_angles",
    whitening: Annotated[
        str | None,
        typer.Option(
            metavar="anscombe|standard",
            help="What is done to the counts. Left out: anscombe; with --from: as it does.",
        ),
    ] = None,
    seed: Seed = 0,
    figure: Figure = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Train a quality network on images that somebody has rated from 0 to 1.

    DATASET is a folder with images and a table ratings.csv (file, quality,
    and where known structure, specimen), or with files X-Y.npz, Y the
    quality. Images of one specimen are never divided between training and
    validation. Without DATASET, images that were rated in past runs:
    --from-catalog or --runs.

    Ctrl-C: what was learnt is kept beside OUT, and the command to go on is
    printed. A network of your own microscope needs few images when it
    begins with a shipped one: --from general.

    Examples: [bold]stedopt train quality rated/ mine.safetensors --from general[/],
    [bold]stedopt train quality mine.safetensors --runs 3f2a --runs 9c41 --from actin[/]
    """
    from stedopt_bluesky.cli.training import Source
    from stedopt_bluesky.cli.training_quality import QualityRequest, train_quality_network

    with clear_errors():
        train_quality_network(
            QualityRequest(
                source=Source(tuple(paths), from_catalog, tuple(runs or ()), catalog),
                start=start,
                name=name,
                structure=structure,
                pixel_size_nm=pixel_size_nm,
                recipe={
                    "epochs": epochs,
                    "patience": patience,
                    "batch": batch,
                    "learning_rate": learning_rate,
                    "halve_every": halve_every,
                    "validation_share": validation,
                    "rotation": rotation,
                    "seed": seed,
                },
                whitening=whitening,
                rated_by=tuple(rated_by or ()),
                figure=figure,
                again=typed_again(context),
            ),
            as_json=as_json,
        )


@train_app.command()
def preference(
    context: typer.Context,
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="[CLOUDS] OUT",
            help="File or folder of clouds and choices, and the file to be written: *.safetensors.",
        ),
    ],
    start: Start = None,
    from_catalog: FromCatalog = False,
    runs: Runs = None,
    name: Name = None,
    chosen_by: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Learn from the choices of this person or rule; may be given several times. "
            "Left out: of persons, or where there are none of every rule but chance.",
        ),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="An objective by which it shall choose; may be given several times. "
            "Left out: all of the first run.",
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="At most.")] = 100,
    patience: Annotated[
        int | None,
        typer.Option(
            help="Epochs without a lower validation error after which it ends. Left out: 10; of "
            "fewer than 30 clouds it does not end before the last epoch."
        ),
    ] = None,
    batch: Annotated[int, typer.Option(help="Pairs of options of a step.")] = 128,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of Adam. Left out: 0.001; of fewer than 30 clouds 0.01."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="By how much the chosen option is to score higher than another.")
    ] = 0.1,
    seed: Seed = 0,
    figure: Figure = None,
    catalog: Catalog = DEFAULT_CATALOG,
    as_json: Json = False,
) -> None:
    """Train a preference network on clouds of options and the one chosen from each.

    CLOUDS is an .npz file, or a folder of them: values (all options), offsets
    (where each cloud begins), chosen (row of each cloud), objectives and
    units. Without it, the clouds and choices of past runs: --from-catalog or
    --runs. A tenth of the clouds decides when to stop, another tenth is kept
    to say how well it chooses; of fewer than 30 all are learnt from.

    Ctrl-C: what was learnt is kept beside OUT, and the command to go on is
    printed.

    Examples: [bold]stedopt train preference my_choices.safetensors --runs 3f2a[/],
    [bold]stedopt train preference clouds/ mine.safetensors --epochs 50[/]
    """
    from stedopt_bluesky.cli.training import Source
    from stedopt_bluesky.cli.training_preference import (
        PreferenceRequest,
        train_preference_network,
    )

    with clear_errors():
        train_preference_network(
            PreferenceRequest(
                source=Source(tuple(paths), from_catalog, tuple(runs or ()), catalog),
                start=start,
                name=name,
                recipe={
                    "epochs": epochs,
                    "patience": patience,
                    "batch": batch,
                    "learning_rate": learning_rate,
                    "margin": margin,
                    "seed": seed,
                },
                chosen_by=tuple(chosen_by or ()),
                objectives=tuple(objective or ()),
                figure=figure,
                again=typed_again(context),
            ),
            as_json=as_json,
        )
