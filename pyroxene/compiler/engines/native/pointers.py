"""Addresses of the functions that scipy exports (special functions, BLAS, LAPACK), for emitted code to call."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from pyroxene.errors import CompilerError

__all__ = ["ALGEBRA", "addresses"]

_NAMES = {"digamma": "psi"}
ALGEBRA = {"dgemm": "blas", "dtrsm": "blas", "dpotrf": "lapack", "dgetrf": "lapack"}
"""Names of BLAS and LAPACK that emitted code may call, and which of the two has them."""


def _pointer(capsule: Any) -> tuple[bytes, int]:
    """Return the signature and the address in a capsule."""
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get_pointer = ctypes.pythonapi.PyCapsule_GetPointer
    get_pointer.restype, get_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    signature: bytes = get_name(capsule)
    return signature, int(get_pointer(capsule, signature))


def _special(name: str) -> int:
    from scipy.special import cython_special

    table = cython_special.__pyx_capi__
    scipy_name = _NAMES.get(name, name)
    for key in (scipy_name, f"__pyx_fuse_0{scipy_name}", f"__pyx_fuse_1{scipy_name}"):
        if key in table:
            signature, address = _pointer(table[key])
            if signature.startswith(b"double (double, int"):
                return address
    raise CompilerError(
        f"scipy exports no function {scipy_name} of one double that emitted code could call",
        expected="double (double, int)",
        got=[key for key in table if scipy_name in key],
        hint="install scipy 1.11 or newer",
    )


def _algebra(name: str) -> int:
    import scipy.linalg.cython_blas
    import scipy.linalg.cython_lapack

    module = scipy.linalg.cython_blas if ALGEBRA[name] == "blas" else scipy.linalg.cython_lapack
    signature, address = _pointer(module.__pyx_capi__[name])
    if b"int *" not in signature or b"long" in signature:
        raise CompilerError(
            f"scipy's {name} counts with integers of an unknown width",
            expected="int *",
            got=signature.decode(),
            hint="install scipy from PyPI, whose BLAS counts with 32-bit integers",
        )
    return address


def addresses(names: Sequence[str]) -> list[int]:
    """Return the addresses of functions by the names that emitted code gives them.

    Args:
        names: special functions `double f(double, int)`, or of BLAS and LAPACK by their Fortran names.

    Raises:
        CompilerError: scipy does not export one in a form that is known here.
    """
    return [_algebra(name) if name in ALGEBRA else _special(name) for name in names]
