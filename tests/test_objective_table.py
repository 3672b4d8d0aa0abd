import pytest

from stedopt_bluesky.objective_table import OBJECTIVE_TABLE, known_objective
from stedopt_bluesky.objectives import OBJECTIVES, all_objectives


def test_an_objective_is_known_in_whichever_channel():
    for name, function in all_objectives(["orange", "far_red"]).items():
        known = known_objective(name)
        assert known is not None, name
        assert (known.direction, known.unit) == (
            function.objective.direction,
            function.objective.unit,
        )
        assert name.endswith(known.name)


def test_each_has_its_function():
    assert {name: f.objective for name, f in OBJECTIVES.items()} == dict(OBJECTIVE_TABLE)


@pytest.mark.parametrize("name", ["", "snrr", "orangesnr", "orange_light_dose_mJ", "_", "SNR"])
def test_what_is_no_objective(name):
    assert known_objective(name) is None
