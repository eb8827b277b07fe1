"""Small tools of inference: numbers out of tensors, sums over plates."""

from __future__ import annotations

import contextlib
import re

import torch

import pyroxene as pyro
import pyroxene.distributions as dist
from pyroxene.infer.util import (
    MultiFrameTensor,
    get_plate_stacks,
    optional,
    torch_backward,
    torch_exp,
    torch_item,
    torch_sum,
    total,
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


def test_a_cost_that_a_plate_repeats_counts_for_each_element():
    assert MultiFrameTensor(((COLUMNS,), torch.tensor(1.5))).sum_to(()) == 3.0
    assert MultiFrameTensor(((LOOP,), torch.tensor(1.5))).sum_to(()) == 1.5


def test_numbers_out_of_tensors():
    assert torch_item(3) == 3 and torch_item(torch.tensor(2.5)) == 2.5
    assert torch_exp(0.0) == 1.0 and torch_exp(torch.zeros(2)).tolist() == [1.0, 1.0]
    assert torch_sum(torch.ones(2, 3), (0,)).tolist() == [2.0, 2.0, 2.0] and torch_sum(4.0, ()) == 4.0


def test_gradients_where_there_are_any():
    leaf = torch.tensor(2.0, requires_grad=True)
    torch_backward(leaf**2)
    assert leaf.grad == 4
    zero_grads([leaf])
    assert leaf.grad is None or leaf.grad == 0
    torch_backward(3.0)
    torch_backward(torch.tensor(3.0))


def test_total_of_none_few_and_many():
    assert total([]) == 0.0 and total([torch.tensor(1.0), torch.tensor(2.0)]) == 3.0
    mixed = total([torch.tensor(1.0), torch.tensor(2.0, dtype=torch.float64), torch.tensor(3.0)])
    assert mixed == 6.0 and mixed.dtype == torch.float64


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
