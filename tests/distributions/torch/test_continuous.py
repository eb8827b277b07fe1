"""What distributions of one real number do otherwise than torch."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene.distributions import constraints
from pyroxene.errors import UsageError


def conjugates():
    a, b, c, e = torch.rand(4, 2, 3, dtype=torch.float64) + 1.5
    return [
        (dist.Beta(a, b), dist.Beta(c, e), torch.rand(5, 2, 3, dtype=torch.float64)),
        (dist.Gamma(a, b), dist.Gamma(c, e), torch.rand(5, 2, 3, dtype=torch.float64)),
        (dist.Dirichlet(a), dist.Dirichlet(c), torch.rand(5, 2, 3, dtype=torch.float64).softmax(-1)),
        (dist.Beta(a, b).to_event(1), dist.Beta(c, e).to_event(1), torch.rand(5, 2, 3, dtype=torch.float64)),
        (dist.Beta(a, b).mask(True), dist.Beta(c, e), torch.rand(5, 2, 3, dtype=torch.float64)),
        (
            dist.ExpandedDistribution(dist.Beta(a[:1], b[:1]), (2, 3)),
            dist.Beta(c[:1], e[:1]),
            torch.rand(5, 2, 3, dtype=torch.float64),
        ),
    ]


@pytest.mark.parametrize("which", range(6))
def test_conjugate_update_multiplies_densities(which):
    torch.manual_seed(0)
    prior, likelihood, value = conjugates()[which]
    posterior, log_normalizer = prior.conjugate_update(likelihood)
    assert posterior.batch_shape == prior.batch_shape and posterior.event_shape == prior.event_shape
    torch.testing.assert_close(
        prior.log_prob(value) + likelihood.log_prob(value), posterior.log_prob(value) + log_normalizer
    )


def test_conjugate_update_of_a_masked_distribution_counts_what_the_mask_keeps():
    mask = torch.tensor([True, False])
    prior, likelihood = dist.Gamma(torch.ones(2), torch.ones(2)), dist.Gamma(torch.ones(2) * 2, torch.ones(2) * 3)
    posterior, log_normalizer = prior.mask(mask).conjugate_update(likelihood)
    full, full_normalizer = prior.conjugate_update(likelihood)
    value = torch.tensor([0.5, 0.7])
    assert torch.equal(posterior.log_prob(value), torch.where(mask, full.log_prob(value), 0.0))
    assert torch.equal(log_normalizer, torch.where(mask, full_normalizer, 0.0))


def test_conjugate_update_refuses_another_family():
    with pytest.raises(UsageError, match="Beta is not conjugate to Gamma"):
        dist.Beta(1.0, 1.0).conjugate_update(dist.Gamma(1.0, 1.0))
    with pytest.raises(NotImplementedError, match="Normal does not support"):
        dist.Normal(0.0, 1.0).conjugate_update(dist.Normal(0.0, 1.0))


def test_uniform_keeps_its_ends_as_given():
    low = torch.tensor([0.0, 1.0])
    for d in [dist.Uniform(low, 3.0), dist.Uniform(low, 3.0).expand((4, 2))]:
        assert d.support.lower_bound is low and d.support.upper_bound == 3.0
    assert dist.Uniform.infer_shapes(low=(2, 1), high=(3,)) == ((2, 3), ())
    outside = torch.tensor([-1.0, 0.0, 0.5, 1.0, 2.0])
    expected = torch.tensor([-torch.inf, 0.0, 0.0, -torch.inf, -torch.inf])
    assert torch.equal(dist.Uniform(0.0, 1.0, validate_args=False).log_prob(outside), expected)


def test_half_cauchy_below_zero():
    value = torch.tensor([-1.0, 0.0, 2.0])
    scale = torch.ones(3, requires_grad=True)
    log_prob = dist.HalfCauchy(scale, validate_args=False).log_prob(value)
    assert log_prob[0] == -torch.inf and log_prob[1:].isfinite().all()
    assert torch.autograd.grad(log_prob[1:].sum(), scale)[0].isfinite().all()


@pytest.mark.parametrize("validate", [True, False, None])
def test_normal_checks_and_draws_as_torch_does(validate):
    for loc, scale in [
        (0.0, 1.0),
        (torch.zeros(2), torch.ones(2)),
        (torch.zeros(3, 1), torch.ones(2)),
        (0.0, torch.ones(2)),
    ]:
        ours, torchs = dist.Normal(loc, scale, validate_args=validate), torchdist.Normal(loc, scale, validate)
        assert ours.batch_shape == torchs.batch_shape and ours._validate_args == torchs._validate_args
        assert repr(ours) == repr(torchs)
        value = torch.randn(4, *ours.batch_shape)
        torch.testing.assert_close(ours.log_prob(value), torchs.log_prob(value))
    if validate is not False:
        for loc, scale in [(torch.zeros(2), torch.tensor([1.0, 0.0])), (torch.tensor([torch.nan, 0.0]), torch.ones(2))]:
            with pytest.raises(ValueError, match=r"Expected parameter (loc|scale)"):
                dist.Normal(loc, scale, validate_args=validate)
        with pytest.raises(ValueError, match="within the support"):
            dist.Normal(torch.zeros(2), torch.ones(2), validate_args=validate).log_prob(torch.full((2,), torch.nan))


def test_normal_density_in_mixed_precision_and_far_out():
    d = dist.Normal(torch.zeros(3), torch.tensor([1e-20, 1.0, 1e20]), validate_args=False)
    value = torch.tensor([1e-20, 1e3, -1e20], dtype=torch.float64)
    assert d.log_prob(value).dtype == torch.float64
    torch.testing.assert_close(
        d.log_prob(value), torchdist.Normal(d.loc.double(), d.scale.double()).log_prob(value), rtol=1e-6, atol=1e-6
    )
    assert d.log_prob(value.float()).isfinite().all()  # a square of the scale would underflow


def test_a_subclass_of_normal_keeps_its_own_checks():
    class Small(dist.Normal):
        arg_constraints = {"loc": constraints.real, "scale": constraints.interval(0.0, 1.0)}

    with pytest.raises(ValueError, match="scale"):
        Small(torch.zeros(2), torch.full((2,), 2.0))
    assert type(Small(torch.zeros(2), torch.full((2,), 0.5)).expand((3, 2))) is Small
