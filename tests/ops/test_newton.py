"""Newton steps against closed forms, inside and without a trust region."""

from __future__ import annotations

import pytest
import torch

from pyroxene.errors import ShapeError
from pyroxene.ops.newton import newton_step, newton_step_1d, newton_step_2d, newton_step_3d


def positive_definite(batch: tuple[int, ...], size: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    root = torch.randn(*batch, size, size, dtype=dtype)
    return root @ root.mT + 0.5 * torch.eye(size, dtype=dtype)


def quadratic(x: torch.Tensor, matrix: torch.Tensor, center: torch.Tensor) -> torch.Tensor:
    away = (x - center).unsqueeze(-1)
    return 0.5 * (away.mT @ matrix @ away).sum()


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_quadratic_is_minimised_in_one_step(batch, size):
    torch.manual_seed(0)
    matrix, center = positive_definite(batch, size), torch.randn(*batch, size, dtype=torch.float64)
    x = torch.randn(*batch, size, dtype=torch.float64, requires_grad=True)
    mode, covariance = newton_step(quadratic(x, matrix, center), x)
    torch.testing.assert_close(mode.detach(), center)
    torch.testing.assert_close(covariance.detach(), torch.linalg.inv(matrix))


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("radius", [0.1, 1.0, 100.0])
def test_step_stays_in_the_trust_region_and_descends(size, radius):
    torch.manual_seed(0)
    matrix = positive_definite((50,), size) - 2.0 * torch.eye(size, dtype=torch.float64)  # some are not convex
    center = torch.zeros(size, dtype=torch.float64)
    x = torch.randn(50, size, dtype=torch.float64, requires_grad=True)
    loss = quadratic(x, matrix, center)
    (gradient,) = torch.autograd.grad(loss, x, retain_graph=True)
    mode, _ = newton_step(loss, x, radius)
    step = (mode - x).detach()
    assert step.norm(dim=-1).max() <= radius * (1 + 1e-9)
    assert (step * gradient).sum(-1).max() < 0
    convex = torch.linalg.eigvalsh(matrix)[:, 0] > 0
    short = (gradient.norm(dim=-1) / torch.linalg.eigvalsh(matrix)[:, 0]) < radius
    torch.testing.assert_close(mode[convex & short].detach(), torch.zeros_like(mode[convex & short]), atol=1e-5, rtol=0)


# Made with pyro-ppl 1.9.2 (pyro.ops.newton.newton_step) and torch 2.13 in float32, at (1, 2) and (1, 2, -1), for
# x H x / 2 with H = diag(-1, 2, 3) but 0.3 in the first two places off the diagonal.
PYRO_NUMBERS = [
    (2, 0.1, [1.0099023581, 1.906893014], 0.023140965),
    (2, 1.0, [1.1327371597, 1.4094090462], 0.2306260765),
    (3, 0.1, [1.0080437660, 1.9226365089, -0.9470086098], 0.0190073028),
    (3, 10.0, [2.4386587143, 0.6692317724, -0.3414609432], 1.8859881163),
]


@pytest.mark.parametrize(("size", "radius", "mode", "variance"), PYRO_NUMBERS)
def test_numbers_of_pyro(size, radius, mode, variance):
    matrix = torch.diag(torch.tensor([-1.0, 2.0, 3.0])[:size])
    matrix[0, 1] = matrix[1, 0] = 0.3
    x = torch.tensor([1.0, 2.0, -1.0][:size], requires_grad=True)
    found, covariance = newton_step(0.5 * x @ matrix @ x, x, radius)
    assert found.tolist() == pytest.approx(mode, rel=1e-5)
    assert covariance[0, 0].item() == pytest.approx(variance, rel=1e-5)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_equal_eigenvalues(size):
    x = torch.ones(size, dtype=torch.float64, requires_grad=True)
    mode, _ = newton_step((x**2).sum(), x, 0.1)
    torch.testing.assert_close((mode - x).detach().norm(), torch.tensor(0.1, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(mode.sum(), x)
    assert gradient.isfinite().all()


def test_one_dimension_flat_concave_and_infinite():
    x = torch.tensor([[2.0]], requires_grad=True)
    assert newton_step(-(x**2).sum(), x, 1.0)[0].item() == 3.0
    assert newton_step(x.sum(), x, 0.5)[0].item() == 1.5
    assert newton_step(-(x**2).sum(), x)[1].item() == pytest.approx(1e8)
    assert newton_step((x**2).sum() * float("inf"), x)[0].item() == 2.0


@pytest.mark.parametrize("size", [2, 3])
def test_singular_and_infinite_hessians_give_nan_where_they_are(size):
    x = torch.ones(3, size, dtype=torch.float64, requires_grad=True)
    curvature = torch.tensor([1.0, 0.0, float("inf")], dtype=torch.float64)
    mode, covariance = newton_step((curvature * (x**2).sum(-1)).sum(), x)
    assert mode[0].tolist() == [0.0] * size
    assert covariance[1:].isnan().all()
    assert mode[1:].isnan().all()


def test_the_last_step_carries_the_gradient_of_the_solution():
    torch.manual_seed(0)
    matrix = positive_definite((), 2).requires_grad_()
    shift = torch.randn(2, dtype=torch.float64)

    def solve(a: torch.Tensor) -> torch.Tensor:
        x = torch.zeros(2, dtype=torch.float64)
        for _ in range(30):
            x = x.detach().requires_grad_()
            x, _ = newton_step(0.5 * x @ a @ x + (x**4).sum() - shift @ x, x)
        return x

    assert torch.autograd.gradcheck(solve, (matrix,), eps=1e-5, atol=1e-4, check_undefined_grad=False)


def test_shapes_are_checked():
    x = torch.tensor(1.0, requires_grad=True)
    with pytest.raises(ShapeError):
        newton_step(x**2, x)
    for step, size in ((newton_step_1d, 1), (newton_step_2d, 2), (newton_step_3d, 3)):
        right, wrong = torch.ones(4, size, requires_grad=True), torch.ones(4, size + 1, requires_grad=True)
        assert step((right**2).sum(), right)[1].shape == (4, size, size)
        with pytest.raises(ShapeError):
            step((wrong**2).sum(), wrong)
