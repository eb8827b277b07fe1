"""The Hessian against closed forms."""

from __future__ import annotations

import pytest
import torch

from pyroxene.ops.hessian import hessian


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_quadratic_form(dtype):
    torch.manual_seed(0)
    matrix = torch.randn(4, 4, dtype=dtype)
    x = torch.randn(4, dtype=dtype, requires_grad=True)
    torch.testing.assert_close(hessian(x @ matrix @ x, x).detach(), matrix + matrix.T)


def test_several_tensors_of_any_shape():
    x = torch.tensor([[1.0, 2.0]], requires_grad=True)
    y = torch.tensor(3.0, requires_grad=True)
    expected = torch.tensor([[6.0, 0.0, 2.0], [0.0, 6.0, 4.0], [2.0, 4.0, 18.0]])
    torch.testing.assert_close(hessian((x**2).sum() * y + y**3, [x, y]).detach(), expected)


def test_linear_and_separable_functions():
    x = torch.ones(2, requires_grad=True)
    y = torch.ones((), requires_grad=True)
    assert hessian(x.sum(), x).tolist() == [[0.0, 0.0], [0.0, 0.0]]
    assert hessian(x[0] ** 2 + y, [x, y]).tolist() == [[2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]


def test_it_is_differentiable():
    x = torch.tensor([2.0], requires_grad=True)
    (third,) = torch.autograd.grad(hessian((x**4).sum(), x).sum(), x)
    assert third.item() == 48.0
