"""Kinds of parameters, and what a line of a table is: a class with a kind for each parameter.

A kind makes values of a batch shape and dtype. Kinds with an event, such as `vector`, add it to the batch shape.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributions as torchdist

import pyroxene.distributions as dist

Kind = Callable[[tuple[int, ...], torch.dtype], Any]


def real(batch, dtype):
    return torch.randn(batch, dtype=dtype)


def positive(batch, dtype):
    return torch.rand(batch, dtype=dtype) * 2 + 0.5


def large(batch, dtype):
    return torch.rand(batch, dtype=dtype) * 2 + 5


def unit(batch, dtype):
    return torch.rand(batch, dtype=dtype) * 0.8 + 0.1


def vector(batch, dtype):
    return torch.randn((*batch, 3), dtype=dtype)


def positive_vector(batch, dtype):
    return torch.rand((*batch, 3), dtype=dtype) * 2 + 0.5


def simplex(batch, dtype):
    return torch.softmax(torch.randn((*batch, 3), dtype=dtype), -1)


def tall(batch, dtype):
    return torch.randn((*batch, 3, 2), dtype=dtype)


def tril(batch, dtype):
    return torch.randn((*batch, 3, 3), dtype=dtype).tril(-1) + torch.diag_embed(
        torch.rand((*batch, 3), dtype=dtype) + 0.5
    )


def spd(batch, dtype):
    factor = tril(batch, dtype)
    return factor @ factor.mT


def trials(batch, dtype):
    return torch.full(batch, 5.0, dtype=dtype)


def fixed(value: Any) -> Kind:
    """A parameter that is not a tensor; it has no shape for infer_shapes."""
    return lambda batch, dtype: value


def below(batch, dtype):
    return -positive(batch, dtype)


def components(batch, dtype):
    return torchdist.Normal(torch.randn((*batch, 3), dtype=dtype), torch.ones((*batch, 3), dtype=dtype))


def weights(batch, dtype):
    return torchdist.Categorical(simplex(batch, dtype))


def normal(batch, dtype):
    return dist.Normal(torch.randn(batch, dtype=dtype), torch.ones(batch, dtype=dtype))


def normal_rows(batch, dtype):
    return normal((*batch, 3), dtype)


@dataclasses.dataclass
class Case:
    cls: type
    kinds: dict[str, Kind]
    atol: float = 1e-9
    scipy: Callable[..., Any] | None = None  # parameters as numpy arrays -> a frozen scipy distribution

    def make(self, batch=(), dtype=torch.float64, cls=None, **kwargs):
        return (cls or self.cls)(**self.parameters(batch, dtype), **kwargs)

    def is_plain(self):
        """Whether the parameters are tensors and numbers, not distributions."""
        return not any(isinstance(p, torchdist.Distribution) for p in self.parameters().values())

    def parameters(self, batch=(), dtype=torch.float64):
        return {name: kind(batch, dtype) for name, kind in self.kinds.items()}


def case(cls: type, *, ref: Callable[..., Any] | None = None, atol: float = 1e-9, **kinds: Kind) -> Any:
    return pytest.param(Case(cls, kinds, atol, ref), id=f"{cls.__name__}({', '.join(kinds)})")
