"""Densities without the distributions' checks: they ran once, when the density was made."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.distributions import Distribution

from pyroxene import settings

__all__ = ["unvalidated", "without_checks"]


class _Switch:
    """Switches the checks of distributions off while any thread evaluates a density."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = True

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._before = settings.get("validate_distributions_torch")
                settings.set(validate_distributions_torch=False)
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    settings.set(validate_distributions_torch=self._before)


without_checks = _Switch()
"""`with without_checks():` distributions made inside check neither arguments nor values."""


def unvalidated(fn: Any) -> Any:
    """Return a distribution that does not check values: itself, or a copy where it was told to check.

    A distribution that was expanded, or made with `validate_args=True`, holds the order itself; so may those inside it.
    """
    inner = {name: part for name, part in vars(fn).items() if isinstance(part, Distribution)}
    changed = {name: unvalidated(part) for name, part in inner.items()}
    if all(changed[name] is part for name, part in inner.items()) and not vars(fn).get("_validate_args", False):
        return fn
    quiet = copy.copy(fn)
    vars(quiet).update(changed, _validate_args=False)
    return quiet
