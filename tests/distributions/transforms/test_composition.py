"""Stacks, repetitions, permutations and the small factories."""

from __future__ import annotations

import copy

import pytest
import torch

from pyroxene.distributions import constraints
from pyroxene.distributions import transforms as T
from pyroxene.errors import ParameterError, UsageError


def test_stack_infers_shapes_that_change() -> None:
    stack = T.biject_to(constraints.stack([constraints.simplex, constraints.simplex], dim=0))
    assert stack.inverse_shape(torch.Size([2, 4])) == (2, 3)
    assert stack.forward_shape(torch.Size([2, 3])) == (2, 4)


def test_stack_sums_the_log_jacobian_of_its_event() -> None:
    stack = T.StackTransform([T.ExpTransform(), T.identity_transform], dim=-1)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert stack.domain.event_dim == 1
    torch.testing.assert_close(stack.log_abs_det_jacobian(x, stack(x)), torch.tensor([1.0, 3.0, 5.0]))


def test_stack_along_a_batch_dimension_keeps_it() -> None:
    stack = T.StackTransform([T.OrderedTransform(), T.OrderedTransform()], dim=0)
    x = torch.randn(2, 3)
    assert stack.log_abs_det_jacobian(x, stack(x)).shape == (2,)


def test_iterated_registers_parameters() -> None:
    class Shift(T.TransformModule):
        domain = codomain = constraints.real
        bijective = True

        def __init__(self, start: float) -> None:
            super().__init__()
            self.shift = torch.nn.Parameter(torch.tensor(start))

        def _call(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.shift

    chain = T.iterated(3, Shift, start=2.0)
    assert isinstance(chain, T.ComposeTransformModule)
    assert [name for name, _ in chain.named_parameters()] == ["0.shift", "1.shift", "2.shift"]
    assert chain(torch.tensor(1.0)).item() == 7.0
    with pytest.raises(UsageError, match="repeats"):
        T.iterated(0, Shift, 1.0)


def test_permute_draws_as_torch_does() -> None:
    torch.manual_seed(1)
    expected = torch.randperm(5)
    torch.manual_seed(1)
    assert torch.equal(T.permute(5).permutation, expected)
    assert T.permute((2, 3), dim=-2).permutation.shape == (2,)
    x = torch.arange(3.0)
    assert torch.equal(T.permute(3, [2, 0, 1])(x), x[[2, 0, 1]])
    with pytest.raises(ValueError, match="negative"):
        T.permute(3, dim=0)
    with pytest.raises(ValueError, match="negative"):
        T.Permute([0, 1], dim=1)


def test_positive_power_refuses_what_is_not_positive() -> None:
    with pytest.raises(ParameterError, match="Expected exponent > 0"):
        T.PositivePowerTransform(torch.tensor([1.0, -1.0]), validate_args=True)
    T.PositivePowerTransform(-1.0, validate_args=False)
    identity = T.PositivePowerTransform(1.0)
    assert identity.log_abs_det_jacobian(torch.zeros(()), torch.zeros(())) == 0.0


def test_elu_reaches_minus_one_in_float32_and_comes_back_finite() -> None:
    y = T.elu()(torch.tensor([-100.0, 100.0]))
    assert T.elu().inv(y).isfinite().all()


def test_normalize_at_zero() -> None:
    x = torch.zeros(2, 3, requires_grad=True)
    y = T.Normalize()(x)
    assert constraints.sphere.check(y).all()
    y.sum().backward()
    assert torch.equal(x.grad, torch.zeros(2, 3))


def test_a_transform_module_copies_with_its_parameters_and_without_its_cache() -> None:
    class Scale(T.TransformModule):
        domain = codomain = constraints.real
        bijective = True

        def __init__(self) -> None:
            super().__init__(cache_size=1)
            self.scale = torch.nn.Parameter(torch.tensor(3.0))

        def _call(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.scale

        def _inverse(self, y: torch.Tensor) -> torch.Tensor:
            return y / self.scale

    transform = T.ComposeTransformModule([Scale()])
    transform(torch.tensor(2.0))
    inverse = transform.inv
    clone = copy.deepcopy(transform)
    assert clone.parts[0] is clone[0] and clone[0].scale is not transform[0].scale
    assert clone.inv(torch.tensor(6.0)).item() == inverse(torch.tensor(6.0)).item() == 2.0
    assert set(clone.state_dict()) == {"0.scale"}
    assert transform in {transform}
