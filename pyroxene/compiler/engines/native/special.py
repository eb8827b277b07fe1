"""Addresses of scipy's special functions, for emitted code to call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from pyroxene.errors import CompilerError

__all__ = ["addresses"]

_NAMES = {"digamma": "psi"}


def _address(name: str) -> int:
    from scipy.special import cython_special

    table = cython_special.__pyx_capi__
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    for key in (name, f"__pyx_fuse_0{name}", f"__pyx_fuse_1{name}"):
        capsule = table.get(key)
        if capsule is not None:
            signature = get_name(capsule)
            if signature.startswith(b"double (double, int"):
                return int(get_pointer(capsule, signature))
    raise CompilerError(
        f"scipy exports no function {name} of one double that emitted code could call",
        expected="double (double, int)",
        got=[key for key in table if name in key],
        hint="install scipy 1.11 or newer",
    )


def addresses(names: Sequence[str]) -> list[int]:
    """Return the addresses of functions `double f(double, int)` by the names that the graph gives them.

    Raises:
        CompilerError: scipy does not export one in a form that is known here.
    """
    return [_address(_NAMES.get(name, name)) for name in names]
