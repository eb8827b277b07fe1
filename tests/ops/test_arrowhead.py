"""Arrowheads equal their dense forms."""

from __future__ import annotations

import pytest
import torch

from pyroxene.ops.arrowhead import SymmArrowhead, TriuArrowhead, sqrt, triu_gram, triu_inverse, triu_matvecmul


def dense(x):
    head, size = x.top.shape
    full = torch.zeros(size, size, dtype=x.top.dtype)
    full[:head] = x.top
    full[head:, head:] = x.bottom_diag.diag()
    if isinstance(x, SymmArrowhead):
        full[head:, :head] = x.top[:, head:].T
    return full


def example(head, size):
    torch.manual_seed(head)
    root = torch.randn(size, size, dtype=torch.float64)
    matrix = root @ root.T + size * torch.eye(size, dtype=torch.float64)
    return SymmArrowhead(matrix[:head], matrix.diagonal()[head:])


@pytest.mark.parametrize("head", [0, 1, 3, 5])
def test_the_root_the_inverse_and_the_products(head):
    x = example(head, 5)
    root = sqrt(x)
    assert isinstance(root, TriuArrowhead)
    full = dense(root)
    torch.testing.assert_close(full @ full.T, dense(x))
    assert torch.equal(full.triu(), full)
    torch.testing.assert_close(dense(triu_inverse(root)), torch.linalg.inv(full))
    y = torch.randn(5, dtype=torch.float64)
    torch.testing.assert_close(triu_matvecmul(root, y), full @ y)
    torch.testing.assert_close(triu_matvecmul(root, y, transpose=True), full.T @ y)
    torch.testing.assert_close(triu_gram(root), full.T @ full)


def test_an_indefinite_matrix_has_no_root():
    with pytest.raises(RuntimeError):
        sqrt(SymmArrowhead(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0])))
