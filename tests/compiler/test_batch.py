"""A function at several points in one pass gives at each what it gives alone."""

from __future__ import annotations

import pytest
import torch

from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.passes.batch import batch
from tests.compiler.operations import CASES, Case
from tests.compiler.test_operations import point, scalar_function
from tests.compiler.test_scan import FUNCTIONS

torch.set_num_threads(1)
WIDTH = 3
BUILT = (
    "sum over 1", "logsumexp of many", "index around a slice", "group effects", "index_put accumulate", "cumsum",
    "design by vector", "large product", "cholesky in panels", "solve right", "in place", "loop", "outer of itself",
    "index by a mask", "assignment of rows", "masked_scatter", "batches that broadcast", "inverse in LAPACK",
    "batch of slogdet",
)  # fmt: skip


def assert_same(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (one - other).abs().max() <= 1e-11 * max(1.0, other.abs().max().item())


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_the_graph(case: Case):
    function, dim = scalar_function(case)
    points = torch.stack([point(case, dim, seed) for seed in range(WIDTH)])
    graph = gradient_graph(function, points[0])
    values, gradients = evaluate(batch(graph, WIDTH), [points])
    for z, value, gradient in zip(points, values, gradients):
        expected, expected_gradient = evaluate(graph, [z])
        assert_same(value, expected)
        assert_same(gradient, expected_gradient)


def check_native(function, points: torch.Tensor) -> None:
    native = NativeFunction(gradient_graph(function, points[0]))
    values, gradients = native.batched(len(points)).value_and_grad(points)
    for z, value, gradient in zip(points, values, gradients):
        expected, expected_gradient = native.value_and_grad(z)
        assert_same(value, expected)
        assert_same(gradient, expected_gradient)


@pytest.mark.parametrize("name", BUILT)
def test_the_machine_code(name):
    (case,) = [case for case in CASES if case.name == name]
    function, dim = scalar_function(case)
    check_native(function, torch.stack([point(case, dim, seed) for seed in range(WIDTH)]))


@pytest.mark.parametrize("function", FUNCTIONS, ids=[f.__name__ for f in FUNCTIONS])
def test_loops(function):
    check_native(function, torch.linspace(-0.6, 0.8, 6, dtype=torch.float64) * torch.tensor([[1.0], [0.5], [-0.8]]))


@pytest.mark.parametrize("width", [2, 8])
def test_widths(width):
    check_native(lambda z: (z.exp() * z.flip(0)).sum() + z[0] ** 3, torch.randn(width, 5, dtype=torch.float64))
