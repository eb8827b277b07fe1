"""OMTMultivariateNormal: samples as the normal's, gradients by another way that agree in the mean."""

from __future__ import annotations

import torch

import pyroxene.distributions as dist
from pyroxene.distributions.families.omt_normal import OMTMultivariateNormal

F64 = torch.float64
TRIL = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.3, 0.2, 0.6]], dtype=F64)
LOC = torch.tensor([0.1, -0.2, 0.3], dtype=F64)


def test_samples_are_those_of_the_normal():
    torch.manual_seed(0)
    sample = OMTMultivariateNormal(LOC, TRIL).rsample((4,))
    torch.manual_seed(0)
    torch.testing.assert_close(sample, dist.MultivariateNormal(LOC, scale_tril=TRIL).rsample((4,)))


def test_gradients_are_unbiased():
    """E[exp(d.x)] = exp(d.loc + |L^T d|^2 / 2) has the gradient d (L^T d)^T times itself in L; 50 means, 7.5 errors."""
    direction = torch.tensor([0.4, -0.3, 0.5], dtype=F64)
    loc, tril = LOC.clone().requires_grad_(), TRIL.clone().requires_grad_()
    exact = torch.exp((direction * loc).sum() + 0.5 * (tril.mT @ direction).square().sum())
    expected = [g.tril() for g in torch.autograd.grad(exact, [loc, tril])[1:]]
    torch.manual_seed(0)
    draws = []
    for _ in range(50):
        value = OMTMultivariateNormal(loc, tril).rsample((2000,))
        draws.append(torch.autograd.grad(torch.exp(value @ direction).mean(), [loc, tril])[1])
    stacked = torch.stack(draws)
    error = (stacked.mean(0) - expected[0]).abs()
    assert (error <= 7.5 * stacked.std(0) / 50**0.5 + 1e-12).all()


def test_the_velocity_field_is_symmetric():
    """For one sample the gradient of z in the direction dL is S y with S C + C S = dC."""
    torch.manual_seed(0)
    tril = TRIL.clone().requires_grad_()
    z = OMTMultivariateNormal(torch.zeros(3, dtype=F64), tril).rsample()
    jacobian = torch.stack([torch.autograd.grad(z[i], tril, retain_graph=True)[0] for i in range(3)])
    change = torch.randn(3, 3, dtype=F64).tril()
    velocity = (jacobian * change).sum((-1, -2))
    covariance, moved = TRIL @ TRIL.T, change @ TRIL.T + TRIL @ change.T
    eye = torch.eye(3, dtype=F64)
    system = torch.kron(covariance, eye) + torch.kron(eye, covariance)
    symmetric = torch.linalg.solve(system, moved.flatten()).reshape(3, 3)
    torch.testing.assert_close(velocity, symmetric @ z.detach())


def test_batches():
    tril = TRIL.expand(4, 3, 3).clone().requires_grad_()
    d = OMTMultivariateNormal(torch.zeros(2, 4, 3, dtype=F64), tril)
    sample = d.expand((5, 2, 4)).rsample((6,))
    assert sample.shape == (6, 5, 2, 4, 3) and type(d.expand((5, 2, 4))) is OMTMultivariateNormal
    assert torch.autograd.grad(sample.square().sum(), tril)[0].shape == (4, 3, 3)
