"""What passes and schedules make of graphs: the same numbers, by fewer or better placed operations."""

from __future__ import annotations

import shutil
from collections import Counter

import pytest
import torch

from pyroxene.compiler.compile import compile_native, gradient_graph
from pyroxene.compiler.graph import nested
from pyroxene.scan import scan

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="there is no C compiler on the path"
)


def operations(function, dim):
    graph = gradient_graph(function, torch.linspace(0.1, 0.9, dim, dtype=torch.float64))
    return [node for inner in nested(graph) for node in inner.nodes()]


def agrees(function, dim):
    z = torch.linspace(0.1, 0.9, dim, dtype=torch.float64)
    leaf = z.clone().requires_grad_(True)
    value = function(leaf)
    (gradient,) = torch.autograd.grad(value, leaf)
    found, slope = compile_native(function, z).value_and_grad(z)
    assert found.item() == pytest.approx(value.item(), rel=1e-12)
    assert torch.allclose(slope, gradient, rtol=1e-11, atol=1e-12)


def test_a_reduction_of_what_repeats_is_done_once():
    """A mixture's weights, which torch repeats for each row before it normalises them."""
    y = torch.linspace(-1.0, 1.0, 500, dtype=torch.float64)

    def mixture(z):
        weights = torch.log_softmax(z.expand(500, 2), -1)
        return torch.logsumexp(weights - (y[:, None] - z).square(), -1).sum()

    sizes = [node.size for node in operations(mixture, 2) if node.op == "reduce" and node.attributes[0] == "max"]
    assert sorted(sizes) == [1, 500]  # of the weights, and of the rows
    agrees(mixture, 2)


def test_values_divide_once():
    x = torch.linspace(-1.0, 1.0, 100, dtype=torch.float64)

    def varying_scale(z):
        scale = (x * z[1]).exp() + 0.5
        return ((x - z[0]) / scale).square().sum() + scale.log().sum()

    divisions = [node for node in operations(varying_scale, 2) if node.op in ("div", "reciprocal") and node.size > 1]
    assert [node.op for node in divisions] == ["reciprocal"]
    agrees(varying_scale, 2)


@pytest.mark.parametrize("rows", [10, 100, 300])
def test_loops_are_parted_around_functions(rows):
    x = torch.linspace(0.1, 2.0, rows, dtype=torch.float64)

    def functions(z):
        inner = torch.log1p((x * z[0]).exp() + (z[1] - x).square())
        return (inner * torch.sin(x * z[1] + inner) - inner.exp().log()).sum()

    agrees(functions, 2)
    source = compile_native(functions, torch.ones(2, dtype=torch.float64)).program.source
    assert ("cv" in source) == (rows > 24)  # arrays between the parts


def test_backward_loops_compute_little_once_more():
    def polynomial(z):
        def step(carry, x):
            value = carry
            for _ in range(20):
                value = value * z[0] + x
            return value, value

        _, values = scan(step, z[1], torch.linspace(0.0, 1.0, 50, dtype=torch.float64))
        return values.square().sum()

    graph = gradient_graph(polynomial, torch.tensor([0.5, 0.5], dtype=torch.float64))
    forward, backward = nested(graph)[1:]
    products = [sum(node.op == "mul" for node in body.nodes()) for body in (forward, backward)]
    assert products[0] == 20 and products[1] < 50  # 40 for the adjoint; with all 20 once more there are 59
    agrees(polynomial, 2)


def test_value_and_slope_of_log_ndtr_share_their_parts():
    x = torch.linspace(-3.0, 3.0, 100, dtype=torch.float64)
    counts = Counter(node.op for node in operations(lambda z: torch.special.log_ndtr(x * z[0] + z[1]).sum(), 2))
    assert counts["erfcx"] == counts["exp"] == counts["log"] == 1
    agrees(lambda z: torch.special.log_ndtr(x * z[0] + z[1]).sum(), 2)


def test_loops_read_masks_as_numbers():
    """Bytes beside doubles would keep them from being vectors."""
    x = torch.linspace(-1.0, 1.0, 300, dtype=torch.float64)
    masks = (x > 0.3, (x.reshape(30, 10) > 0.1).T.contiguous())

    def masked(z):
        whole = torch.where(masks[0], z[0] * x, z[1]).exp().sum()
        parts = torch.where(masks[1].T[5:, ::2], z[0], x.reshape(30, 10)[5:, ::2] * z[1]).sin().sum()
        return whole + parts + (masks[0] & (x > z[1])).to(torch.float64).sum() * z[0]

    agrees(masked, 2)
    source = compile_native(masked, torch.ones(2, dtype=torch.float64)).program.source
    assert "const unsigned char *restrict" not in source


def test_what_is_gathered_alone_is_computed():
    """A categorical density reads one category's logarithm: the others' are not taken, nor in the gradient."""
    observed = torch.arange(200).reshape(-1, 1) * 7 % 5
    x = torch.linspace(-1.0, 1.0, 1000, dtype=torch.float64).reshape(200, 5)

    def categorical(z):
        shares = torch.sigmoid(x * z[0]) + z[1].exp()
        return (shares / shares.sum(-1, keepdim=True)).clamp(1e-9, 1 - 1e-9).log().gather(-1, observed).sum()

    found = operations(categorical, 2)
    assert [node.size for node in found if node.op == "log"] == [200]
    clamps = [node for node in found if node.op == "where" and node.note.startswith("clamp")]
    assert clamps and all(node.size == 200 for node in clamps)
    agrees(categorical, 2)


def test_what_others_read_is_not_computed_twice():
    observed = torch.arange(200).reshape(-1, 1) * 7 % 5
    x = torch.linspace(-1.0, 1.0, 1000, dtype=torch.float64).reshape(200, 5)

    def shared(z):
        values = (x * z[0] + z[1]).sin()
        return values.gather(-1, observed).sum() + values.square().sum()

    assert [node.size for node in operations(shared, 2) if node.op == "sin"] == [1000]
    agrees(shared, 2)


def test_a_gather_of_a_pattern_is_a_view():
    x = torch.linspace(-1.0, 1.0, 1000, dtype=torch.float64)

    def every_third(z):
        return (x * z[0] + z[1]).sin()[torch.arange(0, 1000, 3)].sum()

    found = operations(every_third, 2)
    assert not [node for node in found if node.op in ("take", "put")]
    assert [node.size for node in found if node.op == "sin"] == [334]
    agrees(every_third, 2)
