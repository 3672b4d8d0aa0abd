"""BoTorch's Gaussian processes as a strategy: right, repeatable, and leaving torch as it was."""

from __future__ import annotations

import importlib.util
import math

import numpy as np
import pytest

from stedopt_bluesky.acquisition import Objective
from stedopt_bluesky.bandit.botorch_ts import BoTorchTS, grid_posterior
from stedopt_bluesky.bandit.strategy import Strategy
from stedopt_bluesky.parameters import Parameter, ParameterSpace

torch = pytest.importorskip("torch")
pytest.importorskip("botorch")

SPACE = ParameterSpace(
    [
        Parameter.linear("depletion_power_mW", "mW", 59, 360, 5),
        Parameter.linear("dwelltime_us", "µs", 5, 100, 4),
    ]
)
QUALITY = Objective("quality", "", "maximise", (0, 1))
RESOLUTION = Objective("resolution_nm", "nm", "minimise", (50, 250))
TIME = Objective("time_s", "s", "minimise", (0, 5), modelled=False)
SECONDS = SPACE.grid[:, 1] * 0.04
HISTORY = [
    (3, (0.4, 120, None)),
    (17, (0.9, math.nan, None)),
    (3, (0.5, 110, None)),
    (8, (None, None, None)),
    (12, (0.1, 190, None)),
]


def strategy(history=HISTORY, seed=5):
    model = BoTorchTS(SPACE, [QUALITY, RESOLUTION, TIME], seed, deterministic={"time_s": SECONDS})
    for index, values in history:
        model.ingest(index, values)
    return model


@pytest.fixture(scope="module")
def told():
    return strategy()


def test_options_have_the_shapes_and_names(told):
    options = told.suggest()
    assert isinstance(told, Strategy)
    assert options.values.shape == (20, 3)
    assert np.isfinite(options.values).all()
    assert options.configurations is SPACE.grid
    assert options.iteration == told.iteration == 5
    assert options.objectives == ("quality", "resolution_nm", "time_s")
    assert options.parameters == SPACE.names
    assert options.imaged == (3, 17, 8, 12)
    np.testing.assert_array_equal(options.values[:, 2], SECONDS)
    with pytest.raises(ValueError, match="read-only"):
        options.values[0, 0] = 1


def test_posterior_equals_scikit_learn_with_the_fitted_hyper_parameters():
    gaussian_process = pytest.importorskip("sklearn.gaussian_process")
    rng = np.random.default_rng(0)
    grid = (SPACE.grid - SPACE.grid[0]) / np.ptp(SPACE.grid, axis=0)
    rows = rng.integers(0, 20, 12)
    values = np.sin(4 * grid[rows, 0]) + grid[rows, 1] ** 2 + 0.05 * rng.normal(size=12)
    torch.manual_seed(0)
    fitted = grid_posterior(grid, rows, values)
    model = _fitted_model(grid, rows, values)
    lengths = model.covar_module.lengthscale.detach().numpy().ravel()
    noise = model.likelihood.noise.item()
    constant = model.mean_module.constant.item()
    peer = gaussian_process.GaussianProcessRegressor(
        gaussian_process.kernels.RBF(lengths), alpha=noise, optimizer=None
    )
    centre, scale = values.mean(), values.std(ddof=1)
    peer.fit(grid[rows], (values - centre) / scale - constant)
    mean, std = peer.predict(grid, return_std=True)
    found = fitted.mean.numpy().ravel()
    np.testing.assert_allclose(found, centre + scale * (constant + mean), atol=1e-6)
    np.testing.assert_allclose(fitted.variance.sqrt().numpy().ravel(), scale * std, atol=1e-5)
    assert np.corrcoef(found[rows], values)[0, 1] > 0.9


def _fitted_model(grid, rows, values):
    """The same fit, written out here, for its hyper-parameters."""
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.models.transforms import Standardize
    from gpytorch.mlls import ExactMarginalLogLikelihood

    x, y = torch.tensor(grid[rows]), torch.tensor(values)[:, None]
    model = SingleTaskGP(x, y, outcome_transform=Standardize(1))
    fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    return model.eval()


def test_samples_have_the_posterior_mean_and_deviation(told):
    mean, std = told.posterior()
    samples = np.array([told.suggest(draw).values for draw in range(300)])
    error = std / math.sqrt(300)
    assert (np.abs(samples.mean(axis=0) - mean) <= 5 * error + 1e-6)[:, :2].all()
    np.testing.assert_allclose(samples.std(axis=0)[:, :2], std[:, :2], rtol=0.3, atol=1e-3)
    np.testing.assert_array_equal(mean[:, 2], SECONDS)
    assert (std[:, 2] == 0).all()


def test_a_decision_depends_on_nothing_but_history_seed_iteration_and_draw(told):
    expected = told.suggest().values
    torch.manual_seed(99)
    torch.set_num_threads(threads := 2)
    before = torch.random.get_rng_state()
    again = strategy()
    again.posterior()
    np.testing.assert_array_equal(again.suggest().values, expected)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.random.get_rng_state(), before)
    others = [told.suggest(1).values, strategy(seed=6).suggest().values]
    for other in (*others, strategy([*HISTORY, (8, (None, None, None))]).suggest().values):
        assert (other[:, :2] != expected[:, :2]).any(axis=0).all()


def test_before_data_the_cloud_is_drawn_from_the_prior():
    empty = strategy([])
    mean, std = empty.posterior()
    np.testing.assert_allclose(mean[:, :2], np.tile([0.5, 150], (20, 1)))
    np.testing.assert_allclose(std[:, :2], np.tile([1, 200], (20, 1)), rtol=1e-6)
    cloud = empty.suggest()
    assert cloud.imaged == ()
    samples = np.array([empty.suggest(draw).values[:, 1] for draw in range(400)])
    np.testing.assert_allclose(samples.mean(axis=0), 150, atol=50)  # 5 standard errors
    # The prior's mode with D parameters: exp(√2 + ln(D)/2 - 3), in the unit cube.
    bandwidth = math.exp(math.sqrt(2) + math.log(2) / 2 - 3)
    expected = math.exp(-((1 / 3) ** 2) / (2 * bandwidth**2))  # 4 dwelltimes: steps of a third
    assert np.corrcoef(samples[:, 0], samples[:, 1])[0, 1] == pytest.approx(expected, abs=0.15)


def test_one_image_moves_its_neighbourhood():
    mean, std = strategy([(3, (0.9, 60, None))]).posterior()
    np.testing.assert_allclose(mean[3, :2], [0.9, 60], atol=0.05 * 200)
    assert (std[3, :2] < std[16, :2]).all()


def test_invalid_objectives_count_but_are_not_learned():
    plain = strategy([(3, (0.4, 120, None)), (12, (0.1, 190, None))])
    more = strategy([(3, (0.4, 120, None)), (8, (None, math.nan, 1.0)), (12, (0.1, 190, None))])
    assert (plain.iteration, more.iteration) == (2, 3)
    np.testing.assert_array_equal(plain.posterior()[0], more.posterior()[0])


def test_more_configurations_than_gpytorch_factorises_by_itself():
    """Above 800 it would fall back on a Lanczos approximation; the spread must stay exact."""
    space = ParameterSpace([Parameter.linear("dwelltime_us", "µs", 5, 100, 900)])
    model = BoTorchTS(space, [QUALITY], 1)
    model.ingest(0, [0.2])
    model.ingest(899, [0.7])
    _, std = model.posterior()
    samples = np.array([model.suggest(draw).values[:, 0] for draw in range(60)])
    np.testing.assert_allclose(samples.std(axis=0), std[:, 0], rtol=0.5, atol=1e-3)


def test_a_strategy_that_learns_finds_the_best():
    model = BoTorchTS(SPACE, ["quality"], 0)
    truth = 1 - np.linalg.norm((SPACE.grid - SPACE.grid[13]) / np.ptp(SPACE.grid, axis=0), axis=1)
    chosen = []
    for _ in range(15):
        chosen.append(int(np.argmax(model.suggest().values[:, 0])))
        model.ingest(chosen[-1], [truth[chosen[-1]]])
    assert truth[chosen[-5:]].mean() > truth.mean() + 2 * truth.std() / math.sqrt(5)


@pytest.mark.parametrize(
    ("objectives", "options", "message"),
    [
        (["quality"], {"seed": -1}, "seed"),
        ([], {}, "objectives"),
        ([TIME], {}, r"must give .*'time_s'"),
        (["quality"], {"deterministic": {"quality": SECONDS}}, "not modelled"),
        ([TIME], {"deterministic": {"time_s": SECONDS[1:]}}, "one value per configuration"),
        ([Objective("q", "", "maximise", (1, 1))], {}, "range must increase"),
    ],
)
def test_bad_settings_are_refused(objectives, options, message):
    with pytest.raises(ValueError, match=message):
        BoTorchTS(SPACE, objectives, **{"seed": 0, **options})


def test_bad_observations_change_nothing(told):
    for index, values, error in [
        (20, (0, 0, 0), IndexError),
        (-1, (0, 0, 0), IndexError),
        (0, (0, 0), ValueError),
        (0, (math.inf, 0, 0), ValueError),
        (0, {"quality": 1}, ValueError),
    ]:
        with pytest.raises(error):
            told.ingest(index, values)
    assert told.iteration == len(HISTORY)


def test_a_missing_botorch_is_said_with_its_remedy(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"pip install 'stedopt-bluesky\[botorch\]'"):
        BoTorchTS(SPACE, ["quality"], 0)
