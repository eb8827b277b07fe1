"""Runs of a program that leave no trace: of random numbers drawn, or of what torch modules keep for themselves."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from pyroxene.errors import CaptureError
from pyroxene.rng import get_rng_state, set_rng_state

__all__ = ["Rehearsal"]


class _Kept(NamedTuple):
    """A buffer, or a plain tensor, of a module: the dictionary that holds it, and what it was."""

    module: nn.Module
    home: dict[str, Any]
    name: str
    tensor: torch.Tensor
    copy: torch.Tensor

    @property
    def is_changed(self) -> bool:
        return self.home.get(self.name) is not self.tensor or not torch.equal(self.tensor, self.copy)

    def restore(self) -> None:
        self.home[self.name] = self.tensor
        self.tensor.data.copy_(self.copy)


class Rehearsal:
    """Watches the modules called in this block; they, and the generators, are afterwards as before; final.

    A batch normalisation in training keeps running moments: a step that is recorded once would keep them no more.

    Example:
        >>> norm = nn.BatchNorm1d(2)
        >>> with Rehearsal() as rehearsal:
        ...     _ = norm(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        ...     rehearsal.changed
        'BatchNorm1d.running_mean'
        >>> norm.running_mean
        tensor([0., 0.])
    """

    def __init__(self) -> None:
        self._modules: dict[int, nn.Module] = {}
        self._kept: list[_Kept] = []

    def __enter__(self) -> Rehearsal:
        self._state = get_rng_state()
        self._thread = threading.get_ident()
        self._handle = register_module_forward_pre_hook(self._look)
        return self

    def __exit__(self, *exc: object) -> None:
        self._handle.remove()
        set_rng_state(self._state)
        for kept in self._kept:
            if kept.is_changed:
                kept.restore()

    def _look(self, called: nn.Module, inputs: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        for module in called.modules():
            if id(module) not in self._modules:
                self._modules[id(module)] = module
                self._kept += [
                    _Kept(module, home, name, tensor, tensor.detach().clone())
                    for home, name, tensor in _tensors(module)
                ]

    @property
    def changed(self) -> str:
        """What a module has changed so far, of its class and name; empty where nothing was."""
        return next((f"{type(kept.module).__name__}.{kept.name}" for kept in self._kept if kept.is_changed), "")

    def refuse_changes(self) -> None:
        """Raise where a module has changed what it keeps.

        Raises:
            CaptureError: it says what.
        """
        changed = self.changed
        if changed:
            raise CaptureError(f"a module updates what it keeps, {changed}, at each step; after eval() it may not")

    def constants(self) -> list[dict[str, torch.Tensor]]:
        """Return, for each module, the tensors that no step changes: those it keeps, and its frozen parameters."""
        return [
            {
                **{name: tensor for _, name, tensor in _tensors(module)},
                **{name: p for name, p in module._parameters.items() if p is not None and not p.requires_grad},
            }
            for module in self._modules.values()
        ]


def _tensors(module: nn.Module) -> Iterator[tuple[dict[str, Any], str, torch.Tensor]]:
    for home in (module._buffers, vars(module)):
        for name, value in home.items():
            if isinstance(value, torch.Tensor):
                yield home, name, value
