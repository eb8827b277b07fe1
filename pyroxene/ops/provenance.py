"""Provenance: tensors that remember which named values they were computed from.

What is tracked is what torch sees as an operation on tensors. A number read out of a tensor (`.item()`, `float(x)`),
the target of an in-place operation, and what `torch.func.vmap` hands back do not know where they came from.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch.distributions import Distribution

__all__ = ["ProvenanceTensor", "detach_provenance", "extract_provenance", "get_provenance", "track_provenance"]

Names = frozenset[str]
T = TypeVar("T")


class ProvenanceTensor(torch.Tensor):
    """A tensor with the set of names that it depends on; results of operations carry the union. Final.

    Args:
        data: the values; a tensor that has a provenance keeps it as well.
        provenance: names. Where there are none, the plain `data` is returned.

    Example:
        >>> a = ProvenanceTensor(torch.ones(2), frozenset({"a"}))
        >>> b = ProvenanceTensor(torch.zeros(2), frozenset({"b"}))
        >>> sorted(get_provenance(torch.stack([a, 2 * b, torch.ones(2)])))
        ['a', 'b']
    """

    _t: torch.Tensor
    _provenance: Names

    def __new__(cls, data: torch.Tensor, provenance: Names = frozenset()) -> Any:
        """Return `data` with a provenance; `data` itself where there is nothing to remember."""
        if isinstance(data, ProvenanceTensor):
            provenance = data._provenance | provenance
            data = data._t
        if not provenance:
            return data
        new: Any = data.as_subclass(cls)
        new.__dict__.update(data.__dict__)  # such as `unconstrained`, which the parameter store hangs on a value
        new._t = data  # operations act on this one, so that a leaf stays a leaf and is written to in place
        new._provenance = provenance
        return new

    def __init__(self, data: torch.Tensor, provenance: Names = frozenset()) -> None:
        pass

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]  # torch's has no annotations
        return f"Provenance:\n{self._provenance}\nTensor:\n{self._t}"

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run an operation on the plain tensors and hand the union of their provenance to its results."""
        found: set[str] = set()
        args, kwargs = _strip((args, kwargs or {}), found)
        return track_provenance(func(*args, **kwargs), frozenset(found))


def _over_tensors(change: Callable[[torch.Tensor], Any], x: Any) -> Any:
    """Apply a function to every tensor in nested containers and in distributions; anything else stays as it is."""
    if isinstance(x, torch.Tensor):
        return change(x)
    if isinstance(x, dict):
        new = copy.copy(x)  # keeps the class: OrderedDict, defaultdict
        for key, value in x.items():
            new[key] = _over_tensors(change, value)
        return new
    if isinstance(x, torch.Size):
        return x
    if isinstance(x, (tuple, list, set, frozenset)):
        parts = [_over_tensors(change, part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, Distribution):
        changed = copy.copy(x)
        changed.__dict__.update(_over_tensors(change, x.__dict__))
        return changed
    return x


def _strip(x: Any, found: set[str]) -> Any:
    """Return `x` with plain tensors, and add to `found` the names that they carried."""

    def change(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, ProvenanceTensor):
            found.update(tensor._provenance)
            return tensor._t
        return tensor

    return _over_tensors(change, x)


def track_provenance(x: T, provenance: Names) -> T:
    """Add names to the provenance of every tensor in `x`.

    Args:
        x: a tensor, a distribution, or nested tuples, lists, dicts and sets of them; anything else stays as it is.
        provenance: names.

    Returns:
        a copy of `x` whose tensors share the memory of the old ones.

    Example:
        >>> x = track_provenance({"x": torch.zeros(2), "n": 3}, frozenset({"a"}))
        >>> get_provenance(x), x["n"]
        (frozenset({'a'}), 3)
    """
    if not provenance:
        return x
    tracked: T = _over_tensors(lambda tensor: ProvenanceTensor(tensor, provenance), x)
    return tracked


def extract_provenance(x: T) -> tuple[T, Names]:
    """Return `x` with plain tensors, and the union of the provenance that they had.

    Example:
        >>> x, names = extract_provenance([track_provenance(torch.zeros(2), frozenset({"a"})), torch.ones(1)])
        >>> x, names
        ([tensor([0., 0.]), tensor([1.])], frozenset({'a'}))
    """
    found: set[str] = set()
    return _strip(x, found), frozenset(found)


def get_provenance(x: Any) -> Names:
    """Return the names that `x`, or any tensor in it, depends on.

    Args:
        x: a tensor, a distribution, or nested tuples, lists, dicts and sets of them.

    Example:
        >>> from torch.distributions import Normal
        >>> a = track_provenance(torch.zeros(2), frozenset({"a"}))
        >>> get_provenance(a[0].exp()), get_provenance(Normal(a, 1.0)), get_provenance(a.sum().item())
        (frozenset({'a'}), frozenset({'a'}), frozenset())
    """
    return extract_provenance(x)[1]


def detach_provenance(x: T) -> T:
    """Return `x` with plain tensors, which remember nothing.

    Args:
        x: a tensor, a distribution, or nested tuples, lists, dicts and sets of them.

    Example:
        >>> a = track_provenance(torch.zeros(2), frozenset({"a"}))
        >>> type(detach_provenance(a)) is torch.Tensor
        True
    """
    return extract_provenance(x)[0]
