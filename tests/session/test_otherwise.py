import pytest

from stedopt_bluesky.config import ConfigError, preset
from stedopt_bluesky.session.otherwise import otherwise

OWN = preset("classical").updated({"seed": 7, "images": 5})


def test_nothing_asked_is_the_run_itself():
    assert otherwise(OWN) == OWN
    assert otherwise(OWN, other=OWN) == OWN


def test_only_who_decides_is_taken_of_a_file():
    other = OWN.updated(
        {
            "seed": 1,
            "images": 60,
            "sample.name": "tubulin",
            "bandit.exploration": 2.0,
            "choice.rule": "hypervolume",
        }
    )
    asked = otherwise(OWN, other=other)
    assert asked == OWN.updated({"bandit.exploration": 2.0, "choice.rule": "hypervolume"})


def test_what_is_named_comes_after_the_file():
    other = OWN.updated({"bandit.strategy": "botorch", "choice.rule": "random"})
    asked = otherwise(OWN, strategy="random", preference_network="mine", other=other)
    assert asked == OWN.updated(
        {"bandit.strategy": "random", "choice.rule": "network", "choice.network": "mine"}
    )


def first(**changes):
    parameters = [p.model_dump(exclude_none=True) for p in OWN.parameters]
    parameters[0] |= changes
    return OWN.updated({"parameters": parameters})


@pytest.mark.parametrize(
    ("other", "told"),
    [
        (first(points=5), r"parameters\.0 \(excitation_power_uW\) = 5 values, .* µW: the run's, "),
        (first(high=20.0), r"parameters\.0 \(excitation_power_uW\) = .* to 20 µW: the run's"),
        (OWN.updated({"parameters": [{"name": "dwelltime_us", "values": [1, 2]}]}),
         "parameters = dwelltime_us: the run's, in its order: excitation_power_uW, "),
        (OWN.updated({"objectives": [{"name": "snr"}]}), "objectives = snr: the run's"),
    ],
)  # fmt: skip
def test_another_grid_or_other_objectives(other, told):
    with pytest.raises(ConfigError, match=told):
        otherwise(OWN, other=other)


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"strategy": "best"}, "bandit.strategy = 'best'"),
        ({"strategy": "random"}, "bandit.strategy = 'random'"),
    ],
)
def test_what_does_not_go_with_the_run(asked, told):
    with pytest.raises(ConfigError, match=told):
        otherwise(OWN.updated({"prior.csv": "x.csv"}), **asked)
