"""What a decision costs: learn one image, draw the cloud, choose; for two objectives.

Images lie at random configurations of a grid of three parameters. The peers condition on
all images with fixed hyper-parameters and a bandwidth of 0.2 of each range, and draw one
function per objective over the grid. So does our row of that bandwidth; the two others are
the strategy as it is used, adapting itself while it learns, at the paper's rule of thumb.
Each cell runs in a process of its own, with a limit of memory and of processor time, on one
thread.

``python -m tests.benchmarks.decision_speed [--methods ...] [--limit-s N]``
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

import numpy as np
import numpy.typing as npt

from stedopt_bluesky.bandit import KernelTS
from stedopt_bluesky.bandit.fit import Design
from stedopt_bluesky.bandit.kernel_regression import KernelRegression
from stedopt_bluesky.bandit.thompson import Adaptation
from stedopt_bluesky.parameters import Parameter, ParameterSpace
from tests.benchmarks.problems import utility
from tests.benchmarks.trials import one_thread

FloatArray = npt.NDArray[np.float64]

SIZES = (
    ((8, 8, 12), 100),
    ((8, 8, 12), 10_000),
    ((20, 20, 25), 100),
    ((40, 50, 50), 1_000),
    ((100, 100, 100), 1_000),
    ((100, 100, 100), 10_000),
)
PAPER = SIZES[0]
OBJECTIVES = 2
NOISE = 0.1
SHORT_BANDWIDTH = 0.2
# A thousand features are fitted in some 30 ms: ten thousand images of two objectives would
# take ten minutes to learn one by one.
EACH_FITTED_UP_TO = 100
# Decisions that are timed: many when they take milliseconds, one when they take seconds.
DECISIONS = 15
ENOUGH_S = 5.0
# Of a cell, learning the images one by one included.
LIMIT_S = 120.0
LIMIT_BYTES = 12 * 2**30
MIB = 2**20

Decide = Callable[[int, FloatArray], int]


def grid(shape: tuple[int, ...]) -> ParameterSpace:
    """Evenly spaced parameters from 0 to 1."""
    return ParameterSpace([Parameter.linear(f"p{i}", "", 0, 1, n) for i, n in enumerate(shape)])


def measurements(space: ParameterSpace, count: int) -> tuple[npt.NDArray[np.intp], FloatArray]:
    """Random configurations, and noisy values of smooth functions there, (count, M)."""
    rng = np.random.default_rng(0)
    indices = rng.integers(0, space.size, count)
    angles = space.grid[indices].sum(axis=1)
    exact = np.stack([np.sin(angles), np.cos(angles)], axis=1)
    return indices, exact + NOISE * rng.normal(size=exact.shape)


# --- the methods: each conditions on images and returns how it decides --------------------


def empirical_bayes(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Kernel TS as it is by default."""
    return _deciding(_learned(_kernel_ts(space, "empirical_bayes"), indices, values))


def published(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Kernel TS with the published noise bounds."""
    return _published(space, indices, values, None)


def published_short(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Kernel TS with the published noise bounds at the short bandwidth."""
    return _published(space, indices, values, SHORT_BANDWIDTH)


def _published(
    space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray, bandwidth: float | None
) -> Decide:
    strategy = _kernel_ts(space, "published", bandwidth)
    learned = _learned if len(values) <= EACH_FITTED_UP_TO else _learned_at_once
    return _deciding(learned(strategy, indices, values))


def _kernel_ts(
    space: ParameterSpace, adaptation: Adaptation, bandwidth: float | None = None
) -> KernelTS:
    names = [f"y{j}" for j in range(OBJECTIVES)]
    return KernelTS(space, names, 0, bandwidth, adaptation=adaptation)


def _learned(strategy: KernelTS, indices: npt.ArrayLike, values: FloatArray) -> KernelTS:
    for index, value in zip(np.asarray(indices), values, strict=True):
        strategy.ingest(int(index), value)
    return strategy


def _learned_at_once(strategy: KernelTS, indices: npt.ArrayLike, values: FloatArray) -> KernelTS:
    """Learn the images without the fits between them, which are not timed but take minutes.

    A decision costs what its number of sites and features asks for, however they came about;
    the noise bounds catch up with the first image that is ingested then, which is not timed.
    """
    for model, column in zip(strategy.models.values(), values.T, strict=True):
        assert isinstance(model, KernelRegression)
        for index, value in zip(np.asarray(indices), column, strict=True):
            model._observed.add(int(index), value)
        model._design = Design(model._design.basis, model._observed.seen)
    return strategy


def _deciding(strategy: KernelTS) -> Decide:
    def decide(index: int, value: FloatArray) -> int:
        strategy.ingest(index, value)
        return int(utility(strategy.suggest().values).argmax())

    return decide


def scikit_learn(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Dense sampling, as the program published with the paper does."""
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF

    def sample(x: FloatArray, y: FloatArray) -> FloatArray:
        process = GaussianProcessRegressor(
            RBF(SHORT_BANDWIDTH, "fixed"), alpha=NOISE**2, optimizer=None
        )
        return process.fit(x, y).sample_y(space.grid, random_state=0)[:, 0]

    return _conditioning_anew(space, indices, values, sample)


def gpytorch_exact(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Exact posterior of a GPyTorch model over the whole grid."""
    import torch

    at = torch.tensor(space.grid)

    def sample(x: FloatArray, y: FloatArray) -> FloatArray:
        model = _botorch_model(x, y)
        with torch.no_grad():
            return model.posterior(at).rsample(torch.Size([1]))[0, :, 0].numpy()

    return _conditioning_anew(space, indices, values, sample)


def botorch_pathwise(space: ParameterSpace, indices: npt.ArrayLike, values: FloatArray) -> Decide:
    """Pathwise sampling by random Fourier features and Matheron's rule (approximate)."""
    import torch
    from botorch.sampling.pathwise import draw_matheron_paths

    chunks = torch.tensor(space.grid).split(10_000)

    def sample(x: FloatArray, y: FloatArray) -> FloatArray:
        paths = draw_matheron_paths(_botorch_model(x, y), torch.Size([1]))
        with torch.no_grad():
            return torch.cat([paths(part)[0] for part in chunks]).numpy()

    return _conditioning_anew(space, indices, values, sample)


def _botorch_model(x: FloatArray, y: FloatArray) -> object:
    import torch
    from botorch.models import SingleTaskGP
    from gpytorch.kernels import RBFKernel

    torch.set_num_threads(1)
    kernel = RBFKernel()
    kernel.lengthscale = SHORT_BANDWIDTH
    noise = torch.full((len(y), 1), NOISE**2, dtype=torch.float64)
    model = SingleTaskGP(
        torch.tensor(x), torch.tensor(y)[:, None], noise, covar_module=kernel,
        outcome_transform=None,
    )  # fmt: skip
    return model.eval()


def _conditioning_anew(
    space: ParameterSpace,
    indices: npt.ArrayLike,
    values: FloatArray,
    sample: Callable[[FloatArray, FloatArray], FloatArray],
) -> Decide:
    rows, table = list(np.asarray(indices)), list(values)

    def decide(index: int, value: FloatArray) -> int:
        rows.append(index)
        table.append(value)
        x, y = space.grid[rows], np.array(table)
        return int(utility(np.stack([sample(x, c) for c in y.T], axis=1)).argmax())

    return decide


Condition = Callable[[ParameterSpace, npt.ArrayLike, FloatArray], Decide]
OURS = "Kernel TS, empirical Bayes"
PUBLISHED = "Kernel TS, published"
SHORT = "Kernel TS, 0.2 of the range"
DENSE = "scikit-learn `sample_y`"
METHODS: Mapping[str, Condition] = {
    OURS: empirical_bayes,
    PUBLISHED: published,
    SHORT: published_short,
    DENSE: scikit_learn,
    "GPyTorch exact": gpytorch_exact,
    "BoTorch pathwise": botorch_pathwise,
}
OWN = (OURS, PUBLISHED, SHORT)


# --- one cell, in a process of its own -----------------------------------------------------


def measure(method: str, shape: tuple[int, ...], images: int) -> dict[str, float]:
    """Median and largest time of a decision after some images, ms; peak memory, MiB.

    The largest is that of an image with which hyper-parameters are fitted anew. The first
    decision is not timed when there is time for more: it fills caches.
    """
    space = grid(shape)
    indices, values = measurements(space, images + DECISIONS + 1)
    decide = METHODS[method](space, indices[:images], values[:images])
    times: list[float] = []
    begun = perf_counter()
    for index, value in zip(indices[images:], values[images:], strict=True):
        start = perf_counter()
        decide(int(index), value)
        times.append(perf_counter() - start)
        if perf_counter() - begun > ENOUGH_S:
            break
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    timed = 1e3 * np.array(times[1:] or times)
    return {
        "ms": float(np.median(timed)),
        "largest": float(timed.max()),
        "mib": kibibytes * 1024 / MIB,
    }


def cell(method: str, size: tuple[tuple[int, ...], int], limit_s: float) -> dict[str, float] | str:
    """Measure in a process of its own; what stopped it where it could not end."""
    shape, images = size
    command = [
        sys.executable, "-m", "tests.benchmarks.decision_speed",
        "--cell", json.dumps([method, shape, images]), "--limit-s", str(limit_s),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return json.loads(done.stdout)
    if done.returncode == -signal.SIGXCPU:
        return "too slow"
    # A negative number is the signal that ended it, as the system's own lack of memory does.
    if "MemoryError" in done.stderr or "allocate" in done.stderr or done.returncode < 0:
        return "out of memory"
    print(f"{method} on {shape} with {images} images:\n{done.stderr}", file=sys.stderr)
    return "failed"


def _run_cell(text: str, limit_s: float) -> None:
    whole_s = math.ceil(limit_s)
    resource.setrlimit(resource.RLIMIT_CPU, (whole_s, whole_s + 1))
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    method, shape, images = json.loads(text)
    print(json.dumps(measure(method, tuple(shape), images)))


# --- the table -------------------------------------------------------------------------------


def text(result: dict[str, float] | str) -> str:
    """Median / largest (memory) of a cell."""
    if isinstance(result, str):
        return result
    return f"{result['ms']:.3g} / {result['largest']:.3g} ({result['mib']:.0f})"


def main(
    methods: Sequence[str] = tuple(METHODS),
    limit_s: float = LIMIT_S,
    most: int = max(math.prod(shape) * images for shape, images in SIZES),
) -> None:
    """Measure the cells of at most so many configurations times images; print the table."""
    one_thread()
    print(f"Time of a decision with {OBJECTIVES} objectives, ms: median / largest of")
    print(f"{DECISIONS}; in brackets the peak memory of the process, MiB. A cell may take")
    print(f"{LIMIT_BYTES / 2**30:g} GiB and {limit_s:g} s of processor time in all.\n")
    print("| configurations / images | " + " | ".join(methods) + " |")
    print("|---|" + "---|" * len(methods))
    papers: dict[str, float] = {}
    for size in SIZES:
        shape, images = size
        if math.prod(shape) * images > most:
            continue
        results = [cell(m, size, limit_s) for m in methods]
        if size == PAPER:
            papers = {
                m: r["ms"] for m, r in zip(methods, results, strict=True) if isinstance(r, dict)
            }
        size_text = f"{math.prod(shape):,} / {images:,}"
        print(f"| {size_text} | {' | '.join(map(text, results))} |", flush=True)
    print()
    for name in OWN:
        if {name, DENSE} <= set(papers):
            ratio = papers[DENSE] / papers[name]
            print(f"At the paper's size, {DENSE} takes {ratio:.0f} times as long as {name}.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=tuple(METHODS))
    parser.add_argument("--limit-s", type=float, default=LIMIT_S, help="of a cell")
    parser.add_argument("--cell", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.cell:
        _run_cell(arguments.cell, arguments.limit_s)
    else:
        main(arguments.methods, arguments.limit_s)
