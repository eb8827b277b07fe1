"""Parameter names: a parameter of a registered module is called "module$$$parameter" in the store."""

from __future__ import annotations

__all__ = [
    "module_from_param_with_module_name",
    "normalize_param_name",
    "param_with_module_name",
    "user_param_name",
]

_SEPARATOR = "$$$"


def param_with_module_name(pyro_name: str, param_name: str) -> str:
    """Return the store's name for `param_name` of the module registered as `pyro_name`.

    Example:
        >>> param_with_module_name("decoder", "fc.weight")
        'decoder$$$fc.weight'
    """
    return f"{pyro_name}{_SEPARATOR}{param_name}"


def module_from_param_with_module_name(param_name: str) -> str:
    """Return the module's part of a store name; the whole name where it has none."""
    return param_name.split(_SEPARATOR)[0]


def user_param_name(param_name: str) -> str:
    """Return the parameter's part of a store name; the whole name where it has no module."""
    return param_name.rpartition(_SEPARATOR)[2]


def normalize_param_name(name: str) -> str:
    """Return a store name as a dotted path, the same for plain modules and for PyroModules."""
    return name.replace(_SEPARATOR, ".")
