"""What warm-up costs, counted in gradients, and how vectors lie in memory: faults that were there, held away."""

from __future__ import annotations

import ctypes

import numpy
import pytest
import torch

from pyroxene.infer.mcmc.chains import SamplerOptions, run_chains
from tests.infer.mcmc.densities import correlated, normal


def warmup_gradients(density, start: torch.Tensor, num_warmup: int, metric="auto") -> float:
    """Return the gradients of one chain's warm-up, and those of its first 100 draws, over 8 chains."""
    chains = run_chains(
        density, start.expand(8, -1), SamplerOptions(metric=metric), num_warmup=num_warmup, num_draws=100, seed=5
    )
    return sum(chain.sampler.leapfrogs for chain in chains) / len(chains)


@pytest.mark.parametrize("dim", [3, 30])
def test_a_start_at_the_mode_costs_what_others_cost(dim):
    """No slope tells the scale: the first metric was 1e10 wide, and the step size found its way slowly."""
    density = normal(numpy.diag(10.0 ** numpy.linspace(-2.0, 2.0, dim)), native=True)
    beside = warmup_gradients(density, torch.ones(dim, dtype=torch.float64), 300)
    for size in (0.0, 1e-12):
        assert warmup_gradients(density, torch.full((dim,), size, dtype=torch.float64), 300) < 1.15 * beside


@pytest.mark.parametrize("metric", ["dense", ("block", [list(range(12))]), ("arrowhead", 3)])
def test_metrics_with_covariances_serve_after_few_draws(metric):
    """A covariance of five draws in 12 dimensions has eigenvalues near zero, and trajectories are a thousand steps."""
    density = normal(correlated(12, 0.9, 100.0), native=True)
    start = torch.ones(12, dtype=torch.float64)
    assert warmup_gradients(density, start, 40, metric) < 1.3 * warmup_gradients(density, start, 40)


@pytest.mark.parametrize("dim", [1, 3, 10])
def test_what_a_density_in_c_is_given_is_aligned(dim):
    """To 32 bytes, so that emitted loops over four doubles need no other form."""
    seen: set[int] = set()
    kind = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

    @kind
    def standard_normal(position, gradient, context):
        seen.update((position % 32, gradient % 32))
        z = (ctypes.c_double * dim).from_address(position)
        slope = (ctypes.c_double * dim).from_address(gradient)
        for index in range(dim):
            slope[index] = -z[index]
        return -0.5 * sum(value * value for value in z)

    class Function:
        address = ctypes.cast(standard_normal, ctypes.c_void_p).value

        def new_context(self) -> None:
            return None

    density = normal(numpy.eye(dim))
    density.native_function = Function
    (chain,) = run_chains(
        density, torch.ones(1, dim, dtype=torch.float64), SamplerOptions(), num_warmup=20, num_draws=20, seed=1
    )
    assert seen == {0} and chain.draws.positions.shape == (20, dim)
