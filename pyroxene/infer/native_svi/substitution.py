"""Other tensors in the place of parameters, whichever way a program comes by them: statements, modules, closures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from pyroxene.compiler.precision import map_tensors, tensors_of
from pyroxene.errors import CaptureError

__all__ = ["Substitution"]


class _Leak(TorchDispatchMode):
    """Refuses operations that get one of some tensors itself."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # True would import torch._dynamo, 1 to 3 seconds

    def __init__(self, tensors: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self._ids = {id(tensor) for tensor in tensors}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(id(tensor) in self._ids for tensor in tensors_of((*args, *kwargs.values()))):
            raise CaptureError(f"a parameter reaches {func} past torch's functions, as in TorchScript")
        return func(*args, **kwargs)


class Substitution(TorchFunctionMode):
    """Inside this block torch's functions take other tensors in the place of some; final.

    A network reads its own parameters, so it is what is done with them that must be caught, not a statement.

    Args:
        old: the parameters.
        new: what stands for each.

    Raises:
        CaptureError: an operation would get a parameter itself.

    Example:
        >>> layer = torch.nn.Linear(1, 1, bias=False)
        >>> with Substitution([layer.weight], [torch.tensor([[3.0]])]):
        ...     layer(torch.tensor([2.0]))
        tensor([6.])
    """

    def __init__(self, old: Sequence[torch.Tensor], new: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._table = {id(tensor): other for tensor, other in zip(old, new)}
        self._leak = _Leak(old)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(id(tensor) in self._table for tensor in tensors_of((*args, *kwargs.values()))):
            args = map_tensors(self._stand_in, args)
            kwargs = {name: map_tensors(self._stand_in, value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _stand_in(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._table.get(id(tensor), tensor)

    def __enter__(self) -> Substitution:
        super().__enter__()
        self._leak.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:
        self._leak.__exit__(*exc)
        super().__exit__(*exc)
