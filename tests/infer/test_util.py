"""Small tools of inference: numbers out of tensors, sums over plates."""

from __future__ import annotations

import contextlib
import re

import pytest
import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer import Trace_ELBO
from pyroxene.infer.util import (
    MultiFrameTensor,
    enable_validation,
    get_plate_stacks,
    is_validation_enabled,
    optional,
    torch_backward,
    torch_exp,
    torch_item,
    total,
    validation_enabled,
    zero_grads,
)
from pyroxene.poutine.message import CondIndepStackFrame

ROWS = CondIndepStackFrame("rows", -2, 3, 0)
COLUMNS = CondIndepStackFrame("columns", -1, 2, 0)
LOOP = CondIndepStackFrame("loop", None, 5, 1)


def test_costs_are_summed_to_the_plates_of_a_site():
    by_row, by_both = torch.tensor([[1.0], [2.0], [3.0]]), torch.arange(6.0).reshape(3, 2)
    costs = MultiFrameTensor(((ROWS,), by_row), ((ROWS, COLUMNS), by_both), ((), torch.tensor(10.0)))
    assert costs.sum_to(()) == 6 + 15 + 10
    assert torch.equal(costs.sum_to((ROWS,)), 10 + by_row + by_both.sum(-1, keepdim=True))
    assert torch.equal(costs.sum_to((ROWS, COLUMNS)), 10 + by_row + by_both)
    costs.add(((ROWS,), by_row))
    assert costs.sum_to(()) == 12 + 15 + 10
    assert MultiFrameTensor().sum_to(()) is None


def test_sums_hold_for_every_choice_of_plates():
    """Against sums written out with einsum, for tensors that vary over one or two of three plates."""
    frames = {"a": CondIndepStackFrame("a", -1, 2, 0), "b": CondIndepStackFrame("b", -2, 3, 0)}
    frames["c"] = CondIndepStackFrame("c", -3, 4, 0)
    sizes = {"a": 2, "b": 3, "c": 4}
    torch.manual_seed(0)
    for kept in ("", "a", "b", "c", "ab", "ac", "bc", "abc"):
        for over in ("", "a", "b", "c", "ab", "ac", "bc", "abc"):
            names = "".join(name for name in "cba" if name in over)
            value = torch.randn([sizes[name] for name in names])
            depth = {"": 0, "a": 1, "b": 2, "c": 3}[max(over, default="")]
            full = value.reshape([sizes[name] if name in over else 1 for name in "cba"[3 - depth :]])
            costs = MultiFrameTensor((tuple(frames[name] for name in over), full))
            found = costs.sum_to(tuple(frames[name] for name in kept))
            left = "".join(name for name in names if name in kept)
            expected = torch.einsum(f"{names}->{left}", value)
            assert torch.allclose(found.reshape(expected.shape), expected, atol=1e-5)
            assert all(found.size(frames[name].dim) == sizes[name] for name in left)


def test_a_cost_that_a_plate_repeats_counts_for_each_element():
    assert MultiFrameTensor(((COLUMNS,), torch.tensor(1.5))).sum_to(()) == 3.0
    assert MultiFrameTensor(((LOOP,), torch.tensor(1.5))).sum_to(()) == 1.5


def test_numbers_out_of_tensors():
    assert torch_item(3) == 3 and torch_item(torch.tensor(2.5)) == 2.5
    assert torch_exp(0.0) == 1.0 and torch_exp(torch.zeros(2)).tolist() == [1.0, 1.0]
    assert torch_item(torch.tensor([[2.5]])) == 2.5 and type(torch_item(torch.tensor(1))) is int
    assert torch_exp(torch.tensor(1.0)).item() == pytest.approx(torch_exp(1)) and type(torch_exp(1)) is float
    with pytest.raises(RuntimeError):
        torch_item(torch.zeros(2))


def test_gradients_where_there_are_any():
    leaf = torch.tensor(2.0, requires_grad=True)
    torch_backward(leaf**2)
    assert leaf.grad == 4
    zero_grads([leaf])
    assert leaf.grad == 0
    torch_backward(3.0)
    torch_backward(torch.tensor(3.0))


def test_zeroed_gradients_are_new_tensors_and_none_stays_none():
    leaf, other = torch.tensor(2.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    (3 * leaf).backward()
    kept = leaf.grad
    zero_grads(iter([leaf, other]))
    assert kept == 3 and leaf.grad == 0 and other.grad is None


def test_a_graph_is_kept_when_asked():
    leaf = torch.tensor(2.0, requires_grad=True)
    value = leaf.sin()
    torch_backward(value, retain_graph=True)
    torch_backward(value)
    with pytest.raises(RuntimeError, match="second time"):
        torch_backward(value)


def test_the_switch_of_checks():
    assert is_validation_enabled()
    with validation_enabled(False):
        assert not is_validation_enabled()
        with validation_enabled():
            assert is_validation_enabled()
        assert not is_validation_enabled()
        unchecked = Trace_ELBO().loss(lambda: pyro.sample("x", dist.Normal(torch.zeros(2), 1.0)), lambda: None)
        assert isinstance(unchecked, float)
    assert is_validation_enabled()
    enable_validation(False)
    try:
        assert not is_validation_enabled()
    finally:
        enable_validation(True)


def test_total_of_none_few_and_many():
    assert total([]) == 0.0 and total([torch.tensor(1.0), torch.tensor(2.0)]) == 3.0
    mixed = total([torch.tensor(1.0), torch.tensor(2.0, dtype=torch.float64), torch.tensor(3.0)])
    assert mixed == 6.0 and mixed.dtype == torch.float64


def test_a_total_of_scalars_on_two_devices():
    """A scalar on the CPU adds to scalars elsewhere, though torch does not stack them."""
    found = total([torch.tensor(1.0), torch.tensor(2.0, device="meta"), torch.tensor(3.0)])
    assert found.device.type == "meta" and found.shape == ()


def test_plate_stacks_by_site():
    def model():
        pyro.sample("a", dist.Normal(0.0, 1.0))
        for _ in pyro.plate("loop", 1):
            with pyro.plate("p", 2):
                pyro.sample("b", dist.Normal(0.0, 1.0))

    stacks = get_plate_stacks(pyro.poutine.trace(model).get_trace())
    assert {name: [frame.name for frame in stack] for name, stack in stacks.items()} == {"a": [], "b": ["p"]}


def test_optional_enters_or_not():
    entered = []

    @contextlib.contextmanager
    def manager():
        entered.append(1)
        yield

    with optional(manager(), False):
        pass
    assert entered == []
    with optional(manager(), True):
        pass
    assert entered == [1]


def test_the_version_is_the_package_s():
    from pyroxene._version import __version__

    assert pyro.__version__ == __version__ and re.fullmatch(r"\d+\.\d+\.\d+", __version__)
