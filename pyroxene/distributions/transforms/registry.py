"""Look-up of the transform that reaches a constraint from unconstrained space."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch.distributions import constraint_registry as _torch_registry
from torch.distributions.constraints import Constraint
from torch.distributions.transforms import Transform

from pyroxene.errors import NoTransformError

__all__ = ["Registry", "biject_to", "transform_to"]

Factory = Callable[[Any], Transform]


class Registry(_torch_registry.ConstraintRegistry):
    """A constraint registry that lies over one of torch's; final.

    What is registered here for a constraint class of torch's own stays here: torch's registry is not changed by
    pyroxene. Constraint classes from elsewhere are handed on to torch's registry, so that it knows them as well. A
    look-up tries this registry, then torch's; a row that somebody has since replaced in torch's goes before ours.

    Args:
        base: the registry of torch below this one.
        purpose: how the registry reads in an error, "biject_to" or "transform_to".

    Example:
        >>> from torch.distributions import constraints
        >>> biject_to(constraints.positive)
        ExpTransform()
    """

    def __init__(self, base: _torch_registry.ConstraintRegistry, purpose: str) -> None:
        super().__init__()
        self._base = base
        self._purpose = purpose
        self._replaced: dict[type, Factory | None] = {}  # torch's factory at the time of our registration

    def register(self, constraint: Any, factory: Factory | None = None) -> Any:
        """Say which transform reaches a class of constraints; usable as a decorator.

        Args:
            constraint: a subclass of Constraint, or an instance, which stands for its class.
            factory: takes a constraint of that class and returns a transform.

        Returns:
            The factory, or a decorator where none is given.

        Raises:
            TypeError: `constraint` is neither.
        """
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        kind = type(constraint) if isinstance(constraint, Constraint) else constraint
        if getattr(kind, "__module__", "").startswith("torch."):
            self._replaced[kind] = self._base._registry.get(kind)
            return super().register(kind, factory)
        return self._base.register(kind, factory)

    def __call__(self, constraint: Constraint) -> Transform:
        """Return the transform from unconstrained space to `constraint`.

        Raises:
            NoTransformError: none is registered; discrete constraints have none.
        """
        kind = type(constraint)
        factory = self._base._registry.get(kind)
        if kind in self._replaced and factory is self._replaced[kind]:
            factory = self._registry[kind]
        if factory is None:
            raise NoTransformError(
                f"Cannot transform {kind.__name__} constraints",
                expected=f"a constraint registered with {self._purpose}",
                got=repr(constraint),
                hint=_hint(constraint, self._purpose),
            )
        return factory(constraint)


def _hint(constraint: Constraint, purpose: str) -> str:
    """Say what to do about a constraint without transform; a dependent one may not know whether it is discrete."""
    try:
        discrete = constraint.is_discrete
    except NotImplementedError:
        return "take the constraint from an instance of the distribution, not from its class"
    if discrete:
        return "a discrete variable has no unconstrained form: enumerate it, marginalise it or observe it"
    return f"register a factory: @{purpose}.register(type(constraint))"


biject_to = Registry(_torch_registry.biject_to, "biject_to")
"""Bijections with log-Jacobians from real vectors, for densities in unconstrained space."""

transform_to = Registry(_torch_registry.transform_to, "transform_to")
"""Transforms, perhaps not one to one, for parameters that are optimised coordinate by coordinate."""
