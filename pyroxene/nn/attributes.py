"""What an attribute of a PyroModule can be declared as: a constrained parameter or a random variable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import torch
from torch.distributions.constraints import Constraint

from pyroxene.distributions import constraints
from pyroxene.errors import NotCallableError, OptionError

__all__ = ["PyroParam", "PyroSample"]

InitialValue: TypeAlias = "torch.Tensor | Callable[..., torch.Tensor] | None"


class _Declared(NamedTuple):
    init_value: InitialValue = None
    constraint: Constraint = constraints.real
    event_dim: int | None = None


class PyroParam(_Declared):
    """Declares an attribute as a parameter that keeps a constraint; final.

    Args:
        init_value: its first value, which satisfies the constraint, or a function that makes it: without arguments
            where the attribute is set on a module, of the module where it stands in the class body.
        constraint: what its value satisfies.
        event_dim: how many dimensions from the right belong to one event, as in `param`.

    Raises:
        OptionError: used as a decorator although it has an initial value.

    Example:
        >>> from pyroxene.distributions import constraints
        >>> from pyroxene.nn import PyroModule
        >>> class Model(PyroModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = PyroParam(torch.tensor(2.0), constraint=constraints.positive)
        ...     @PyroParam(constraint=constraints.unit_interval)
        ...     def rate(self):  # called when `rate` is read for the first time
        ...         return torch.tensor(0.25)
        >>> model = Model()
        >>> round(model.scale.item(), 4), round(model.rate.item(), 4)
        (2.0, 0.25)
        >>> sorted(model.state_dict())
        ['rate_unconstrained', 'scale_unconstrained']
    """

    if TYPE_CHECKING:  # an attribute that is set to one reads as a tensor, which a type checker cannot know

        def __new__(
            cls,
            init_value: InitialValue = None,
            constraint: Constraint = constraints.real,
            event_dim: int | None = None,
        ) -> Any: ...

    def __call__(self, init_value: Callable[..., torch.Tensor]) -> PyroParam:
        """Return the same declaration with an initial value; this is what makes it a decorator."""
        if self.init_value is not None:
            raise OptionError(
                "this PyroParam has an initial value already",
                expected="@PyroParam(constraint=..., event_dim=...)",
                got=self.init_value,
            )
        declared: PyroParam = PyroParam(init_value, self.constraint, self.event_dim)
        return declared

    @overload
    def __get__(self, instance: None, owner: type) -> PyroParam: ...
    @overload
    def __get__(self, instance: object, owner: type) -> torch.Tensor: ...
    def __get__(self, instance: object | None, owner: type) -> PyroParam | torch.Tensor:
        """Leave the reading to the module: Python asks its `__getattr__` where this raises."""
        if instance is None:
            return self
        raise AttributeError(f"{owner.__name__} is no PyroModule, so it cannot hold a PyroParam")


@dataclass
class PyroSample:
    """Declares an attribute as a random variable; final.

    Args:
        prior: a distribution, or a function of the module that returns one (or a tensor, a deterministic value).

    Raises:
        NotCallableError: `prior` is neither a distribution nor callable.
        OptionError: `prior` is a function that does not take one argument.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.nn import PyroModule
        >>> class Model(PyroModule):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.scale = PyroSample(dist.HalfNormal(1.0))
        ...     @PyroSample
        ...     def x(self):
        ...         return dist.Normal(0.0, self.scale)
        ...     def forward(self):
        ...         return self.x
        >>> [name for name, _ in pyroxene.poutine.trace(Model()).get_trace().iter_stochastic_nodes()]
        ['scale', 'x']
    """

    prior: Any

    if TYPE_CHECKING:  # as for PyroParam

        def __new__(cls, prior: Any) -> Any: ...

    def __post_init__(self) -> None:
        if is_distribution(self.prior):
            return
        if not callable(self.prior) or isinstance(self.prior, torch.Tensor):
            raise NotCallableError(
                f"{type(self.prior).__name__} object is not callable: a PyroSample needs a prior",
                expected="a pyroxene.distributions.Distribution, or a function of the module that returns one",
                got=self.prior,
                hint="PyroSample(dist.Normal(0.0, 1.0)), or set the attribute to the value itself",
            )
        if not _takes_one_argument(self.prior):
            raise OptionError(
                "prior should take the single argument 'self'", expected="lambda self: dist.Normal(...)", got=self.prior
            )

    @overload
    def __get__(self, instance: None, owner: type) -> PyroSample: ...
    @overload
    def __get__(self, instance: object, owner: type) -> torch.Tensor: ...
    def __get__(self, instance: object | None, owner: type) -> PyroSample | torch.Tensor:
        """Leave the reading to the module: Python asks its `__getattr__` where this raises."""
        if instance is None:
            return self
        raise AttributeError(f"{owner.__name__} is no PyroModule, so it cannot hold a PyroSample")


def is_distribution(prior: object) -> bool:
    """Say whether a prior is a distribution rather than a function that returns one; torch's own count too."""
    return hasattr(prior, "sample")


def _takes_one_argument(function: Any) -> bool:
    """Say whether a plain function can be called with one argument; other callables are believed."""
    code = getattr(function, "__code__", None)
    if code is None or hasattr(function, "__self__"):
        return True
    required = code.co_argcount - len(function.__defaults__ or ())
    takes_more = bool(code.co_flags & 0x04)  # CO_VARARGS
    return required <= 1 and (code.co_argcount >= 1 or takes_more)
