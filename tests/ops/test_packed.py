"""Packed tensors."""

from __future__ import annotations

import pytest
import torch

from pyroxene.ops import packed

GRID = torch.arange(6.0).reshape(3, 2)


def pack(value, dims):
    return packed.pack(value, {i - len(dims): s for i, s in enumerate(dims)})


def test_packing_drops_singletons_and_unpacking_puts_them_back():
    value = GRID.reshape(3, 1, 2)
    small = packed.pack(value, {-1: "a", -3: "b", -7: "z"})
    assert small._pyro_dims == "ba" and (small == GRID).all()
    assert (packed.unpack(small, {"a": -1, "b": -3, "z": -2}) == value).all()
    assert (packed.unpack(small, {"a": -3, "b": -1}) == value.permute(2, 1, 0)).all()
    assert not hasattr(value, "_pyro_dims") and not hasattr(GRID, "_pyro_dims")
    scalar = packed.pack(torch.tensor(2.0), {})
    assert scalar._pyro_dims == "" and packed.unpack(scalar, {}).shape == ()


@pytest.mark.parametrize("value", [3.0, True, None])
def test_numbers_pass_through(value):
    assert packed.pack(value, {}) is value and packed.unpack(value, {}) is value


def test_a_dimension_without_a_symbol():
    with pytest.raises(
        ValueError, match=r"allowed dims: -1\n  actual shape: \(3, 2\)\n  try: declare a plate at dim -2"
    ):
        packed.pack(GRID, {-1: "a"})
    with pytest.raises(ValueError, match="unpacked"):
        packed.pack(pack(GRID, "ba"), {-1: "a", -2: "b"})


def test_broadcasting():
    one, two = pack(GRID, "ba"), pack(torch.arange(2.0), "a")
    for dims, expected in ((None, "ab"), ("ba", "ba")):
        wide, thin = packed.broadcast_all(one, two, dims=dims)
        assert wide._pyro_dims == thin._pyro_dims == expected
        assert wide.shape == thin.shape == ((2, 3) if expected == "ab" else (3, 2))
        product = (wide * thin) if expected == "ba" else (wide * thin).T
        assert (product == GRID * torch.arange(2.0)).all()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, GRID),
        ({"scale": 2.0}, 2 * GRID),
        ({"scale": torch.tensor(2.0)}, 2 * GRID),
        ({"mask": True}, GRID),
        ({"mask": False}, 0 * GRID),
        ({"mask": pack(torch.tensor([True, False]), "a")}, GRID * torch.tensor([1.0, 0.0])),
        ({"scale": pack(torch.tensor([1.0, 2.0, 3.0]), "b")}, GRID * torch.tensor([[1.0], [2.0], [3.0]])),
    ],
)
def test_scale_and_mask(arguments, expected):
    result = packed.scale_and_mask(pack(GRID, "ba"), **arguments)
    order = [result._pyro_dims.index(s) for s in "ba"]
    assert (result.permute(order) == expected).all()


def test_equations_in_the_operands_symbols():
    assert packed.rename_equation("xy,y->x", pack(GRID, "ba"), pack(torch.arange(2.0), "a")) == "ba,a->b"
    assert packed.rename_equation("x,x->x,", pack(torch.ones(2), "a"), pack(torch.ones(2), "a")) == "a,a->a,"


def test_symbols_are_letters_and_never_repeat():
    symbols = [packed.symbol(i) for i in range(500)]
    assert symbols[:3] == ["a", "b", "c"] and symbols[26] == "A" and len(set(symbols)) == 500
    assert all(s.isalpha() for s in symbols[:52])
