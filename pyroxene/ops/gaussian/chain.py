"""Products of Gaussian functions along a chain of variables, and draws of all its variables, in logarithmic depth."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pyroxene.errors import ShapeError
from pyroxene.ops.gaussian.canonical import Gaussian, gaussian_tensordot, product_without
from pyroxene.ops.gaussian.elimination import Eliminated
from pyroxene.ops.parallel_scan import Elements, product

__all__ = ["sequential_gaussian_filter_sample", "sequential_gaussian_tensordot"]

_TIME = (-1, -2, -3)
"""The time axis, the rightmost batch dimension, of log_normalizer, info_vec and precision."""


def _elements(gaussian: Gaussian) -> Elements:
    whole = gaussian.expand(gaussian.batch_shape)
    return whole.log_normalizer, whole.info_vec, whole.precision


def _check_chain(gaussian: Gaussian) -> None:
    if gaussian.dim() % 2 or not gaussian.batch_shape or not gaussian.batch_shape[-1]:
        raise ShapeError(
            "not a chain",
            expected="a Gaussian of an even number of variables, with time as its rightmost batch dimension",
            got=f"{gaussian.dim()} variables, batch_shape {tuple(gaussian.batch_shape)}",
        )


def sequential_gaussian_tensordot(gaussian: Gaussian) -> Gaussian:
    """Multiply functions of neighbouring states, and integrate out all states between the first and the last.

    Source: S. Särkkä and Á. F. García-Fernández (2021), Temporal Parallelization of Bayesian Smoothers.

    Args:
        gaussian: element t of the rightmost batch dimension is a function of (z[t], z[t + 1]), 2 H variables.

    Returns:
        A function of (z[0], z[T]), its batch shape one dimension shorter.

    Example:
        >>> steps = Gaussian(torch.zeros(5), torch.zeros(5, 2), torch.eye(2).expand(5, 2, 2))
        >>> sequential_gaussian_tensordot(steps).precision
        tensor([[1., 0.],
                [0., 1.]])
    """
    _check_chain(gaussian)
    size = gaussian.dim() // 2

    def combine(x: Elements, y: Elements) -> Elements:
        return _elements(gaussian_tensordot(Gaussian(*x), Gaussian(*y), size))

    return Gaussian(*product(combine, _elements(gaussian), _TIME))


def sequential_gaussian_filter_sample(
    init: Gaussian, trans: Gaussian, sample_shape: Sequence[int] = (), noise: Tensor | None = None
) -> Tensor:
    """Draw all states of a chain from their joint distribution.

    Pairs of steps are merged by eliminating the state between them, until one step is left. Its two ends are drawn,
    then the eliminated states, in reverse, each given its two neighbours.

    Args:
        init: a function of z[0], H variables.
        trans: element t of the rightmost batch dimension is a function of (z[t], z[t + 1]), 2 H variables.
        sample_shape: how many independent draws.
        noise: standard normal numbers to use, shape (*sample_shape, *batch_shape, T + 1, H); drawn by default.

    Returns:
        z[0], ..., z[T]: shape (*sample_shape, *batch_shape, T + 1, H); differentiable. batch_shape is what that of
        init and that of trans without time broadcast to.
    """
    _check_chain(trans)
    size, steps = init.dim(), trans.batch_shape[-1]
    if trans.dim() != 2 * size:
        raise ShapeError("init and trans do not fit", expected=f"trans of {2 * size} variables", got=trans.dim())
    batch_shape = torch.broadcast_shapes(init.batch_shape, trans.batch_shape[:-1])
    shape = torch.Size(sample_shape) + batch_shape + (steps + 1, size)
    if noise is None:
        noise = torch.randn(shape, dtype=init.info_vec.dtype, device=init.info_vec.device)
    elif noise.shape != shape:
        raise ShapeError("noise does not fit", expected=tuple(shape), got=tuple(noise.shape))
    between: list[Eliminated] = []

    def merge(x: Elements, y: Elements) -> Elements:
        merged, gone = product_without(Gaussian(*x), Gaussian(*y), size)
        between.append(gone)
        return _elements(merged)

    whole = Gaussian(*product(merge, _elements(trans), _TIME))
    ends = init.event_pad(right=size).expand(batch_shape) + whole
    drawn = ends.rsample(sample_shape, noise[..., [0, steps], :].flatten(-2))
    path = torch.stack([drawn[..., :size], drawn[..., size:]], -2)
    return _fill(path, between, noise, list(range(steps + 1)))


def _fill(path: Tensor, between: list[Eliminated], noise: Tensor, times: list[int]) -> Tensor:
    """Draw the states that were eliminated at `times`, from those of the coarsest pairing to those of the finest."""
    inserted = []
    for _ in between:
        even = (len(times) - 1) // 2 * 2
        inserted.append(times[1:even:2])
        times = times[: even + 1 : 2] + times[even + 1 :]
    for gone, new in zip(reversed(between), reversed(inserted)):
        count = len(new)
        neighbours = torch.cat([path[..., :count, :], path[..., 1 : count + 1, :]], -1)
        middle = gone.restore(neighbours, noise[..., new, :])
        woven = torch.stack([path[..., :count, :], middle], -2).flatten(-3, -2)
        path = torch.cat([woven, path[..., count:, :]], -2)
    return path
