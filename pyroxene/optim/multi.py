"""Optimisers that get the loss itself, not only its gradients, so that different kinds work on one loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.optim import Optimizer

from pyroxene.errors import MissingParamError, OptionError, UsageError
from pyroxene.ops.newton import newton_step
from pyroxene.optim.optim import PyroOptim

__all__ = ["MixedMultiOptimizer", "MultiOptimizer", "Newton", "PyroMultiOptimizer", "TorchMultiOptimizer"]

Values = dict[str, torch.Tensor]


class MultiOptimizer:
    """Abstract: an optimiser that steps named parameters, given a differentiable loss.

    Implementing a MultiOptimizer: define one of
        step(loss, params) updates the parameters in place;
        get_step(loss, params) returns their new values, differentiable, and changes nothing.
    """

    def step(self, loss: torch.Tensor, params: Values) -> None:
        """Update parameters in place.

        Args:
            loss: a scalar, a function of the parameters; without .backward() having been called.
            params: unconstrained tensors by name.
        """
        self._prepare(loss, params)()

    def get_step(self, loss: torch.Tensor, params: Values) -> Values:
        """Return the parameters' new values by name, differentiable; the parameters stay as they are.

        Args:
            loss: a scalar, a function of the parameters.
            params: unconstrained tensors by name.
        """
        raise NotImplementedError(f"{type(self).__name__} steps in place and has no differentiable step")

    def _prepare(self, loss: torch.Tensor, params: Values) -> Callable[[], None]:
        """Differentiate the loss now; return what updates the parameters later."""
        if type(self).step is not MultiOptimizer.step:  # a user's class that defines only `step`
            return lambda: self.step(loss, params)
        updated = {name: value.detach() for name, value in self.get_step(loss, params).items()}

        def update() -> None:
            with torch.no_grad():
                for name, value in updated.items():
                    params[name].copy_(value)

        return update


class PyroMultiOptimizer(MultiOptimizer):
    """A PyroOptim as a MultiOptimizer.

    Args:
        optim: what steps the parameters, from gradients of the loss.
    """

    def __init__(self, optim: PyroOptim) -> None:
        self.optim = optim

    def _prepare(self, loss: torch.Tensor, params: Values) -> Callable[[], None]:
        leaves = list(params.values())
        grads = torch.autograd.grad(loss, leaves, retain_graph=True)

        def update() -> None:
            for leaf, grad in zip(leaves, grads):
                leaf.grad = grad
            self.optim(leaves)

        return update


class TorchMultiOptimizer(PyroMultiOptimizer):
    """A torch optimiser as a MultiOptimizer.

    Args:
        optim_constructor: a class of torch optimiser.
        optim_args: its options.
    """

    def __init__(self, optim_constructor: Callable[..., Optimizer], optim_args: Mapping[str, Any]) -> None:
        super().__init__(PyroOptim(optim_constructor, optim_args))


class MixedMultiOptimizer(MultiOptimizer):
    """Different optimisers for different parameters of one loss, all stepped from the same point.

    Args:
        parts: pairs of (parameter names, MultiOptimizer or PyroOptim).

    Raises:
        UsageError: a parameter is given to two optimisers.

    Example:
        >>> from pyroxene.optim import Adam
        >>> optimizer = MixedMultiOptimizer([(["loc"], Newton()), (["scale", "rate"], Adam({"lr": 0.01}))])
    """

    def __init__(self, parts: Iterable[tuple[Iterable[str], MultiOptimizer | PyroOptim]]) -> None:
        self.parts: list[tuple[list[str], MultiOptimizer]] = []
        owners: dict[str, MultiOptimizer] = {}
        for names, optim in parts:
            multi = PyroMultiOptimizer(optim) if isinstance(optim, PyroOptim) else optim
            if not isinstance(multi, MultiOptimizer):
                raise OptionError(
                    "a part must hold an optimiser", expected="(names, MultiOptimizer or PyroOptim)", got=multi
                )
            names = list(names)
            for name in names:
                if owners.setdefault(name, multi) is not multi:
                    raise UsageError(
                        "a parameter is optimised by two different optimizers",
                        site=name,
                        expected="each name in one part",
                        got=f"{type(owners[name]).__name__} and {type(multi).__name__}",
                    )
            self.parts.append((names, multi))

    def get_step(self, loss: torch.Tensor, params: Values) -> Values:
        updated: Values = {}
        for names, optim in self.parts:
            updated.update(optim.get_step(loss, self._select(names, params)))
        return updated

    def _prepare(self, loss: torch.Tensor, params: Values) -> Callable[[], None]:
        updates = [optim._prepare(loss, self._select(names, params)) for names, optim in self.parts]

        def update() -> None:
            for each in updates:
                each()

        return update

    def _select(self, names: list[str], params: Values) -> Values:
        for name in names:
            if name not in params:
                raise MissingParamError(
                    f"there is no parameter {name!r} to optimise",
                    expected=f"among {', '.join(params)}",
                    got=", ".join(names),
                    hint="give each part of MixedMultiOptimizer names of this loss's parameters",
                )
        return {name: params[name] for name in names}


class Newton(MultiOptimizer):
    """Newton's method, for parameters whose last dimension is short.

    The last dimension of a parameter is a vector; all other dimensions are a batch, over which the loss is a sum of
    separate functions.

    Args:
        trust_radii: the longest step by parameter name; no bound for a name that is missing.

    Example:
        >>> x = torch.tensor([3.0], requires_grad=True)
        >>> Newton().step(((x - 1.0) ** 2).sum(), {"x": x})
        >>> x
        tensor([1.], requires_grad=True)
    """

    def __init__(self, trust_radii: Mapping[str, float] = {}) -> None:
        self.trust_radii = dict(trust_radii)

    def get_step(self, loss: torch.Tensor, params: Values) -> Values:
        return {name: newton_step(loss, value, self.trust_radii.get(name))[0] for name, value in params.items()}
