"""Mixtures of diagonal normals: density, moments, and pathwise gradients against the exact ones."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as torchdist

from pyroxene.distributions.families.diagonal_mixtures import (
    GaussianScaleMixture,
    MixtureOfDiagNormals,
    MixtureOfDiagNormalsSharedCovariance,
)
from pyroxene.errors import ShapeError

F64 = torch.float64
DIRECTION = torch.tensor([1.0, -0.5, 0.3], dtype=F64)


def parameters(cls):
    generator = torch.Generator().manual_seed(5)
    locs = torch.randn(4, 3, dtype=F64, generator=generator) * 1.5
    scales = torch.rand(4, 3, dtype=F64, generator=generator) + 0.4
    logits = torch.randn(4, dtype=F64, generator=generator)
    if cls is MixtureOfDiagNormals:
        return [locs, scales, logits]
    if cls is MixtureOfDiagNormalsSharedCovariance:
        return [locs, scales[0], logits]
    return [scales[0], logits, scales[:, 0]]


def components(cls, first, second, third):
    """Locations, scales and logits of the components."""
    if cls is GaussianScaleMixture:
        scales = third.unsqueeze(-1) * first
        return torch.zeros_like(scales), scales, second
    return first, second.expand(first.shape), third


def reference(cls, values):
    locs, scales, logits = components(cls, *values)
    normal = torchdist.Independent(torchdist.Normal(locs, scales), 1)
    return torchdist.MixtureSameFamily(torchdist.Categorical(logits=logits), normal)


ALL = pytest.mark.parametrize("cls", [MixtureOfDiagNormals, MixtureOfDiagNormalsSharedCovariance, GaussianScaleMixture])


@ALL
def test_density_and_moments_are_those_of_torchs_mixture(cls):
    torch.manual_seed(0)
    d, expected = cls(*parameters(cls)), reference(cls, parameters(cls))
    value = torch.randn(7, 3, dtype=F64) * 3
    torch.testing.assert_close(d.log_prob(value), expected.log_prob(value), rtol=1e-12, atol=0)
    torch.testing.assert_close(d.mean, expected.mean)
    torch.testing.assert_close(d.variance, expected.variance)


@ALL
def test_samples_have_the_moments(cls):
    torch.manual_seed(0)
    d = cls(*parameters(cls))
    sample = d.sample((40000,))
    assert ((sample.mean(0) - d.mean) / (d.variance / 40000).sqrt()).abs().max() < 5.5  # 3 entries: 1e-7
    torch.testing.assert_close(sample.var(0), d.variance, rtol=0.08, atol=0)  # a relative error of at most 1.5 percent


@ALL
def test_pathwise_gradients_are_unbiased(cls):
    """E[cos(d.x)] and E[x_0 x_1] under a mixture are closed, and so are their gradients."""
    leaves = [p.clone().requires_grad_() for p in parameters(cls)]
    locs, scales, logits = components(cls, *leaves)
    weights = torch.softmax(logits, -1)
    damping = torch.exp(-0.5 * (scales * DIRECTION).square().sum(-1))
    exact = (weights * (torch.cos((locs * DIRECTION).sum(-1)) * damping + locs[:, 0] * locs[:, 1])).sum()
    expected = torch.autograd.grad(exact, leaves)
    torch.manual_seed(1)
    estimates = []
    for _ in range(50):
        value = cls(*leaves).rsample((2000,))
        estimate = (torch.cos((value * DIRECTION).sum(-1)) + value[:, 0] * value[:, 1]).mean()
        estimates.append(torch.autograd.grad(estimate, leaves))
    for place, gradient in enumerate(expected):
        draws = torch.stack([each[place] for each in estimates])
        error = (draws.mean(0) - gradient).abs() / (draws.std(0) / 50**0.5)
        assert error.max() < 7.5  # t with 49 degrees of freedom, 30 entries: 5e-8


@ALL
def test_batches_expand_and_carry_gradients(cls):
    stacked = [torch.stack([p, p + 0.1]).requires_grad_() for p in parameters(cls)]
    d = cls(*stacked)
    assert d.batch_shape == (2,) and d.event_shape == (3,)
    sample = d.expand((5, 2)).rsample((4,))
    assert sample.shape == (4, 5, 2, 3)
    assert all(g.isfinite().all() and g.abs().sum() > 0 for g in torch.autograd.grad(sample.square().sum(), stacked))
    assert not d.sample().requires_grad


@ALL
def test_one_coordinate_and_equal_components(cls):
    size = [p[..., :1] if p.shape[-1] == 3 else p for p in parameters(cls)]
    leaves = [p.clone().requires_grad_() for p in size]
    gradients = torch.autograd.grad(cls(*leaves).rsample((50,)).square().sum(), leaves)
    assert all(g.isfinite().all() for g in gradients)
    equal = [torch.ones_like(p).requires_grad_() for p in parameters(cls)]
    torch.manual_seed(0)
    *_, logits = gradients = torch.autograd.grad(cls(*equal).rsample((50,)).square().sum(), equal)
    logits = gradients[1] if cls is GaussianScaleMixture else logits
    assert logits.abs().max() < 1e-12  # no mass moves between components that are alike


def test_mistakes():
    with pytest.raises(ShapeError, match="does not fit"):
        MixtureOfDiagNormals(torch.zeros(4, 3), torch.ones(4, 2), torch.zeros(4))
    with pytest.raises(ShapeError, match="row for each component"):
        MixtureOfDiagNormalsSharedCovariance(torch.zeros(3), torch.ones(3), torch.zeros(4))
    with pytest.raises(ShapeError, match="needs a scale"):
        GaussianScaleMixture(torch.ones(3), torch.tensor(0.0), torch.ones(2))
