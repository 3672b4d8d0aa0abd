"""Plans with arguments that a queue and its forms can hold: numbers, names, lists of numbers.

Each is a run of its own, with a strategy that knows of no other run; `resume` goes on with one.
"""

import typing

from stedopt_bluesky.acquisition import Region
from stedopt_bluesky.config.sections import StrategyName
from stedopt_bluesky.plans import count_overview as _overviews
from stedopt_bluesky.plans.asking import ExpertChoice
from stedopt_bluesky.session import continuation_of, go_on, make_choose

_MOST_IMAGES = 10_000

_CHOOSING = {
    "chooser": {
        "description": "'rule': what the configuration says. 'expert': a person, asked by "
        "pending_choice and answering by choose_option (bluesky-queueserver: function execute).",
        "annotation": "Choosers",
        "enums": {"Choosers": ("rule", "expert")},
    },
    "choice_timeout_s": {
        "description": "How long an expert is waited for, s; a pause does not count.",
        "min": 1.0,
        "max": 86_400.0,
    },
    "if_late": {
        "description": "What is done when no expert chose in time: 'rule' chooses for them, "
        "'stop' ends the run.",
        "annotation": "Policies",
        "enums": {"Policies": ("rule", "stop")},
    },
}
_NOTES = {
    "sample": {"description": "Name of the sample in the record; empty: the configuration's."},
    "comment": {"description": "Anything worth keeping; stands in the start document."},
}


@parameter_annotation_decorator(
    {
        "description": "Optimise the imaging parameters while imaging, region after region.",
        "parameters": {
            "images": {
                "description": "Regions to image.",
                "min": 1,
                "max": _MOST_IMAGES,
                "step": 1,
            },
            "strategy": {
                "description": "What draws the options and learns.",
                "annotation": "Strategies",
                "enums": {"Strategies": typing.get_args(StrategyName)},
            },
            "regions": {
                "description": "Centres of the regions, [x, y] or [x, y, stage x, stage y], µm; "
                "left out: where the configuration images.",
            },
            "seed": {
                "description": "Of the strategy's draws; left out: the configuration's.",
                "min": 0,
                "step": 1,
            },
            **_NOTES,
            **_CHOOSING,
        },
    }
)
def optimize(
    images: int = config.images,
    strategy: str = config.bandit.strategy,
    sample: str = "",
    regions: typing.Optional[typing.List[typing.List[float]]] = None,  # noqa: UP006, UP045
    seed: typing.Optional[int] = None,  # noqa: UP045
    comment: str = "",
    chooser: str = "rule",
    choice_timeout_s: float = 600.0,
    if_late: str = "rule",
):
    if regions is not None and config.uncaging.enabled:
        raise ValueError("regions: not with uncaging; list the spines in uncaging.spines")
    run = session.renewed(
        config.updated(
            {"bandit.strategy": strategy, "seed": config.seed if seed is None else seed}
        ),
        choose=_chooser(config, chooser, choice_timeout_s, if_late),
    )
    places = None if regions is None else [_region(place) for place in regions]
    return (yield from run.optimize(images, regions=places, md=_notes(sample, comment)))


@parameter_annotation_decorator(
    {
        "description": "Go on with a stored run, of this session or another, where it ended.",
        "parameters": {
            "uid": {"description": "The run's uid, or the beginning of it."},
            "images": {
                "description": "How many more; 0: those that it has not taken.",
                "min": 0,
                "max": _MOST_IMAGES,
                "step": 1,
            },
            "comment": _NOTES["comment"],
            **_CHOOSING,
        },
    }
)
def resume(
    uid: str,
    images: int = 0,
    comment: str = "",
    chooser: str = "rule",
    choice_timeout_s: float = 600.0,
    if_late: str = "rule",
):
    earlier = continuation_of(folder, uid, images or None)
    # By its own name, which may be another than the configuration's.
    notes = {k: v for k, v in earlier.chain.last.start.items() if k in ("sample", "operator")}
    return (
        yield from go_on(
            session,
            earlier,
            choose=_chooser(
                earlier.config, chooser, choice_timeout_s, if_late, earlier.networks.preference
            ),
            md={**_notes("", comment), **notes},
        )
    )


@parameter_annotation_decorator(
    {
        "description": "Take confocal overviews of a field; no region is imaged.",
        "parameters": {
            "overviews": {"description": "How many.", "min": 1, "max": _MOST_IMAGES, "step": 1},
            "stage_x_um": {"description": "Stage, from where it stood at the beginning, µm."},
            "stage_y_um": {"description": "Stage, from where it stood at the beginning, µm."},
            **_NOTES,
        },
    }
)
def count_overview(
    overviews: int = 1,
    stage_x_um: float = 0.0,
    stage_y_um: float = 0.0,
    sample: str = "",
    comment: str = "",
):
    return (
        yield from _overviews.count_overview(
            station,
            overviews=overviews,
            field_um=(stage_x_um, stage_y_um),
            md={**session.metadata, **_notes(sample, comment)},
        )
    )


def pending_choice():
    """Tell what an expert is asked, in plain data; None while nothing is asked."""
    return expert.pending()


def choose_option(iteration: int, index: int, chosen_by: str = "expert"):
    """Choose option `index` of the cloud of `iteration`; what is no answer is refused."""
    expert.choose(iteration, index, chosen_by)
    return {"iteration": iteration, "index": index, "chosen_by": chosen_by}


def _chooser(config, chooser, timeout_s, if_late, preference=None):
    """Who chooses; None where it is what the configuration says."""
    for name, value, allowed in (
        ("chooser", chooser, ("rule", "expert")),
        ("if_late", if_late, ("rule", "stop")),
    ):
        if value not in allowed:
            raise ValueError(f"{name} = {value!r}: allowed are {', '.join(allowed)}")
    if chooser == "rule":
        return None
    rule = make_choose(config, preference)
    return ExpertChoice(expert, rule, timeout_s, stops_if_late=if_late == "stop", suggest=rule)


def _region(place):
    if len(place) not in (2, 4):
        raise ValueError(f"regions: {place}; [x, y] or [x, y, stage x, stage y] in µm")
    x_um, y_um, stage_x_um, stage_y_um = (*place, 0.0, 0.0)[:4]
    return Region(
        x_um,
        y_um,
        config.imaging.region_size_um,
        stage_x_um=stage_x_um,
        stage_y_um=stage_y_um,
    )


def _notes(sample, comment):
    """What a person says of a run, for its start document; see 50-prompt.py."""
    told = {**asked, **({"sample": sample} if sample else {})}
    return {**told, **({"comment": comment} if comment else {})}


# What 50-prompt.py has asked for.
asked = {}
