"""Each operation with a rule: graph, adjoint, passes and machine code against autograd, on random values."""

from __future__ import annotations

import math

import pytest
import torch

from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.precision import double_precision
from tests.compiler.operations import CASES, Case

torch.set_num_threads(1)


def scalar_function(case: Case):
    """Make a scalar function of one vector: the case's result, weighted so that each element matters."""
    sizes = [math.prod(shape) for shape in case.shapes]

    def function(z: torch.Tensor) -> torch.Tensor:
        arguments = [part.reshape(shape) for part, shape in zip(z.split(sizes), case.shapes)]
        result = case.function(*arguments)
        weights = torch.linspace(0.3, 1.7, max(result.numel(), 1)).reshape(result.shape)
        return (result * weights).sum()

    return function, sum(sizes)


def point(case: Case, dim: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return case.low + (case.high - case.low) * torch.rand(dim, generator=generator, dtype=torch.float64)


def eager(function, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = z.clone().requires_grad_()
    with double_precision():
        value = function(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    return value.detach(), gradient


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_operation(case: Case):
    function, dim = scalar_function(case)
    graph = gradient_graph(function, point(case, dim, 0))
    native = NativeFunction(graph)
    for seed in range(1, 4):
        z = point(case, dim, seed)
        value, gradient = eager(function, z)
        for other_value, other_gradient in (evaluate(graph, [z]), native.value_and_grad(z)):
            scale = max(1.0, abs(value.item()))
            assert abs(other_value.item() - value.item()) <= case.tolerance * scale
            assert other_gradient.shape == gradient.shape
            assert (other_gradient - gradient).abs().max() <= case.tolerance * max(1.0, gradient.abs().max().item())
