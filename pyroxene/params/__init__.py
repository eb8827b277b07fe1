"""Learnable parameters: a store is a value with constrained access; one store is the process's default."""

from __future__ import annotations

from pyroxene.params.names import (
    module_from_param_with_module_name,
    normalize_param_name,
    param_with_module_name,
    user_param_name,
)
from pyroxene.params.param_store import ParamStoreDict, StateDict, clear_param_store, get_param_store

__all__ = [
    "ParamStoreDict",
    "StateDict",
    "clear_param_store",
    "get_param_store",
    "module_from_param_with_module_name",
    "normalize_param_name",
    "param_with_module_name",
    "user_param_name",
]
