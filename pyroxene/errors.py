"""The exception tree: every mistake a user can make, said as where, expected, got and what to try."""

from __future__ import annotations

import linecache
import os
import re
import sys
import traceback
from types import FrameType

import torch

__all__ = [
    "CannotSampleError",
    "CaptureError",
    "CompilerError",
    "ConstraintError",
    "DataError",
    "DuplicateSiteError",
    "EmptyPlateError",
    "GuideError",
    "GuideStateError",
    "MissingPackageError",
    "MissingParamError",
    "MissingSiteError",
    "ModuleLocalParamError",
    "NoTransformError",
    "NotCallableError",
    "NotInitializedError",
    "OptionError",
    "PackageConflictError",
    "ParamStoreError",
    "ParameterError",
    "PlateError",
    "PyroxeneError",
    "ReplayError",
    "ShapeError",
    "SiteError",
    "Source",
    "SupportError",
    "TooFewSamplesError",
    "UnsupportedError",
    "UsageError",
    "describe",
    "site_named_at",
    "user_source",
    "user_source_of",
]

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_TORCH = os.path.dirname(os.path.abspath(torch.__file__)) + os.sep
_APPLICATIONS = _HERE + "contrib" + os.sep  # written as a user would, so its lines count as the user's

_INTERNAL: dict[str, bool] = {}
"""Whether a code file belongs to pyroxene or torch, by file name; filled as frames are met."""

Source = tuple[str, int, str]
"""Where a statement stands: file name, line number, function name."""


def _is_internal(filename: str) -> bool:
    known = _INTERNAL.get(filename)
    if known is None:
        inside = filename.startswith((_HERE, _TORCH)) and not filename.startswith(_APPLICATIONS)
        known = _INTERNAL[filename] = inside or filename.startswith("<frozen") or "contextlib" in filename
    return known


def user_source(depth: int = 1) -> Source | None:
    """Find the innermost stack frame that is neither pyroxene's nor torch's.

    Args:
        depth: how many frames above the caller to start from.

    Returns:
        (file, line, function) of that frame, or None when every frame is internal.
    """
    frame: FrameType | None = sys._getframe(depth)
    while frame is not None:
        code = frame.f_code
        if not _is_internal(code.co_filename):
            return code.co_filename, frame.f_lineno, code.co_name
        frame = frame.f_back
    return None


def user_source_of(error: BaseException) -> Source | None:
    """Find where in the user's code an exception passed last; None when it never left pyroxene and torch."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not _is_internal(frame.filename):
            return frame.filename, frame.lineno or 0, frame.name
    return None


def site_named_at(source: Source | None) -> str | None:
    """Read the name of the sample or param statement at, or just above, a line; None where it is computed."""
    if source is None:
        return None
    for line in range(source[1], max(source[1] - 4, 0), -1):
        found = re.search(
            r"\b(?:sample|param|PyroSample)\(\s*f?[\"']([^\"']+)[\"']", linecache.getline(source[0], line)
        )
        if found:
            return found[1]
    return None


def describe(value: object) -> str:
    """Say what a value is in a few words: type, shape, dtype and, where it is small, the numbers."""
    if isinstance(value, torch.Tensor):
        text = f"a tensor of shape {tuple(value.shape)}, {str(value.dtype).removeprefix('torch.')}"
        if value.numel() <= 4 and not value.requires_grad:
            text += f", {value.tolist()}"
        return text
    if isinstance(value, torch.Size):
        return str(tuple(value))
    if isinstance(value, str):
        return value
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class PyroxeneError(Exception):
    """Root of every error that pyroxene raises about a program.

    Args:
        what: one sentence that says what is wrong.
        site: the name of the sample or param site.
        plate: the name of the plate.
        source: where the statement stands; the innermost user frame where it is not given.
        expected: what would have been right.
        got: what was found.
        hint: what to try.

    Implementing an error: subclass the builtin that Pyro raises for the mistake as well, so that programs which
    catch that builtin go on working.

    Example:
        >>> print(PyroxeneError("the scale is negative", site="x", source=("m.py", 3, "model"),
        ...                     expected="scale > 0", got="-1.0", hint="take its exponential"))
        the scale is negative
          where: site 'x', m.py:3 in model
          expected: scale > 0
          got: -1.0
          try: take its exponential
    """

    def __init__(
        self,
        what: str,
        *,
        site: str | None = None,
        plate: str | None = None,
        source: Source | None = None,
        expected: object = None,
        got: object = None,
        hint: str | None = None,
    ) -> None:
        self.what = what
        self.site = site
        self.plate = plate
        self.source = source or user_source(2)
        self.expected = expected
        self.got = got
        self.hint = hint
        super().__init__(self._text())

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.__dict__.copy())

    def _text(self) -> str:
        where = []
        if self.site is not None:
            where.append(f"site '{self.site}'")
        if self.plate is not None:
            where.append(f"plate '{self.plate}'")
        if self.source is not None:
            where.append(f"{self.source[0]}:{self.source[1]} in {self.source[2]}")
        parts = [self.what]
        if where:
            parts.append("where: " + ", ".join(where))
        if self.expected is not None:
            parts.append(f"expected: {describe(self.expected)}")
        if self.got is not None:
            parts.append(f"got: {describe(self.got)}")
        if self.hint is not None:
            parts.append(f"try: {self.hint}")
        return "\n  ".join(parts)


def _rebuild(cls: type[PyroxeneError], what: str, state: dict[str, object]) -> PyroxeneError:
    """Restore a pickled error: keyword arguments do not pass through `Exception.__reduce__`."""
    error = cls.__new__(cls)
    error.__dict__.update(state)
    Exception.__init__(error, error._text())
    return error


class SiteError(PyroxeneError, ValueError):
    """A sample statement is wrong in itself: its function, its observation, its arguments."""


class ShapeError(SiteError):
    """Shapes do not fit: batch against plates, observation against distribution, value against site."""


class SupportError(SiteError):
    """A value lies outside its distribution's support, or is NaN."""


class ParameterError(SiteError):
    """A distribution's parameter violates its constraint, or is NaN."""


class DuplicateSiteError(PyroxeneError, RuntimeError):
    """Two statements in one run bear the same name."""


class PlateError(PyroxeneError, ValueError):
    """A plate is used wrongly: its size, its subsample, its dimension, its nesting."""


class EmptyPlateError(PlateError, ZeroDivisionError):
    """A plate has no elements."""


class GuideError(PyroxeneError, ValueError):
    """Model and guide do not fit together."""


class GuideStateError(GuideError, RuntimeError):
    """A guide cannot do what is asked as it stands: it has nothing to guide, is not at a mode, is part of a list."""


class ParamStoreError(PyroxeneError, ValueError):
    """A parameter in the store does not fit the program that asks for it."""


class MissingParamError(PyroxeneError, KeyError):
    """A parameter is read that the store does not hold, and no initial value is given."""

    def __str__(self) -> str:
        return str(self.args[0])


class MissingSiteError(GuideError, KeyError):
    """A site is read that the run has not come to, or does not have."""

    def __str__(self) -> str:
        return str(self.args[0])


class ModuleLocalParamError(ParamStoreError, NotImplementedError):
    """A module whose parameters are local to it asks for one that lives outside of it."""


class NotCallableError(SiteError, TypeError):
    """A sample statement's function is neither a distribution nor callable."""


class NotInitializedError(PyroxeneError, AttributeError):
    """A module is given an attribute before its `super().__init__()` has run."""


class ReplayError(GuideError, RuntimeError):
    """A replayed trace does not hold what the program needs."""


class ConstraintError(PyroxeneError, ValueError):
    """A value violates the constraint it was declared with."""


class UsageError(PyroxeneError, ValueError, AssertionError):
    """A handler, an option or an argument is used in a way that has no meaning.

    Pyro raised ValueError or AssertionError.
    """


class UnsupportedError(UsageError, NotImplementedError):
    """What is asked for cannot be done in any form: the hint names what can."""


class TooFewSamplesError(UsageError, RuntimeError):
    """A covariance is asked for before there are two samples; Pyro raised RuntimeError."""


class OptionError(PyroxeneError, TypeError, AssertionError):
    """An option is unknown, missing or of the wrong type; Pyro raised TypeError or AssertionError."""


class DataError(PyroxeneError, ValueError):
    """Data cannot be read, or is not what it claims to be."""


class MissingPackageError(PyroxeneError, ImportError):
    """An optional package or program is not installed; the hint says how to get it."""


class CompilerError(PyroxeneError, RuntimeError):
    """No C compiler is there, it fails, or what it built cannot be loaded; eager PyTorch serves meanwhile."""


class CaptureError(PyroxeneError, RuntimeError):
    """A function cannot be recorded as a graph: it branches on values, reads them on the host, writes in place."""


class PackageConflictError(PyroxeneError, ImportError):
    """Two packages claim one import name."""


class CannotSampleError(PyroxeneError, NotImplementedError):
    """A distribution has a density but no samples, and a sample is asked for."""


class NoTransformError(PyroxeneError, NotImplementedError):
    """No transform is registered that reaches the constraint from unconstrained space."""
