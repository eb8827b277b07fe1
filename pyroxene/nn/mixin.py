"""`PyroModule[nn.Linear]`: the class of modules that are both, made once for each torch class, and picklable."""

from __future__ import annotations

import copyreg
import weakref
from typing import Any

import torch

from pyroxene.errors import OptionError

__all__ = ["PyroModuleMeta", "register_mixin"]

_MIXINS: weakref.WeakValueDictionary[type, PyroModuleMeta] = weakref.WeakValueDictionary()
"""The mixin of each torch class; a mixin that nobody uses is freed, as any class is."""


class PyroModuleMeta(type):
    """The class of PyroModule: it makes `PyroModule[SomeModule]` work; final."""

    _pyro_mixin_of: type | None

    def __getitem__(cls, module_class: type) -> Any:
        """Return the subclass of a torch module class whose attributes may be PyroParam and PyroSample.

        Args:
            module_class: a subclass of `torch.nn.Module`; one that is a PyroModule already is returned as it is.
        """
        if not isinstance(module_class, type) or not issubclass(module_class, torch.nn.Module):
            raise OptionError(
                "PyroModule[...] takes a class of modules",
                expected="a subclass of torch.nn.Module",
                got=module_class,
                hint="PyroModule[type(module)], or to_pyro_module_(module) for an instance",
            )
        return _mixin(module_class)

    @staticmethod
    def _New(module_class: type) -> Any:
        """Return an uninitialised instance of a mixin; Pyro's pickles call it by this name."""
        mixin: type = _mixin(module_class)
        return object.__new__(mixin)


def register_mixin(module_class: type, mixin: PyroModuleMeta) -> None:
    """Make a class what `PyroModule[module_class]` returns; the class must stay alive."""
    _MIXINS[module_class] = mixin


def _mixin(module_class: type) -> PyroModuleMeta:
    base = _MIXINS[torch.nn.Module]
    if isinstance(module_class, PyroModuleMeta):
        return module_class
    mixin = _MIXINS.get(module_class)
    if mixin is None:
        name = f"Pyro{module_class.__name__}"
        namespace = {"__module__": __name__, "__qualname__": name, "_pyro_mixin_of": module_class}
        mixin = _MIXINS[module_class] = PyroModuleMeta(name, (module_class, base), namespace)
    return mixin


def _reduce(cls: PyroModuleMeta) -> str | tuple[Any, ...]:
    """Pickle a mixin as the class it was made from, any other class by its name."""
    made_from = vars(cls).get("_pyro_mixin_of")
    return cls.__qualname__ if made_from is None else (_mixin, (made_from,))


copyreg.pickle(PyroModuleMeta, _reduce)
