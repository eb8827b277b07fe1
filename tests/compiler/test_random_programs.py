"""Random programs, of many shapes and joined in many ways: what is fused, blocked, kept and copied must not matter."""

from __future__ import annotations

import random

import pytest
import torch

from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native.engine import NativeFunction
from pyroxene.compiler.evaluate import evaluate
from pyroxene.compiler.passes.batch import batch
from pyroxene.compiler.precision import double_precision

torch.set_num_threads(1)
SEEDS = 40
SIZES = (1, 2, 5, 9, 12, 70, 150)

Tensor = torch.Tensor


def unary(choose: random.Random, x: Tensor) -> Tensor:
    return choose.choice(
        [
            lambda x: torch.tanh(x),
            lambda x: torch.sigmoid(x) - 0.5,
            lambda x: (0.3 * x).sin(),
            lambda x: (x**2 + 1).log(),
            lambda x: torch.nn.functional.softplus(x) - 0.7,
            lambda x: torch.where(x > 0.1, 0.5 * x, x + 0.2),
            lambda x: x.clamp(-0.9, 0.9),
            lambda x: (x.abs() + 0.5).sqrt() - 1,
        ]
    )(x)


def reduced(choose: random.Random, x: Tensor) -> Tensor:
    if x.dim() == 0:
        return x
    count = choose.randint(1, x.dim())
    dims = tuple(sorted(choose.sample(range(x.dim()), count)))
    keep = choose.random() < 0.4
    kind = choose.choice(["mean", "logsumexp", "amax", "sum"])
    if kind == "logsumexp":
        return torch.logsumexp(x, dims, keep) - 1
    if kind == "amax":
        return x.amax(dims, keep)
    return x.mean(dims, keep) if kind == "mean" else 0.1 * x.sum(dims, keep)


def moved(choose: random.Random, x: Tensor) -> Tensor:
    if x.dim() == 0:
        return x.expand(choose.choice(SIZES))
    dim = choose.randrange(x.dim())
    size = x.shape[dim]
    kind = choose.choice("transpose slice flip index cat cumsum flat unsqueeze select softmax pick".split())
    if kind == "transpose":
        return x.transpose(dim, choose.randrange(x.dim()))
    if kind == "slice" and size > 2:
        return x.narrow(dim, 1, size - 2)
    if kind == "flip":
        return x.flip(dim)
    if kind == "index":
        index = torch.tensor([choose.randrange(size) for _ in range(choose.choice((3, 11)))])
        return x.index_select(dim, index)
    kept = [1 if axis == dim else n for axis, n in enumerate(x.shape)]
    if kind == "pick":  # one of a dimension for each of the others, of what is computed for all
        index = torch.tensor([choose.randrange(size) for _ in range(x.numel() // size)]).reshape(kept)
        return torch.log_softmax(x, dim).exp().sin().gather(dim, index).squeeze(dim)
    if kind == "cat" and x.numel() < 2000:
        return torch.cat([x, -x.flip(dim)], dim)
    if kind == "cumsum" and size < 20:
        return 0.2 * x.cumsum(dim)
    if kind == "flat":
        return x.reshape(-1)
    if kind == "unsqueeze" and x.dim() < 3:
        return x.unsqueeze(dim)
    if kind == "select":
        return x.select(dim, size // 2)
    return torch.softmax(x, dim)


def joined(choose: random.Random, x: Tensor, y: Tensor) -> Tensor:
    try:
        shape = torch.broadcast_shapes(x.shape, y.shape)
    except RuntimeError:
        return x * y.mean()
    if shape.numel() > 20_000:
        return x + 0.1 * y.mean()
    return choose.choice([lambda: x * y, lambda: x - 0.5 * y, lambda: torch.maximum(x, y), lambda: x / (1 + y**2)])()


def program(seed: int):
    """Make a scalar function of one vector; each call makes the same choices."""
    sizes = [random.Random(seed + 1000).choice(SIZES) for _ in range(3)]
    generator = torch.Generator().manual_seed(seed)
    data = [torch.randn(sizes[0], sizes[1], generator=generator), torch.randn(sizes[1], generator=generator)]
    dim = sizes[1] + sizes[2] + 2

    def function(z: Tensor) -> Tensor:
        choose = random.Random(seed)
        weights = z[2 : 2 + sizes[1]]
        pool = [z[0], z[1], weights, z[2 + sizes[1] :], data[0] @ weights, data[0] * z[0], *data]
        for _ in range(choose.randint(4, 14)):
            x, y = choose.choice(pool), choose.choice(pool)
            made = choose.choice([unary, reduced, moved, joined, joined])
            result = made(choose, x, y) if made is joined else made(choose, x)
            if 0 < result.numel() <= 20_000:
                pool.append(result)
        return sum((0.1 * (i + 1) * x.mean() for i, x in enumerate(pool)), z.sum())

    return function, dim


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_program(seed):
    function, dim = program(seed)
    z = torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    graph = gradient_graph(function, z)
    native = NativeFunction(graph)
    for scale in (1.0, -0.6):
        leaf = (scale * z).requires_grad_()
        with double_precision():
            value = function(leaf)
            (gradient,) = torch.autograd.grad(value, leaf)
        found, found_gradient = native.value_and_grad(scale * z)
        assert found.item() == pytest.approx(value.item(), rel=1e-10, abs=1e-10)
        assert (found_gradient - gradient).abs().max() <= 1e-10 * max(1.0, gradient.abs().max().item())
    values, gradients = evaluate(batch(graph, 2), [torch.stack([z, -0.6 * z])])
    assert values[1].item() == pytest.approx(value.item(), rel=1e-10, abs=1e-10)
    assert (gradients[1] - gradient).abs().max() <= 1e-10 * max(1.0, gradient.abs().max().item())
