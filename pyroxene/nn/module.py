"""Trees of PyroModules: containers, conversion and clearing; Pyro's `nn.module` names are all here."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from torch import nn

from pyroxene.errors import OptionError
from pyroxene.nn.attributes import PyroParam, PyroSample
from pyroxene.nn.context import Context as _Context
from pyroxene.nn.context import pyro_method
from pyroxene.nn.mixin import PyroModuleMeta as _PyroModuleMeta
from pyroxene.nn.mixin import register_mixin
from pyroxene.nn.pyro_module import PyroModule, become_pyro_module
from pyroxene.nn.statements import forget_leaves
from pyroxene.params import get_param_store

__all__ = [
    "PyroModule",
    "PyroModuleList",
    "PyroParam",
    "PyroSample",
    "PyroSequential",
    "_Context",
    "_PyroModuleMeta",
    "clear",
    "pyro_method",
    "to_pyro_module_",
]


class _Numbered:
    """Abstract. A container whose children are called "0", "1", ...: who moves up or down is named anew."""

    def insert(self, index: int, module: Any) -> Any:
        """Insert a module before an index; the modules after it are named anew."""
        forget_leaves(self.parameters())  # type: ignore[attr-defined]
        result = super().insert(index, module)  # type: ignore[misc]
        self._pyro_adopt_children()  # type: ignore[attr-defined]
        return result

    def __delitem__(self, index: int | slice) -> None:
        forget_leaves(self.parameters())  # type: ignore[attr-defined]
        super().__delitem__(index)  # type: ignore[misc]
        self._pyro_adopt_children()  # type: ignore[attr-defined]


class PyroModuleList(_Numbered, nn.ModuleList, PyroModule):
    """A list of modules that is a PyroModule; `PyroModule[nn.ModuleList]` is this class. Final.

    Args:
        modules: the modules; a PyroModule among them is named by its position.

    Example:
        >>> layers = PyroModuleList([PyroModule[nn.Linear](2, 2) for _ in range(3)])
        >>> layers[1]._pyro_name, [name for name, _ in layers.named_pyro_params()][:2]
        ('1', ['0.weight', '0.bias'])
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        super().__init__(modules)

    def __getitem__(self, index: Any) -> Any:
        """Return a module; for a slice a plain `nn.ModuleList`, so that the modules keep their names."""
        if isinstance(index, slice):
            return nn.ModuleList(list(self._modules.values())[index])
        return super().__getitem__(index)


class PyroSequential(_Numbered, nn.Sequential, PyroModule):
    """A chain of modules that is a PyroModule: what `PyroModule[nn.Sequential]` returns; final.

    Example:
        >>> net = PyroModule[nn.Sequential](PyroModule[nn.Linear](2, 3), nn.ReLU(), PyroModule[nn.Linear](3, 1))
        >>> net[2]._pyro_name, type(net[:2]).__name__
        ('2', 'Sequential')
    """

    def __getitem__(self, index: Any) -> Any:
        """Return a module; for a slice a plain `nn.Sequential`, so that the modules keep their names."""
        if isinstance(index, slice):
            return nn.Sequential(OrderedDict(list(self._modules.items())[index]))
        return super().__getitem__(index)


register_mixin(nn.ModuleList, PyroModuleList)
register_mixin(nn.Sequential, PyroSequential)


def clear(mod: PyroModule) -> None:
    """Empty a module: remove its parameters and child modules, and everything under their names from the store.

    Declared random variables, buffers and plain attributes stay; the child modules keep their parameters.

    Args:
        mod: the module.
    """
    if not isinstance(mod, PyroModule):
        raise OptionError(
            "clear takes a PyroModule", got=type(mod), hint="pyroxene.clear_param_store() clears the store"
        )
    named = [mod._pyro_get_fullname(name) for name in (*mod._pyro_params, *mod._parameters)]
    below = tuple(mod._pyro_get_fullname(name) + mark for name in mod._modules for mark in (".", "$$$"))
    for kind in (mod._pyro_params, mod._parameters, mod._modules):
        for name in list(kind):
            delattr(mod, name)
    store = get_param_store()
    for name in list(store):  # also what a loaded store, or another module of this name, left there
        if name in named or name.startswith(below):
            del store[name]


def to_pyro_module_(m: nn.Module, recurse: bool = True) -> None:
    """Make a torch module a PyroModule, in place.

    Args:
        m: the module.
        recurse: whether the modules below it become PyroModules too.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> to_pyro_module_(net)
        >>> isinstance(net[0], PyroModule), isinstance(net[0], nn.Linear), net[2]._pyro_name
        (True, True, '2')
    """
    if not isinstance(m, nn.Module):
        raise OptionError(f"Expected an nn.Module instance but got a {type(m)}")
    if recurse:
        for child in m.children():
            to_pyro_module_(child)
    become_pyro_module(m)
