"""What a decision costs: update, cloud of options, choice, in ms for one objective.

The images lie at random configurations, the dearest case for the noise bounds, whose
update visits each distinct configuration. scikit-learn does the same at the paper's size:
condition on 100 images, draw one function over 768 configurations, take the largest.

Run with ``OMP_NUM_THREADS=1 python -m tests.benchmarks.decision_speed``.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from time import perf_counter

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel

from stedopt_bluesky.bandit import KernelTS
from stedopt_bluesky.bandit.kernel_regression import rule_of_thumb
from stedopt_bluesky.parameters import Parameter, ParameterSpace

GRIDS = ((8, 8, 12), (16, 20, 24), (40, 50, 50))
IMAGES = (10, 100, 1000)
REPEATS = 15
PAPER = (GRIDS[0], 100)


def median_ms(function: Callable[[], object]) -> float:
    """Median time of a call, in ms, after one that fills the caches."""
    function()
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    return 1e3 * statistics.median(times)


def grid(shape: tuple[int, ...]) -> ParameterSpace:
    """Three evenly spaced parameters."""
    return ParameterSpace([Parameter.linear(f"p{i}", "", 0, 1, n) for i, n in enumerate(shape)])


def measurements(space: ParameterSpace, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Random configurations and noisy values of a smooth function there."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, space.size, count)
    return indices, np.sin(space.grid[indices].sum(axis=1)) + 0.1 * rng.normal(size=count)


def kernel_ts_ms(shape: tuple[int, ...], count: int) -> float:
    """One decision after ``count`` images."""
    space = grid(shape)
    model = KernelTS(space, ["quality"], seed=0)
    indices, values = measurements(space, count + REPEATS + 1)
    for index, value in zip(indices[:count], values[:count], strict=True):
        model.ingest(index, [value])
    further = iter(zip(indices[count:], values[count:], strict=True))

    def decide() -> int:
        index, value = next(further)
        model.ingest(index, [value])
        return int(model.suggest().values[:, 0].argmax())

    return median_ms(decide)


def scikit_learn_ms(shape: tuple[int, ...], count: int) -> float:
    """The same decision by a dense Gaussian process of the same kernel and noise."""
    space = grid(shape)
    indices, values = measurements(space, count)
    kernel = ConstantKernel(25.0, "fixed") * RBF(rule_of_thumb(space), "fixed")
    process = GaussianProcessRegressor(kernel, alpha=0.3**2, optimizer=None)

    def decide() -> int:
        process.fit(space.grid[indices], values - values.mean())
        return int(process.sample_y(space.grid, random_state=0).argmax())

    return median_ms(decide)


def main() -> None:
    """Print the table."""
    cells = {(shape, count): kernel_ts_ms(shape, count) for shape in GRIDS for count in IMAGES}
    dense = scikit_learn_ms(*PAPER)
    print("| configurations | " + " | ".join(f"{t} images (ms)" for t in IMAGES) + " |")
    print("|---|" + "---|" * len(IMAGES))
    for shape in GRIDS:
        row = " | ".join(f"{cells[shape, t]:.2f}" for t in IMAGES)
        print(f"| {' × '.join(map(str, shape))} = {np.prod(shape)} | {row} |")
    ratio = dense / cells[PAPER]
    blank = ["–"] * len(IMAGES)
    blank[IMAGES.index(PAPER[1])] = f"{dense:.1f} ({ratio:.0f} times as long)"
    print(f"| scikit-learn `sample_y`, {np.prod(PAPER[0])} | {' | '.join(blank)} |")


if __name__ == "__main__":
    main()
