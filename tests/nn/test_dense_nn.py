"""Dense networks: shapes, composition by hand, numbers stored from Pyro."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyroxene.errors import UsageError
from pyroxene.nn import ConditionalDenseNN, DenseNN

X = torch.tensor([[0.5, -1.0, 2.0]])
CONTEXT = torch.tensor([0.25, -0.5])


@pytest.mark.parametrize(
    "param_dims, shapes", [([1], (7, 1)), ([2], (7, 2)), ([1, 1], [(7, 1), (7, 1)]), ([2, 3], [(7, 2), (7, 3)])]
)
def test_shapes(param_dims: list[int], shapes: object):
    torch.manual_seed(0)
    for made in (
        DenseNN(3, [4], param_dims=param_dims)(torch.randn(7, 3)),
        ConditionalDenseNN(3, 2, [4, 5], param_dims=param_dims)(torch.randn(7, 3), CONTEXT),
        ConditionalDenseNN(3, 2, [4], param_dims=param_dims)(torch.randn(7, 3), torch.randn(7, 2)),
    ):
        found = tuple(made.shape) if isinstance(made, torch.Tensor) else [tuple(part.shape) for part in made]
        assert found == shapes


def test_layers_by_hand():
    torch.manual_seed(0)
    net = ConditionalDenseNN(3, 2, [4, 5], param_dims=[2], nonlinearity=nn.Tanh())
    first, second, last = net.layers
    h = torch.cat([CONTEXT.expand(1, 2), X], dim=-1)
    assert torch.allclose(net(X, CONTEXT), last(second(first(h).tanh()).tanh()))


def test_numbers_of_pyro():
    torch.manual_seed(2)
    one, two = DenseNN(3, [4], param_dims=[1, 2])(X)
    assert torch.allclose(one, torch.tensor([[-0.48483747243881226]]))
    assert torch.allclose(two, torch.tensor([[-0.48118001222610474, -0.4266214072704315]]))
    torch.manual_seed(3)
    made = ConditionalDenseNN(3, 2, [4], param_dims=[2])(X, CONTEXT)
    assert torch.allclose(made, torch.tensor([[-0.5621521472930908, -0.6425012946128845]]))


def test_state_has_pyros_names():
    names = ["layers.0.weight", "layers.0.bias", "layers.1.weight", "layers.1.bias"]
    assert list(DenseNN(2, [3]).state_dict()) == names


def test_without_hidden_layer():
    with pytest.raises(UsageError, match="hidden layer"):
        DenseNN(3, [])
