"""What is particular to emitted text: long programs are cut into functions."""

from __future__ import annotations

import pytest
import torch

from pyroxene.compiler.compile import gradient_graph
from pyroxene.compiler.engines.native import emit
from pyroxene.compiler.engines.native.engine import NativeFunction

ROWS = torch.linspace(-1.0, 2.0, 300, dtype=torch.float64)


def program(z):
    is_up, place = z[0] > 0, (z[1] * 2).long()
    total = z.exp().sum()
    for _ in range(4):
        total = total + torch.where(is_up & (ROWS > total), ROWS * z[1], z[0]).sum().tanh()
    return total * z[:2][place]


@pytest.mark.parametrize("longest", [10, 1000])
def test_scalars_of_any_kind_cross_from_function_to_function(longest, monkeypatch):
    monkeypatch.setattr(emit, "LONGEST", longest)
    z = torch.tensor([0.3, 0.6], dtype=torch.float64)
    native = NativeFunction(gradient_graph(program, z))
    assert ("density_1(" in native.program.source) == (longest == 10)
    leaf = z.clone().requires_grad_()
    value = program(leaf)
    found, gradient = native.value_and_grad(z)
    assert found.item() == pytest.approx(value.item(), rel=1e-12)
    assert torch.allclose(gradient, torch.autograd.grad(value, leaf)[0], rtol=1e-12)
