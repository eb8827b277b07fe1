"""Small tools that distributions share: shapes, scaling and masking, copies of whole objects, the validation switch."""

from __future__ import annotations

import contextlib
import copy
import functools
import gc
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any, TypeVar, cast

import torch

from pyroxene import settings
from pyroxene.errors import ShapeError

__all__ = [
    "broadcast_shape",
    "deep_to",
    "detach",
    "enable_validation",
    "gather",
    "is_identically_one",
    "is_identically_zero",
    "is_validation_enabled",
    "scalar_like",
    "scale_and_mask",
    "sum_leftmost",
    "sum_rightmost",
    "validation_enabled",
    "weakmethod",
]

T = TypeVar("T")
C = TypeVar("C", bound=Callable[..., Any])


def broadcast_shape(*shapes: Sequence[int], strict: bool = False) -> tuple[int, ...]:
    """Return the shape that all given shapes broadcast to.

    Args:
        shapes: any number of shapes.
        strict: shapes may differ in length but not in the sizes they share, so a size of 1 does not stretch.

    Returns:
        The common shape as a tuple.

    Raises:
        ShapeError: the shapes do not fit together.

    Example:
        >>> broadcast_shape((3, 1), (4,))
        (3, 4)
    """
    if len(shapes) == 2 and shapes[0] == shapes[1]:
        return tuple(shapes[0])
    result: list[int] = []  # reversed: grows to the left
    for shape in shapes:
        for place, size in enumerate(reversed(shape)):
            if place == len(result):
                result.append(size)
            elif size != result[place]:
                if strict or (size != 1 and result[place] != 1) or size < 0 or result[place] < 0:
                    raise ShapeError(
                        "shape mismatch: objects cannot be broadcast to a single shape: "
                        + " vs ".join(str(tuple(each)) for each in shapes),
                        hint="compare the sizes from the right; each pair must be equal"
                        + ("" if strict else " or contain a 1"),
                    )
                if result[place] == 1:
                    result[place] = size
    return tuple(reversed(result))


def sum_rightmost(value: torch.Tensor, dim: int | float) -> torch.Tensor:
    """Sum out the rightmost dimensions of a tensor.

    Args:
        value: any tensor; a number is returned as it is.
        dim: how many dimensions to sum out; if negative, how many to leave on the left; inf for all.

    Example:
        >>> sum_rightmost(torch.ones(2, 3, 4), 2)
        tensor([12., 12.])
        >>> sum_rightmost(torch.ones(2, 3, 4), -1).shape
        torch.Size([2])
    """
    if not isinstance(value, torch.Tensor):
        return value
    keep = len(value.shape) - dim if dim >= 0 else -dim
    if keep >= len(value.shape):
        return value
    return value.sum(tuple(range(max(0, int(keep)) if keep > 0 else 0, len(value.shape))))


def sum_leftmost(value: torch.Tensor, dim: int) -> torch.Tensor:
    """Sum out the leftmost dimensions of a tensor.

    Args:
        value: any tensor; a number is returned as it is.
        dim: how many dimensions to sum out; if negative, how many to leave on the right.

    Example:
        >>> sum_leftmost(torch.ones(2, 3, 4), 2)
        tensor([6., 6., 6., 6.])
        >>> sum_leftmost(torch.ones(2, 3, 4), -1).shape
        torch.Size([4])
    """
    if not isinstance(value, torch.Tensor):
        return value
    count = dim if dim >= 0 else len(value.shape) + dim
    if count <= 0:
        return value
    return value.sum(tuple(range(min(count, len(value.shape)))))


def scale_and_mask(
    tensor: torch.Tensor | float,
    scale: torch.Tensor | float = 1.0,
    mask: torch.Tensor | bool | None = None,
) -> torch.Tensor | float:
    """Multiply a tensor by a scale and replace what the mask leaves out by zero.

    Costs nothing where the scale is the number 1 and there is no mask, or where the value is the number 0.

    Args:
        tensor: log probabilities, or a number.
        scale: a positive number, or a tensor that broadcasts with `tensor`.
        mask: True for what counts; None and True keep everything, False nothing.

    Returns:
        The scaled and masked tensor. What is masked is zero even where `tensor` is nan or infinite.

    Example:
        >>> scale_and_mask(torch.tensor([1.0, torch.nan]), 2.0, torch.tensor([True, False]))
        tensor([2., 0.])
    """
    if mask is None or mask is True:
        if (type(scale) is float and scale == 1.0) or is_identically_zero(tensor) or is_identically_one(scale):
            return tensor
        return tensor * scale
    if is_identically_zero(tensor):
        return tensor
    if mask is False:
        shape = tensor.shape if isinstance(tensor, torch.Tensor) else ()
        if isinstance(scale, torch.Tensor):
            shape = torch.Size(broadcast_shape(shape, scale.shape))
        return scalar_like(tensor, 0.0).expand(shape) if isinstance(tensor, torch.Tensor) else 0.0
    scaled = tensor if is_identically_one(scale) else tensor * scale
    return torch.where(mask, scaled, 0.0)


def is_identically_zero(x: object) -> bool:
    """Whether `x` is the Python number 0; a tensor never is, so that no tensor is read.

    Example:
        >>> is_identically_zero(0.0), is_identically_zero(torch.zeros(()))
        (True, False)
    """
    return isinstance(x, (int, float)) and x == 0


def is_identically_one(x: object) -> bool:
    """Whether `x` is the Python number 1; a tensor never is, so that no tensor is read.

    Example:
        >>> is_identically_one(1), is_identically_one(torch.ones(()))
        (True, False)
    """
    return isinstance(x, (int, float)) and x == 1


def scalar_like(prototype: torch.Tensor, fill_value: float) -> torch.Tensor:
    """Return a tensor of shape () with the prototype's dtype and device.

    Example:
        >>> scalar_like(torch.zeros(3, dtype=torch.float64), 2.0)
        tensor(2., dtype=torch.float64)
    """
    return torch.tensor(fill_value, dtype=prototype.dtype, device=prototype.device)


def gather(value: torch.Tensor, index: torch.Tensor, dim: int) -> torch.Tensor:
    """Gather along one dimension, with `value` and `index` broadcast along all others.

    Args:
        value: where to take from.
        index: which entries to take, an integer tensor.
        dim: the dimension to gather along, negative: counted from the right.

    Returns:
        A tensor whose size along `dim` is that of `index`.

    Example:
        >>> gather(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([[2], [0]]), -1)
        tensor([[3.],
                [1.]])
    """
    from_right = dim if dim < 0 else dim - value.dim()
    shape = list(broadcast_shape(_with_one(value.shape, from_right), _with_one(index.shape, from_right)))
    shape[from_right] = value.shape[from_right]
    values = value.expand(shape)
    shape[from_right] = index.shape[from_right]
    return values.gather(from_right, index.expand(shape))


def _with_one(shape: Sequence[int], dim: int) -> list[int]:
    """The shape with size 1 at a dimension counted from the right."""
    sizes = list(shape)
    sizes[dim] = 1
    return sizes


def _tensors_in(obj: object) -> Iterator[torch.Tensor]:
    """Every tensor that an object holds, however deep: what the garbage collector would visit."""
    seen: set[int] = set()
    pending = [obj]
    while pending:
        each = pending.pop()
        if id(each) in seen or isinstance(each, (type, ModuleType, FunctionType, BuiltinFunctionType)):
            continue  # deepcopy shares these rather than copies them
        seen.add(id(each))
        if isinstance(each, torch.Tensor):
            yield each
        else:
            pending.extend(gc.get_referents(each))


def detach(obj: T) -> T:
    """Return a deep copy of an object whose tensors are detached and share storage with the original's.

    Args:
        obj: a tensor, distribution, module or container; anything that `copy.deepcopy` copies.

    Example:
        >>> loc = torch.zeros(2, requires_grad=True)
        >>> detach({"loc": loc})["loc"].requires_grad
        False
    """
    return copy.deepcopy(obj, {id(tensor): tensor.detach() for tensor in _tensors_in(obj)})


def deep_to(obj: T, *args: Any, **kwargs: Any) -> T:
    """Return a deep copy of an object with every tensor moved by `Tensor.to`.

    Args:
        obj: a tensor, distribution, module or container; anything that `copy.deepcopy` copies.
        args: passed to `Tensor.to`: a dtype, a device, or both.
        kwargs: passed to `Tensor.to`.

    Returns:
        The copy. Gradients flow through it to the original, except for parameters of modules, which stay leaves.

    Example:
        >>> deep_to([torch.zeros(1)], torch.float64)
        [tensor([0.], dtype=torch.float64)]
    """

    def move(tensor: torch.Tensor) -> torch.Tensor:
        if isinstance(tensor, torch.nn.Parameter):
            return torch.nn.Parameter(tensor.detach().to(*args, **kwargs), tensor.requires_grad)
        return tensor.to(*args, **kwargs)

    return copy.deepcopy(obj, {id(tensor): move(tensor) for tensor in _tensors_in(obj)})


def weakmethod(fn: C) -> C:
    """Make a method hold its object weakly, so that keeping the bound method does not keep the object alive.

    Args:
        fn: a method, in a class body.

    Raises:
        ReferenceError: when the bound method is called after its object is gone.

    Example:
        >>> class Counter:
        ...     @weakmethod
        ...     def add(self, n):
        ...         return n + 1
        >>> Counter().add.__name__, (c := Counter()) and c.add(1)
        ('add', 2)
    """

    def bind(self: object) -> Callable[..., Any]:
        reference = weakref.ref(self)

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            owner = reference()
            if owner is None:
                raise ReferenceError(f"the object of the weak method {fn.__name__} is gone")
            return fn(owner, *args, **kwargs)

        return call

    return cast(C, property(bind))


def enable_validation(is_validate: bool = True) -> None:
    """Switch the checks of distributions' arguments and values on or off, torch's and pyroxene's.

    Args:
        is_validate: True for on.
    """
    settings.set(validate_distributions_pyro=is_validate, validate_distributions_torch=is_validate)


def is_validation_enabled() -> bool:
    """Whether pyroxene's own distributions check their arguments and values."""
    return bool(settings.value_of("validate_distributions_pyro"))


@contextlib.contextmanager
def validation_enabled(is_validate: bool = True) -> Iterator[None]:
    """Switch the checks of distributions on or off inside a `with` block.

    Example:
        >>> with validation_enabled(False):
        ...     is_validation_enabled()
        False
    """
    with settings.context(validate_distributions_pyro=is_validate, validate_distributions_torch=is_validate):
        yield
