"""One BLAS thread, random parameter spaces, and the dense formula that fits must equal."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from stedopt_bluesky.parameters import Parameter, ParameterSpace

# Values of a parameter at most, by the number of parameters: dense oracles take G² numbers.
MOST_VALUES = {1: 12, 2: 8, 3: 5, 4: 3, 5: 3}


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread() -> Iterator[None]:
    """Fits this small lose time on more threads, and bits must not depend on them."""
    with threadpool_limits(limits=1):
        yield


@st.composite
def _spaces(draw):
    parameters = []
    dimensions = draw(st.integers(1, 5))
    for i in range(dimensions):
        count = draw(st.integers(1, MOST_VALUES[dimensions]))
        scale = draw(st.sampled_from([1e-3, 1.0, 300.0]))
        spacing = draw(st.sampled_from(["even", "uneven", "logarithmic"]))
        if spacing == "logarithmic":
            values = scale * np.geomspace(1, draw(st.sampled_from([10.0, 1000.0])), count)
        else:
            step = st.just(1.0) if spacing == "even" else st.floats(0.05, 1.0)
            steps = draw(st.lists(step, min_size=count - 1, max_size=count - 1))
            values = scale * (draw(st.floats(-5, 5)) + np.cumsum([0.0, *steps]))
        parameters.append(Parameter(f"p{i}", "", tuple(values)))
    return ParameterSpace(parameters)


@pytest.fixture(scope="session")
def spaces():
    """Strategy: one to five parameters of even, uneven or logarithmic values, or of one."""
    return _spaces()


def _product_kernel(a, b, bandwidths):
    exponent = np.zeros((len(a), len(b)), dtype=np.longdouble)
    for column, bandwidth in enumerate(bandwidths):
        difference = np.asarray(a, np.longdouble)[:, column, None] - b[:, column]
        exponent += (difference / np.longdouble(bandwidth)) ** 2
    return np.exp(-exponent / 2)


def _cholesky(matrix):
    factor = np.zeros_like(matrix)
    for j in range(len(matrix)):
        column = matrix[j:, j] - factor[j:, :j] @ factor[j, :j]
        factor[j:, j] = column / np.sqrt(column[0])
    return factor


def _forward(factor, right):
    solved = np.zeros_like(right)
    for j in range(len(factor)):
        solved[j] = (right[j] - factor[j, :j] @ solved[:j]) / factor[j, j]
    return solved


def _dense_posterior(
    grid, points, y, weights, bandwidths, deviation, noise, mean, mean_deviation=0.0
):
    """One row per observation, nothing collapsed, in extended precision."""

    def prior(a, b):
        return deviation**2 * _product_kernel(a, b, bandwidths) + mean_deviation**2

    right = np.column_stack([np.asarray(y, np.longdouble) - mean, prior(points, grid)])
    noisy = prior(points, points) + np.diag(np.longdouble(noise) ** 2 / weights)
    solved = _forward(_cholesky(noisy), right)
    covariance = prior(grid, grid) - solved[:, 1:].T @ solved[:, 1:]
    posterior = mean + solved[:, 1:].T @ solved[:, 0]
    return posterior.astype(np.float64), covariance.astype(np.float64)


@pytest.fixture(scope="session")
def dense_posterior():
    """Textbook's posterior mean and covariance on a grid, by a dense Cholesky factor."""
    return _dense_posterior
