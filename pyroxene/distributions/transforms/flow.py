"""The base of normalising flows: a transform that computes its value and its log-Jacobian in one pass."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

from pyroxene.distributions import constraints

__all__ = ["Flow"]


class Flow(Transform):
    """Abstract: a bijection whose value and log-Jacobian come from one evaluation of its parameters.

    With a cache, the log-Jacobian of the last pair of values is kept beside them, and `log_abs_det_jacobian` returns
    it if it is asked for these very tensors. `clear_cache` forgets both: call it after a change of parameters.

    Implementing a Flow: define `_push(x)`, which returns y and the log-Jacobian, of the shape of x without the event;
    and, where there is an inverse, `_pull(y)`, which returns x and the log-Jacobian of `_push` there, or None where
    that costs another evaluation. Both are pure. Classes with learnable parameters inherit from `TransformModule` too,
    and call its `__init__` with `cache_size=1`.
    """

    domain: Constraint = constraints.real_vector
    codomain: Constraint = constraints.real_vector
    bijective = True

    _cached_jacobian: tuple[Tensor, Tensor, Tensor] | None = None

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return y and log |dy/dx|."""
        raise NotImplementedError(f"{type(self).__name__} defines _push")

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return x and log |dy/dx|, or None for the latter."""
        raise NotImplementedError(f"{type(self).__name__} has no inverse")

    def _keep(self, x: Tensor, y: Tensor, log_jacobian: Tensor | None) -> None:
        if self._cache_size and log_jacobian is not None:
            self._cached_jacobian = x, y, log_jacobian

    def _call(self, x: Tensor) -> Tensor:
        y, log_jacobian = self._push(x)
        self._keep(x, y, log_jacobian)
        return y

    def _inverse(self, y: Tensor) -> Tensor:
        x, log_jacobian = self._pull(y)
        self._keep(x, y, log_jacobian)
        return x

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        """Return log |dy/dx|, the shape of x without the event."""
        kept = self._cached_jacobian
        if kept is not None and kept[0] is x and kept[1] is y:
            return kept[2]
        return self._push(x)[1]

    def clear_cache(self) -> None:
        """Forget the last pair of values and their log-Jacobian."""
        if self._cache_size:
            self._cached_x_y = None, None
        self._cached_jacobian = None

    def with_cache(self, cache_size: int = 1) -> Transform:
        """Return this transform, sharing its parameters, with a cache of size 0 or 1; itself where nothing changes."""
        if self._cache_size == cache_size:
            return self
        other = copy.copy(self)
        other._cache_size = cache_size
        other.clear_cache()
        return other

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()
        state.pop("_cached_jacobian", None)
        if "_cached_x_y" in state:
            state["_cached_x_y"] = None, None
        return state
