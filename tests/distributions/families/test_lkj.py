"""LKJ beyond the contract: its normaliser, its marginals, its place in a plate."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import torch

import pyroxene
from pyroxene.distributions.families.lkj import LKJ
from pyroxene.errors import ParameterError

F64 = torch.float64


def test_density_of_two_dimensions_is_a_beta_density():
    r = torch.linspace(-0.999, 0.999, 21, dtype=F64)
    matrix = torch.stack([torch.stack([torch.ones_like(r), r], -1), torch.stack([r, torch.ones_like(r)], -1)], -2)
    for eta in (0.3, 1.0, 4.0):
        expected = scipy.stats.beta(eta, eta).logpdf((r + 1) / 2) - math.log(2)
        torch.testing.assert_close(LKJ(2, torch.tensor(eta, dtype=F64)).log_prob(matrix), torch.as_tensor(expected))


def test_volume_of_three_dimensions():
    """The correlation matrices of three variables have volume pi^2 / 2."""
    d = LKJ(3, torch.tensor(1.0, dtype=F64))
    torch.testing.assert_close(d.log_prob(torch.eye(3, dtype=F64)), -torch.tensor(math.pi**2 / 2, dtype=F64).log())


@pytest.mark.parametrize("dim", [2, 4, 7])
def test_density_is_that_of_the_factor_with_the_jacobian(dim):
    torch.manual_seed(0)
    d = LKJ(dim, torch.tensor([0.5, 2.0], dtype=F64))
    matrix = d.sample((3,))
    factor = torch.linalg.cholesky(matrix)
    power = torch.arange(dim - 1, -1, -1, dtype=F64)
    expected = d.base_dist.log_prob(factor) - (factor.diagonal(dim1=-2, dim2=-1).log() * power).sum(-1)
    torch.testing.assert_close(d.log_prob(matrix), expected)


def test_all_correlations_have_the_stated_variance():
    torch.manual_seed(0)
    d = LKJ(5, torch.tensor(2.0, dtype=F64))
    sample = d.sample((20000,))
    assert d.support.check(sample).all()
    off = np.tril_indices(5, -1)
    variance = sample.var(0)[off]
    assert (variance - 0.125).abs().max() < 0.007  # a standard error of 0.0011, 10 entries, 6 of them
    torch.testing.assert_close(d.variance[off], torch.full((10,), 0.125, dtype=F64))
    assert torch.equal(d.mean, torch.eye(5, dtype=F64))


def test_it_stands_in_a_plate_and_expands():
    def model():
        with pyroxene.plate("groups", 4):
            return pyroxene.sample("correlations", LKJ(3, 2.0))

    torch.manual_seed(0)
    value = model()
    assert value.shape == (4, 3, 3) and not torch.equal(value[0], value[1])
    expanded = LKJ(3, torch.tensor([1.0, 2.0])).expand((4, 2))
    assert type(expanded) is LKJ and expanded.concentration.shape == (4, 2)


def test_mistakes():
    with pytest.raises(ParameterError):
        LKJ(1)
    with pytest.raises(ParameterError):
        LKJ(3, -1.0)
