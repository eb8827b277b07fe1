"""Shapes, scaling and masking, deep copies and the validation switch."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist
from pyroxene import settings
from pyroxene.distributions import util
from pyroxene.errors import ShapeError


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([], ()),
        ([()], ()),
        ([(3,), ()], (3,)),
        ([(3, 1), (1, 4)], (3, 4)),
        ([(3, 1), (4,)], (3, 4)),
        ([(2,), (2,)], (2,)),
        ([(5, 1, 1), (3, 1), (4,)], (5, 3, 4)),
        ([(0,), (1,)], (0,)),
    ],
)
def test_broadcast_shape(shapes, expected):
    assert util.broadcast_shape(*shapes) == expected
    assert torch.broadcast_shapes(*shapes) == expected


@pytest.mark.parametrize("shapes", [[(2,), (3,)], [(2, 1), (3, 4)], [(0,), (2,)]])
def test_broadcast_shape_refuses(shapes):
    with pytest.raises(ShapeError, match="shape mismatch"):
        util.broadcast_shape(*shapes)


def test_strict_broadcast_extends_but_does_not_stretch():
    assert util.broadcast_shape((3,), (2, 3), strict=True) == (2, 3)
    for shapes in [((3, 1), (1, 4)), ((3, 1), (3,)), ((1,), (2,))]:
        with pytest.raises(ValueError, match="shape mismatch"):
            util.broadcast_shape(*shapes, strict=True)


@pytest.mark.parametrize(
    ("dim", "shape"), [(0, (2, 3, 4)), (1, (2, 3)), (2, (2,)), (3, ()), (-1, (2,)), (-2, (2, 3)), (float("inf"), ())]
)
def test_sum_rightmost(dim, shape):
    x = torch.arange(24.0).reshape(2, 3, 4)
    summed = util.sum_rightmost(x, dim)
    assert summed.shape == shape
    assert summed.sum() == x.sum()
    assert torch.equal(summed, x.reshape((*shape, -1)).sum(-1) if summed.dim() < 3 else x)


@pytest.mark.parametrize(("dim", "shape"), [(0, (2, 3, 4)), (1, (3, 4)), (2, (4,)), (3, ()), (-1, (4,)), (-2, (3, 4))])
def test_sum_leftmost(dim, shape):
    x = torch.arange(24.0).reshape(2, 3, 4)
    summed = util.sum_leftmost(x, dim)
    assert summed.shape == shape
    assert torch.equal(summed, x.reshape((-1, *shape)).sum(0) if summed.dim() < 3 else x)


def test_sums_leave_numbers_alone():
    assert util.sum_rightmost(3.0, 2) == 3.0 and util.sum_leftmost(3.0, 2) == 3.0


def test_scale_and_mask_costs_nothing_where_nothing_is_to_do():
    x = torch.randn(3)
    for scale in [1, 1.0]:
        for mask in [None, True]:
            assert util.scale_and_mask(x, scale, mask) is x
    assert util.scale_and_mask(0, torch.tensor(2.0), torch.tensor([True, False])) == 0


def test_scale_and_mask():
    x = torch.tensor([1.0, torch.nan], requires_grad=True)
    mask = torch.tensor([True, False])
    result = util.scale_and_mask(x, torch.tensor([[2.0], [3.0]]), mask)
    assert torch.equal(result, torch.tensor([[2.0, 0.0], [3.0, 0.0]]))
    assert torch.equal(torch.autograd.grad(result.sum(), x)[0], torch.tensor([5.0, 0.0]))
    assert torch.equal(util.scale_and_mask(x, 2.0, False), torch.zeros(2))
    assert util.scale_and_mask(x, torch.ones(4, 1), False).shape == (4, 2)
    assert util.scale_and_mask(3.0, 2.0) == 6.0
    assert util.scale_and_mask(3.0, 2.0, False) == 0.0


def test_identically_zero_and_one_read_no_tensor():
    assert all(map(util.is_identically_zero, [0, 0.0, False]))
    assert not any(map(util.is_identically_zero, [1, None, torch.tensor(0.0)]))
    assert all(map(util.is_identically_one, [1, 1.0, True]))
    assert not any(map(util.is_identically_one, [0, None, torch.tensor(1.0)]))


def test_scalar_like():
    assert util.scalar_like(torch.zeros(3, dtype=torch.float64), 2).dtype == torch.float64
    assert util.scalar_like(torch.zeros(3, dtype=torch.long), 2).equal(torch.tensor(2))


@pytest.mark.parametrize("dim", [-1, -2, 1, 2])
def test_gather_broadcasts_the_other_dimensions(dim):
    torch.manual_seed(0)
    value = torch.randn(2, 3, 4)
    index = torch.randint(3, (5, 1, 1, 1))
    got = util.gather(value, index, dim)
    from_right = dim if dim < 0 else dim - 3
    for i in range(5):
        assert torch.equal(got[i], value.select(from_right, int(index[i])).unsqueeze(from_right))


def test_detach_shares_storage_and_keeps_identity():
    x = torch.randn(3, requires_grad=True)
    tree = {"a": [x, x], "d": dist.Normal(x * 2, 1.0), "n": 3}
    copied = util.detach(tree)
    assert copied["a"][0] is copied["a"][1]
    assert not copied["a"][0].requires_grad and not copied["d"].loc.requires_grad
    assert copied["a"][0].data_ptr() == x.data_ptr()
    assert type(copied["d"]) is dist.Normal and copied["n"] == 3
    assert tree["d"].loc.requires_grad


def test_deep_to():
    x = torch.randn(3, requires_grad=True)
    d = util.deep_to(dist.Normal(x, 1.0).to_event(1), torch.float64)
    assert d.base_dist.loc.dtype == d.base_dist.scale.dtype == torch.float64
    d.base_dist.loc.sum().backward()
    assert torch.equal(x.grad, torch.ones(3))
    module = util.deep_to(torch.nn.Linear(2, 2), dtype=torch.float64)
    assert isinstance(module.weight, torch.nn.Parameter) and module.weight.dtype == torch.float64
    assert module(torch.ones(2, dtype=torch.float64)).dtype == torch.float64


def test_weakmethod_does_not_keep_its_object():
    class Owner:
        @util.weakmethod
        def value(self, x, *, y=1):
            """Doc."""
            return self, x + y

    owner = Owner()
    method = owner.value
    assert method(2, y=3) == (owner, 5)
    assert method.__doc__ == "Doc."
    del owner
    gc.collect()
    with pytest.raises(ReferenceError, match="value"):
        method(2)


def test_validation_is_one_switch_for_torch_and_us():
    before = util.is_validation_enabled(), torchdist.Distribution._validate_args
    with dist.validation_enabled(False):
        assert not util.is_validation_enabled()
        assert not settings.get("validate_distributions_torch")
        dist.Normal(0.0, -1.0)
        dist.enable_validation()
        with pytest.raises(ValueError, match="scale"):
            dist.Normal(0.0, -1.0)
        with pytest.raises(ValueError, match="scale"):
            dist.Normal(torch.zeros(2), -torch.ones(2))
    assert (util.is_validation_enabled(), torchdist.Distribution._validate_args) == before


def test_deep_copies_of_distributions_need_no_detour():
    d = dist.Normal(torch.zeros(2), 1.0).mask(torch.tensor([True, False]))
    assert torch.equal(copy.deepcopy(d).log_prob(torch.zeros(2)), d.log_prob(torch.zeros(2)))
