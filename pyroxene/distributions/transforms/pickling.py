"""Lets torch's own transforms be copied and pickled, without a change to their classes.

torch forgets what an inverse inverts when it pickles one, and a cache that holds an autograd graph cannot be copied.
`copyreg` tells the copy and pickle modules how to take such objects apart. The pickles name torch alone, so that they
can be read where pyroxene is not imported.
"""

from __future__ import annotations

import copyreg
import operator
from typing import Any

from torch.distributions import transforms as _torch_transforms
from torch.distributions.transforms import Transform

__all__: list[str] = []


def _reduce_inverse(inverse: Transform) -> tuple[Any, ...]:
    """Take an inverse apart into the transform that it inverts."""
    return operator.attrgetter("inv"), (inverse.inv,)


def _reduce_transform(transform: Transform) -> tuple[Any, ...]:
    """Take a transform apart into its class and its state without cached values."""
    state = transform.__getstate__()
    if "_cached_x_y" in state:
        state["_cached_x_y"] = None, None
    return copyreg.__newobj__, (type(transform),), state  # type: ignore[attr-defined] # documented only in PEP 307


def _install() -> None:
    for thing in vars(_torch_transforms).values():
        if isinstance(thing, type) and issubclass(thing, Transform):
            copyreg.pickle(thing, _reduce_transform)
    copyreg.pickle(_torch_transforms._InverseTransform, _reduce_inverse)


_install()
