"""The eager engine: float64 whatever the default, modes only where they matter, failed factorisations as values."""

from __future__ import annotations

import pytest
import torch

import pyroxene
import pyroxene.distributions as dist
from pyroxene.density import log_density
from pyroxene.density.compiled import compile_density
from pyroxene.density.eager import EagerFunction, check_points, relative_difference
from tests.infer.mcmc.programs import eight_schools


def test_modes_are_left_out_where_they_make_no_difference():
    density = log_density(eight_schools)
    function = EagerFunction(density, density.dim)
    z, wide = next(function.references())
    assert function._is_plain is None
    plain = function.value_and_grad(z)
    assert function._is_plain is True
    assert 0.0 < relative_difference(wide, plain) < 1e-7  # constants in float32


@pytest.mark.parametrize(
    "function",
    [
        lambda z: (torch.ones(5, 2) @ z).sum(),  # refuses doubles
        lambda z: (z.half() ** 3).sum(),  # rounds them away
        lambda z: (torch.tensor(1.0 / 3.0) * z * 3e3 - 1e3 * z + 1e-3 * z).sum(),  # little but rounding is left
    ],
    ids=["product", "narrowed", "cancelled"],
)
def test_modes_are_there_where_they_do(function):
    eager = EagerFunction(function, 2)
    z = torch.tensor([0.1, 0.7], dtype=torch.float64)
    value, gradient = eager.value_and_grad(z)
    assert eager._is_plain is False and value.dtype == gradient.dtype == torch.float64
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        leaf = z.clone().requires_grad_(True)
        expected = function_in_double(function, leaf)
        (slope,) = torch.autograd.grad(expected, leaf)
    finally:
        torch.set_default_dtype(before)
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradient, slope, rtol=1e-12, atol=1e-12)


def function_in_double(function, z):
    """The function with `half()` undone, which the default precision does not reach."""
    narrow = torch.Tensor.half
    torch.Tensor.half = torch.Tensor.double
    try:
        return function(z)
    finally:
        torch.Tensor.half = narrow


def gram(scale):
    """A matrix that is positive definite where scale is positive."""
    eye = torch.eye(2, dtype=scale.dtype)
    return scale * eye


def test_a_factorisation_that_fails_is_a_value():
    function = EagerFunction(lambda z: torch.linalg.cholesky(gram(z[0])).sum(), 1)
    value, gradient = function.value_and_grad(torch.tensor([-0.5], dtype=torch.float64))
    assert value.isnan() and (gradient == 0.0).all()
    value, gradient = function.value_and_grad(torch.tensor([0.25], dtype=torch.float64))
    assert value.item() == pytest.approx(1.0) and gradient.item() == pytest.approx(2.0)
    values, gradients = function.batched_value_and_grad(torch.tensor([[-0.5], [0.25]], dtype=torch.float64))
    assert values.isnan().tolist() == [True, False] and gradients[1].item() == pytest.approx(2.0)


def test_a_constant_has_no_slope():
    value, gradient = EagerFunction(lambda z: torch.tensor(3.0), 2).value_and_grad(torch.zeros(2))
    assert value.item() == 3.0 and (gradient == 0.0).all() and gradient.shape == (2,)


def test_batches_are_rows():
    for function in (lambda z: (z**2).sum(), lambda z: (z**2).sum() if z[0] > 0 else z.sum()):
        eager = EagerFunction(function, 2)
        z = torch.tensor([[1.0, 2.0], [-1.0, 3.0]], dtype=torch.float64)
        values, gradients = eager.batched_value_and_grad(z)
        for row, value, gradient in zip(z, values, gradients):
            expected = eager.value_and_grad(row)
            assert torch.equal(value, expected[0]) and torch.equal(gradient, expected[1])


def fragile(bound):
    """A density with a matrix that has a factor only where x exceeds the bound; it is made where all is well."""

    def model(bound):
        x = pyroxene.sample("x", dist.Normal(3.0, 0.1))
        factor = torch.linalg.cholesky(gram(x - bound))
        pyroxene.factor("f", -factor.diagonal().log().sum())

    return log_density(model, -100.0).with_data(bound=bound)


@pytest.mark.parametrize("bound", [0.0, 2.0])
def test_errors_of_the_check_s_points_do_not_escape(bound):
    """At half of the check's points, or at all of them, the matrix has no factor."""
    signs = [bool(z[0] > bound) for z in check_points(1)]
    assert any(signs) == (bound == 0.0) and not all(signs)
    density = fragile(bound)
    compiled = compile_density(density, "auto")
    assert compiled.engine == ("native" if bound == 0.0 else "eager")
    z = torch.tensor([2.5], dtype=torch.float64)
    value, gradient = EagerFunction(density, 1).value_and_grad(z)
    found = compiled.value_and_grad(z)
    torch.testing.assert_close(found[0], value, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(found[1], gradient, rtol=1e-6, atol=0.0)
    assert not compiled.value_and_grad(torch.tensor([-2.5], dtype=torch.float64))[0].isfinite()


def test_a_named_engine_raises_what_the_model_raises():
    with pytest.raises(torch.linalg.LinAlgError):
        compile_density(fragile(2.0), "native")
