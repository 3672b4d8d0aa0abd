import math

import pytest

from stedopt_bluesky.networks.history import TrainingError
from stedopt_bluesky.networks.quality_recipe import QualityRecipe


def test_the_defaults_are_the_papers():
    recipe = QualityRecipe()
    assert (recipe.learning_rate, recipe.halve_every, recipe.batch) == (0.002, 50, 96)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("epochs", 0, "epochs = 0: at least 1"),
        ("patience", 0, "patience = 0: at least 1"),
        ("batch", -1, "batch = -1: at least 1"),
        ("halve_every", 0, "halve_every = 0: at least 1"),
        ("seed", -1, "seed = -1: at least 0"),
        ("learning_rate", 0, "learning_rate = 0: above 0"),
        ("learning_rate", math.nan, "learning_rate = nan: above 0"),
        ("learning_rate", math.inf, "learning_rate = inf: above 0, finite"),
        ("validation_share", 1, "validation_share = 1: above 0, below 1"),
        ("validation_share", 0, "validation_share = 0: above 0, below 1"),
        ("intensity", 1, "intensity = 1: at least 0, below 1"),
        ("rotation", "any", "rotation = 'any': right_angles or arbitrary"),
        ("whitening", "range", "whitening = 'range': anscombe or standard"),
    ],
)
def test_a_value_out_of_its_range_is_refused(field, value, message):
    with pytest.raises(TrainingError, match=message):
        QualityRecipe(**{field: value})
