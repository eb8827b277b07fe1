"""Unit beyond the contract."""

from __future__ import annotations

import pytest
import torch

import pyroxene.distributions as dist
from pyroxene.errors import ParameterError


def test_values_are_empty_and_the_density_is_the_factor():
    factor = torch.randn(2, dtype=torch.float64, requires_grad=True)
    d = dist.Unit(factor)
    assert d().shape == (2, 0) and d().dtype == torch.float64
    assert d.log_prob(d()) is factor
    assert torch.equal(d.log_prob(d((3,))), factor.expand(3, 2))
    assert dist.Unit(1.5).log_prob(torch.empty(0)) == 1.5


@pytest.mark.parametrize("has_rsample", [None, False, True])
def test_has_rsample_is_kept(has_rsample):
    d = dist.Unit(torch.zeros(2), has_rsample=has_rsample)
    assert d.has_rsample is bool(has_rsample) and d.expand((3, 2)).has_rsample is bool(has_rsample)
    parts = d.score_parts(d())
    assert (parts.entropy_term if has_rsample else parts.score_function) is parts.log_prob


def test_a_factor_that_is_nan_is_refused():
    with pytest.raises(ParameterError, match="log_factor"):
        dist.Unit(torch.tensor(torch.nan))
    dist.Unit(torch.tensor(torch.nan), validate_args=False)
