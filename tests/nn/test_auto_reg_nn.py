"""Autoregressive networks: masks by hand, the autoregressive property by jacobian, numbers stored from Pyro."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pyroxene.errors import UsageError
from pyroxene.nn import AutoRegressiveNN, ConditionalAutoRegressiveNN, MaskedLinear
from pyroxene.ops.networks.auto_reg_nn import create_mask, sample_mask_indices

X = torch.tensor([[0.5, -1.0, 2.0]])
CONTEXT = torch.tensor([0.25, -0.5])


def jacobian(net: nn.Module, *args: torch.Tensor) -> torch.Tensor:
    """Sum of absolute derivatives of all parameters of output i by input j, shape (input_dim, input_dim)."""

    def outputs(x: torch.Tensor) -> torch.Tensor:
        made = net(x, *args)
        made = (made,) if isinstance(made, torch.Tensor) else made
        return torch.cat([part.reshape(-1, x.shape[-1]) for part in made])

    x = torch.randn(net.input_dim, dtype=torch.float64)
    return torch.autograd.functional.jacobian(outputs, x).abs().sum(0)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("param_dims", [[1], [1, 1], [2], [2, 3]])
@pytest.mark.parametrize("hidden_dims", [[9], [8, 12, 7]])
@pytest.mark.parametrize("context_dim", [0, 2])
def test_output_depends_on_the_inputs_before_it_only(
    context_dim: int, hidden_dims: list[int], param_dims: list[int], skip: bool
):
    torch.manual_seed(0)
    dim = 5
    options = {"param_dims": param_dims, "skip_connections": skip, "nonlinearity": nn.Tanh()}
    if context_dim:
        net = ConditionalAutoRegressiveNN(dim, context_dim, hidden_dims, **options).double()
        found = jacobian(net, torch.randn(context_dim, dtype=torch.float64))
    else:
        net = AutoRegressiveNN(dim, hidden_dims, **options).double()
        found = jacobian(net)
    order = net.get_permutation()
    assert sorted(order.tolist()) == list(range(dim))
    in_order = found[order][:, order]
    assert torch.equal(in_order.triu(), torch.zeros(dim, dim, dtype=torch.float64))
    assert (in_order[torch.tril_indices(dim, dim, -1).unbind()] > 0).all()


def test_every_output_depends_on_the_context():
    torch.manual_seed(0)
    net = ConditionalAutoRegressiveNN(3, 2, [8], param_dims=[1], nonlinearity=nn.Tanh())
    by_context = torch.autograd.functional.jacobian(lambda context: net(X[0], context), CONTEXT)
    assert (by_context != 0).all()


def test_masks_by_hand():
    # inputs in the order 2, 0, 1: degrees 2, 3, 1. Hidden degrees without a context: linspace(1, 2, 4) = 1, 1, 2, 2.
    masks, skip = create_mask(3, 0, [4], torch.tensor([2, 0, 1]), 1)
    assert masks[0].tolist() == [[0, 0, 1], [0, 0, 1], [1, 0, 1], [1, 0, 1]]
    assert masks[1].tolist() == [[1, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]
    assert skip.tolist() == [[0, 0, 1], [1, 0, 1], [0, 0, 0]]
    # With a context: round(linspace(1, 3, 4)) - 1 = 0, 1, 1, 2; the outputs come twice.
    masks, skip = create_mask(3, 1, [4], torch.tensor([2, 0, 1]), 2)
    assert masks[0].tolist() == [[1, 0, 0, 0], [1, 0, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1]]
    assert masks[1].tolist() == 2 * [[1, 1, 1, 0], [1, 1, 1, 1], [1, 0, 0, 0]]
    assert skip.tolist() == 2 * [[1, 0, 0, 1], [1, 1, 0, 1], [1, 0, 0, 0]]


def test_mask_indices():
    assert sample_mask_indices(3, 7).tolist() == [1, 1, 2, 2, 2, 3, 3]
    assert sample_mask_indices(1, 4).tolist() == [1, 1, 1, 1]
    torch.manual_seed(0)
    random = torch.stack([sample_mask_indices(4, 9, simple=False) for _ in range(50)])
    spread = torch.linspace(1, 4, 9)
    assert ((random == spread.floor()) | (random == spread.ceil())).all()
    assert len(random.unique(dim=0)) > 1


def test_masked_linear_is_linear_in_the_masked_weight():
    torch.manual_seed(0)
    mask = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    layer = MaskedLinear(3, 2, mask)
    assert torch.allclose(layer(X), X @ (layer.weight * mask).T + layer.bias)
    assert list(layer.state_dict()) == ["weight", "bias", "mask"]
    assert MaskedLinear(3, 2, mask, bias=False).bias is None


@pytest.mark.parametrize(
    "param_dims, shapes",
    [([1], (7, 3)), ([2], (7, 2, 3)), ([1, 1], [(7, 3), (7, 3)]), ([2, 1], [(7, 2, 3), (7, 1, 3)])],
)
def test_shapes(param_dims: list[int], shapes: object):
    torch.manual_seed(0)
    for made in (
        AutoRegressiveNN(3, [4], param_dims=param_dims)(torch.randn(7, 3)),
        ConditionalAutoRegressiveNN(3, 2, [4], param_dims=param_dims)(torch.randn(7, 3), CONTEXT),
        ConditionalAutoRegressiveNN(3, 2, [4], param_dims=param_dims)(torch.randn(7, 3), torch.randn(7, 2)),
    ):
        found = tuple(made.shape) if isinstance(made, torch.Tensor) else [tuple(part.shape) for part in made]
        assert found == shapes


def test_numbers_of_pyro():
    torch.manual_seed(0)
    net = AutoRegressiveNN(3, [4], skip_connections=True)
    assert net.permutation.tolist() == [2, 0, 1]
    mean, scale = net(X)
    assert torch.allclose(mean, torch.tensor([[0.6190928220748901, 0.32668641209602356, -0.3612831234931946]]))
    assert torch.allclose(scale, torch.tensor([[-0.4495071768760681, -0.6766523718833923, 0.293160617351532]]))

    torch.manual_seed(1)
    net = ConditionalAutoRegressiveNN(3, 2, [4, 5], param_dims=[1, 2], nonlinearity=nn.Tanh())
    assert net.permutation.tolist() == [1, 2, 0]
    one, two = net(X, CONTEXT)
    assert torch.allclose(one, torch.tensor([[[-0.008861809968948364, 0.08667594939470291, -0.26670682430267334]]]))
    expected = [
        [-0.28270840644836426, 0.4424971342086792, -0.15180815756320953],
        [0.5056675672531128, 0.31837940216064453, -0.17552556097507477],
    ]
    assert torch.allclose(two, torch.tensor([expected]))


def test_state_has_pyros_names():
    net = AutoRegressiveNN(2, [3], skip_connections=True)
    assert list(net.state_dict()) == [
        "permutation",
        "layers.0.weight",
        "layers.0.bias",
        "layers.0.mask",
        "layers.1.weight",
        "layers.1.bias",
        "layers.1.mask",
        "skip_layer.weight",
        "skip_layer.mask",
    ]


@pytest.mark.parametrize("hidden_dims", [[], [2], [5, 2]])
def test_hidden_layers_that_are_too_small(hidden_dims: list[int]):
    with pytest.raises(UsageError, match="Hidden dimension") as caught:
        AutoRegressiveNN(3, hidden_dims)
    assert isinstance(caught.value, ValueError)


def test_one_input_is_told():
    with pytest.warns(UserWarning, match="input_dim = 1") as told:
        net = AutoRegressiveNN(1, [4])
    assert told[0].filename == __file__
    assert torch.equal(net(torch.tensor([0.0]))[0], net(torch.tensor([3.0]))[0])
