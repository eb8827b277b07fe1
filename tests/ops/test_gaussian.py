"""Gaussian functions against multivariate normal densities, and against their definition at values."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Independent, MultivariateNormal, Normal, StudentT

from pyroxene.errors import ShapeError, UnsupportedError, UsageError
from pyroxene.ops.gaussian import (
    AffineNormal,
    Gaussian,
    gaussian_tensordot,
    matrix_and_gaussian_to_gaussian,
    matrix_and_mvn_to_gaussian,
    mvn_to_gaussian,
    sequential_gaussian_filter_sample,
    sequential_gaussian_tensordot,
)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(20260101)


def randn(*shape):
    return torch.randn(shape, dtype=torch.float64)


def random_mvn(size, *batch):
    factor = randn(*batch, size, size).tril(-1) + torch.diag_embed(torch.rand(*batch, size, dtype=torch.float64) + 0.5)
    return MultivariateNormal(randn(*batch, size), scale_tril=factor)


def random_normal(size, *batch):
    return Independent(Normal(randn(*batch, size), torch.rand(*batch, size, dtype=torch.float64) + 0.5), 1)


def random_gaussian(size, *batch):
    return mvn_to_gaussian(random_mvn(size, *batch)) + randn(*batch)


def values_of(*functions):
    """The shapes and numbers that make two functions the same."""
    return [(f.log_normalizer, f.info_vec, f.precision) for f in functions]


def same(x, y):
    x, y = x.expand(x.batch_shape), y.expand(y.batch_shape)
    torch.testing.assert_close(*values_of(x, y))


NOISE = pytest.mark.parametrize("noise", [random_mvn, random_normal])


@pytest.mark.parametrize("batch", [(), (4,), (2, 1)], ids=str)
@NOISE
def test_a_normal_density(noise, batch):
    mvn = noise(3, *batch)
    value = randn(5, *batch, 3)
    gaussian = mvn_to_gaussian(mvn)
    assert gaussian.batch_shape == batch and gaussian.dim() == 3
    torch.testing.assert_close(gaussian.log_density(value), mvn.log_prob(value))
    torch.testing.assert_close(gaussian.event_logsumexp(), torch.zeros(batch, dtype=torch.float64))


def test_a_normal_density_made_of_its_precision():
    mvn = MultivariateNormal(randn(2), precision_matrix=torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64))
    value = randn(5, 2)
    torch.testing.assert_close(mvn_to_gaussian(mvn).log_density(value), mvn.log_prob(value))


def test_other_distributions_are_refused():
    for wrong in (Normal(0.0, 1.0), Independent(StudentT(3.0, torch.zeros(2)), 1)):
        with pytest.raises(UsageError, match=r"Normal\(...\).to_event\(1\)"):
            mvn_to_gaussian(wrong)


@NOISE
def test_a_conditional_density(noise):
    matrix, mvn = randn(4, 2, 3), noise(3, 4)
    x, y = randn(4, 2), randn(4, 3)
    both = torch.cat([x, y], -1)
    expected = mvn.log_prob(y - (x.unsqueeze(-2) @ matrix).squeeze(-2))
    density = matrix_and_mvn_to_gaussian(matrix, mvn)
    assert isinstance(density, AffineNormal) == (noise is random_normal)
    torch.testing.assert_close((density + 0.0).log_density(both), expected)
    torch.testing.assert_close(density.condition(y).log_density(x), expected)
    torch.testing.assert_close((density.left_condition(x) + 0.0).log_density(y), expected)
    torch.testing.assert_close((density + 1.0).condition(both[..., 3:]).log_density(both[..., :3]), expected + 1)
    torch.testing.assert_close(density.condition(both[..., 3:]).log_density(both[..., :3]), expected)
    torch.testing.assert_close((density.left_condition(both[..., :1]) + 0.0).log_density(both[..., 1:]), expected)
    flat = density.marginalize(right=3)
    assert flat.dim() == 2
    torch.testing.assert_close(flat.log_density(x), torch.zeros(4, dtype=torch.float64))
    same(density.marginalize(right=1), (density + 0.0).marginalize(right=1))


def test_an_affine_normal_indexes_as_its_gaussian():
    affine = matrix_and_mvn_to_gaussian(randn(2, 3), random_normal(3, 4, 5))
    same(affine[1].to_gaussian(), affine.to_gaussian()[1])
    same(affine[..., 2:].to_gaussian(), affine.to_gaussian()[..., 2:])
    same(affine.reshape((5, 4)).to_gaussian(), affine.to_gaussian().reshape((5, 4)))
    same(affine.expand((2, 4, 5)).to_gaussian(), affine.to_gaussian().expand((2, 4, 5)))
    permutation = torch.tensor([4, 2, 0, 1, 3])
    same(affine.event_permute(permutation), affine.to_gaussian().event_permute(permutation))
    with pytest.raises(UsageError, match="left_condition first"):
        affine.rsample()
    with pytest.raises(ShapeError):
        AffineNormal(randn(2, 3), randn(2), randn(3))


def test_matrix_and_gaussian():
    matrix, f = randn(2, 3), random_gaussian(3, 4)
    x, y = randn(4, 2), randn(4, 3)
    got = matrix_and_gaussian_to_gaussian(matrix, f).log_density(torch.cat([x, y], -1))
    torch.testing.assert_close(got, f.log_density(y - x @ matrix))
    with pytest.raises(ShapeError):
        matrix_and_gaussian_to_gaussian(randn(2, 2), f)


def test_rearranging():
    f, value = random_gaussian(3, 4, 5), randn(4, 5, 3)
    density = f.log_density(value)
    torch.testing.assert_close(f[2].log_density(value[2]), density[2])
    torch.testing.assert_close(f[..., 1::2].log_density(value[:, 1::2]), density[:, 1::2])
    torch.testing.assert_close(f.reshape((20,)).log_density(value.reshape(20, 3)), density.reshape(20))
    same(Gaussian.cat([f[:, :2], f[:, 2:]], -1), f)
    same(Gaussian.cat([f[:1], f[1:]]), f)
    permutation = torch.tensor([2, 0, 1])
    torch.testing.assert_close(f.event_permute(permutation).log_density(value[..., permutation]), density)
    padded = torch.cat([randn(4, 5, 1), value, randn(4, 5, 2)], -1)
    torch.testing.assert_close(f.event_pad(left=1, right=2).log_density(padded), density)
    torch.testing.assert_close((f - density).log_density(value), torch.zeros(4, 5, dtype=torch.float64))


def test_products_and_conditions():
    f, g, value = random_gaussian(3, 4), random_gaussian(3, 4), randn(4, 3)
    torch.testing.assert_close((f + g).log_density(value), f.log_density(value) + g.log_density(value))
    torch.testing.assert_close(f.condition(value[..., 1:]).log_density(value[..., :1]), f.log_density(value))
    torch.testing.assert_close(f.left_condition(value[..., :1]).log_density(value[..., 1:]), f.log_density(value))
    with pytest.raises(UsageError, match="Unsupported type"):
        f + "1"
    with pytest.raises(UsageError, match="Unsupported type"):
        f - g
    with pytest.raises(ShapeError):
        f.condition(randn(4))


def test_integrating_out():
    mvn = random_mvn(3, 4)
    f, value = mvn_to_gaussian(mvn), randn(4, 3)
    for kept, function in ((slice(1), f.marginalize(right=2)), (slice(2, 3), f.marginalize(left=2))):
        marginal = MultivariateNormal(mvn.loc[..., kept], mvn.covariance_matrix[..., kept, kept])
        torch.testing.assert_close(function.log_density(value[..., kept]), marginal.log_prob(value[..., kept]))
    assert f.marginalize() is f
    with pytest.raises(UnsupportedError, match="one side"):
        f.marginalize(1, 1)


def test_integrals_are_those_of_quadrature():
    f = random_gaussian(2)
    grid = torch.linspace(-15, 15, 601, dtype=torch.float64)
    values = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1)
    area = (grid[1] - grid[0]).square()
    torch.testing.assert_close((f.log_density(values).exp().sum() * area).log(), f.event_logsumexp())


@pytest.mark.parametrize("dims", [0, 1, 2])
def test_tensordot_multiplies_and_integrates(dims):
    x, y = random_gaussian(2 + dims, 4, 1), random_gaussian(dims + 1, 3)
    joint = x.event_pad(right=1) + y.event_pad(left=2)
    expected = joint.event_permute(torch.tensor([0, 1, 2 + dims, *range(2, 2 + dims)])).marginalize(right=dims)
    same(gaussian_tensordot(x, y, dims), expected)
    with pytest.raises(ShapeError):
        gaussian_tensordot(x, y, 5)


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 3, 7, 8])
def test_sequential_tensordot_is_the_product_in_order(steps, size):
    chain = random_gaussian(2 * size, 3, steps)
    expected = chain[..., 0]
    for t in range(1, steps):
        expected = gaussian_tensordot(expected, chain[..., t], size)
    same(sequential_gaussian_tensordot(chain), expected)
    with pytest.raises(ShapeError):
        sequential_gaussian_tensordot(random_gaussian(3, 2))


def joint_of(init, trans):
    """The function of all states."""
    size, steps = init.dim(), trans.batch_shape[-1]
    joint = init.event_pad(right=steps * size)
    for t in range(steps):
        joint = joint + trans[..., t].event_pad(left=t * size, right=(steps - t - 1) * size)
    return joint


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("steps", [1, 2, 3, 6])
def test_sampled_chains_have_the_joint_mean_and_covariance(steps, size):
    init, trans = random_gaussian(size, 5, 1), random_gaussian(2 * size, 4, steps)
    joint = joint_of(init, trans).expand((5, 4))
    count = (steps + 1) * size
    noise = torch.eye(count, dtype=torch.float64).reshape(count, 1, 1, steps + 1, size).expand(-1, 5, 4, -1, -1)
    still = sequential_gaussian_filter_sample(init, trans, noise=torch.zeros_like(noise[0]))
    moved = sequential_gaussian_filter_sample(init, trans, (count,), noise)
    covariance = torch.linalg.inv(joint.precision)
    expected = (covariance @ joint.info_vec.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(still.reshape(5, 4, count), expected)
    factor = (moved - still).reshape(count, 5, 4, count).movedim(0, -1)  # the map from noise to states is linear
    torch.testing.assert_close(factor @ factor.mT, covariance)


def test_draws_take_shapes_noise_and_gradients():
    init, trans = random_gaussian(2), random_gaussian(4, 3, 5)
    trans.info_vec.requires_grad_()
    drawn = sequential_gaussian_filter_sample(init, trans, (7,))
    assert drawn.shape == (7, 3, 6, 2)
    drawn.sum().backward()
    assert trans.info_vec.grad.abs().min() > 0
    for function in (random_gaussian(2, 3), random_normal_of_two()):
        noise = randn(7, 3, 2)
        draws = function.rsample((7,), noise)
        spread = (function + 0.0).log_density(draws) - (function + 0.0).log_density(function.rsample((), noise[0] * 0))
        torch.testing.assert_close(spread, -0.5 * noise.square().sum(-1))
        assert function.rsample((4,)).shape == (4, 3, 2)
        with pytest.raises(ShapeError, match="noise"):
            function.rsample((), noise)
    with pytest.raises(ShapeError, match="noise"):
        sequential_gaussian_filter_sample(init, trans, (), randn(3, 5, 2))
    with pytest.raises(ShapeError, match="do not fit"):
        sequential_gaussian_filter_sample(random_gaussian(3), trans)


def random_normal_of_two():
    """An affine normal whose condition is known: a density."""
    return matrix_and_mvn_to_gaussian(randn(1, 2), random_normal(2, 3)).left_condition(randn(3, 1))


def test_the_tensors_must_fit():
    with pytest.raises(ShapeError, match="do not fit"):
        Gaussian(torch.tensor(0.0), torch.zeros(2), torch.eye(3))
