"""Series and spatial priors: densities against dense normals and step-by-step recursions."""

from __future__ import annotations

import pytest
import torch
import torch.distributions as td

from pyroxene.distributions import MultivariateNormal, Normal
from pyroxene.distributions.families.euler_maruyama import EulerMaruyama
from pyroxene.distributions.families.garch import GARCH11
from pyroxene.distributions.families.gaussian_state_space import GaussianStateSpace
from pyroxene.distributions.families.linear_series import AR, GaussianRandomWalk
from pyroxene.distributions.families.spatial import CAR, ICAR
from pyroxene.errors import ParameterError

F64 = torch.float64
GRAPH = torch.tensor([[0, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 2], [0, 0, 2, 0]], dtype=F64)


def tensor(*values):
    return torch.tensor(values, dtype=F64)


def dense(d):
    """The normal with the moments of an affine map: Jacobian of the samples' recursion, found from the density."""
    zero = torch.zeros(d.event_shape, dtype=F64).flatten()
    score = torch.func.grad(lambda x: d.log_prob(x.reshape(d.event_shape)))
    precision = -torch.func.jacfwd(score)(zero)
    return torch.linalg.solve(precision, score(zero)), precision


def test_random_walk_is_the_dense_normal():
    d = GaussianRandomWalk(tensor(0.7)[0], 4)
    t = torch.arange(1, 5, dtype=F64)
    x = torch.randn(3, 4, dtype=F64)
    expected = td.MultivariateNormal(torch.zeros(4, dtype=F64), 0.49 * torch.minimum(t, t[:, None]))
    torch.testing.assert_close(d.log_prob(x), expected.log_prob(x))
    torch.testing.assert_close(d.entropy(), expected.entropy())


GAUSSIAN = [
    AR(tensor(0.3, 0.5, 0.2), tensor(0.8)[0], Normal(tensor(1.0)[0], tensor(2.0)[0]), True, 4),
    AR(
        tensor(0.5, 0.2),
        tensor(0.8)[0],
        MultivariateNormal(tensor(1.0, 2.0), GRAPH[:2, :2] * 0.5 + torch.eye(2)),
        steps=3,
    ),
    GaussianStateSpace(
        3, tensor([0.5, 0.2], [-0.1, 0.7]), tensor([1.0, 0.3], [0.3, 2.0]), initial_value=tensor(1.0, 2.0)
    ),
    GaussianRandomWalk(tensor(0.7)[0], 4),
    CAR(tensor(1.0, 2.0, 0.0, -1.0), tensor(0.6)[0], tensor(2.0)[0], GRAPH),
    CAR(tensor(1.0, 2.0, 0.0, -1.0), tensor(-0.6)[0], tensor(2.0)[0], GRAPH.to_sparse(), is_sparse=True),
    ICAR(GRAPH, tensor(0.7)[0], 0.3),
]


@pytest.mark.parametrize("d", GAUSSIAN, ids=lambda d: type(d).__name__)
def test_density_is_that_of_the_normal_with_its_moments_and_samples(d):
    mean, precision = dense(d)
    normal = td.MultivariateNormal(mean, precision_matrix=(precision + precision.mT) / 2)
    x = torch.randn(5, *d.event_shape, dtype=F64)
    torch.testing.assert_close(d.log_prob(x), normal.log_prob(x.flatten(1)), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(d.mean.flatten(), mean, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(d.variance.flatten(), normal.variance, rtol=1e-9, atol=1e-9)
    torch.manual_seed(0)
    white = (d.rsample((20000,)).flatten(1) - mean) @ torch.linalg.cholesky(precision)
    assert (white.mean(0).abs() < 6 / 20000**0.5).all()  # six standard errors: below 1e-7 for all entries
    assert ((white.T @ white / 20000 - torch.eye(len(mean))).abs() < 6 * (2 / 20000) ** 0.5).all()


def test_peer_values():
    """NumPyro 0.22.0 at the same points."""
    d = GaussianStateSpace(
        3, tensor([0.5, 0.2], [-0.1, 0.7]), tensor([1.0, 0.3], [0.3, 2.0]), initial_value=tensor(1.0, 2.0)
    )
    x = torch.arange(6, dtype=F64).reshape(3, 2) * 0.3
    assert abs(d.log_prob(x).item() + 7.640223235090713) < 1e-12
    x = tensor(0.1, 0.5, 0.2, 1.0)
    plain = GRAPH.clamp(max=1.0)
    assert abs(CAR(torch.zeros(4, dtype=F64), 0.6, 2.0, plain).log_prob(x).item() + 2.462413990699659) < 1e-12
    sde = EulerMaruyama(tensor(0.0, 0.1, 0.3, 0.6), lambda x, t: (-x * t, 0.5), Normal(tensor(0.0)[0], 1.0))
    assert abs(sde.log_prob(x).item() + 7.545141352928479) < 1e-12


def test_garch_and_sde_step_by_step():
    x = torch.randn(6, dtype=F64)
    v, expected = tensor(0.81)[0], 0.0
    for t in range(6):
        v = 0.2 + 0.3 * x[t - 1] ** 2 + 0.5 * v if t else v
        expected = expected + td.Normal(0.0, v.sqrt()).log_prob(x[t])
    d = GARCH11(*tensor(0.2, 0.3, 0.5, 0.9), steps=5)
    torch.testing.assert_close(d.log_prob(x), expected)
    torch.manual_seed(0)
    s = d.rsample((3,))
    torch.manual_seed(0)
    torch.testing.assert_close(s / d.conditional_variance(s).sqrt(), torch.randn(3, 6, dtype=F64))
    t = tensor([0.0, 0.2, 0.5], [0.0, 0.1, 0.4])
    sde = EulerMaruyama(t, lambda x, t: (x.flip(-1) * t, 1 + x**2), Normal(torch.zeros(2, dtype=F64), 1.0).to_event(1))
    y, total = sde.rsample((4,)), 0.0
    assert y.shape == (4, 2, 3, 2)
    for k in range(2):
        dt, past = (t[:, k + 1] - t[:, k])[:, None], y[:, :, k]
        step = td.Normal(past + past.flip(-1) * t[:, k, None] * dt, (1 + past**2) * dt.sqrt())
        total = total + step.log_prob(y[:, :, k + 1]).sum(-1)
    torch.testing.assert_close(sde.log_prob(y), total + td.Normal(0.0, 1.0).log_prob(y[:, :, 0]).sum(-1))


def test_refusals():
    with pytest.raises(ParameterError):
        CAR(0.0, 0.5, 1.0, torch.block_diag(GRAPH, torch.zeros(1, 1)))
    with pytest.raises(ParameterError):
        ICAR(torch.block_diag(GRAPH, GRAPH)).log_prob(torch.zeros(8, dtype=F64))
    with pytest.raises(ParameterError):
        GaussianRandomWalk(1.0, 0)
