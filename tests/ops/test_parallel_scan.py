"""Products in pairs are the products in order, at every length."""

from __future__ import annotations

import pytest
import torch

from pyroxene.ops.parallel_scan import prefix_products, product

LENGTHS = pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 17])


def follow(x, y):
    """Composition of affine maps z -> z @ matrix + shift; it does not commute."""
    return x[0] @ y[0], (x[1].unsqueeze(-2) @ y[0]).squeeze(-2) + y[1]


def maps(length):
    torch.manual_seed(length)
    return torch.randn(3, length, 2, 2, dtype=torch.float64), torch.randn(3, length, 2, dtype=torch.float64)


def in_order(elements):
    now, all_of_them = None, []
    for t in range(elements[0].shape[1]):
        step = tuple(x[:, t] for x in elements)
        now = step if now is None else follow(now, step)
        all_of_them.append(now)
    return all_of_them


@LENGTHS
def test_product(length):
    elements = maps(length)
    torch.testing.assert_close(product(follow, elements, (-3, -2)), in_order(elements)[-1])


@LENGTHS
def test_prefix_products(length):
    elements = maps(length)
    expected = tuple(torch.stack(column, 1) for column in zip(*in_order(elements)))
    torch.testing.assert_close(prefix_products(follow, elements, (-3, -2)), expected)


@pytest.mark.parametrize("run, most", [(product, 10), (prefix_products, 20)])
def test_depth_is_logarithmic(run, most):
    calls = []

    def add(x, y):
        calls.append(x[0].shape)
        return (x[0] + y[0],)

    run(add, (torch.ones(1024),), (-1,))
    assert len(calls) <= most
