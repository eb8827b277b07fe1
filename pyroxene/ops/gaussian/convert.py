"""Normal distributions as Gaussian functions: of their value, or of their value and what their mean depends on."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributions as torchdist
from torch import Tensor

from pyroxene.errors import ShapeError, UsageError
from pyroxene.ops.gaussian.affine import AffineNormal
from pyroxene.ops.gaussian.canonical import LOG_TWO_PI, Gaussian
from pyroxene.ops.tensor_utils import matvecmul, triangular_solve

__all__ = [
    "independent_normal",
    "matrix_and_gaussian_to_gaussian",
    "matrix_and_mvn_to_gaussian",
    "mvn_to_gaussian",
]


def independent_normal(mvn: Any) -> tuple[Tensor, Tensor] | None:
    """Return loc and scale of a `Normal(...).to_event(1)`, None for any other distribution."""
    if (
        isinstance(mvn, torchdist.Independent)
        and isinstance(mvn.base_dist, torchdist.Normal)
        and mvn.reinterpreted_batch_ndims == 1
    ):
        return mvn.base_dist.loc, mvn.base_dist.scale
    return None


def mvn_to_gaussian(mvn: Any) -> Gaussian:
    """Return a normal density as a Gaussian function.

    Args:
        mvn: a `MultivariateNormal`, or a `Normal(...).to_event(1)`.

    Raises:
        UsageError: it is another distribution.

    Example:
        >>> mvn_to_gaussian(torchdist.MultivariateNormal(torch.ones(2), torch.eye(2))).info_vec
        tensor([1., 1.])
    """
    normal = independent_normal(mvn)
    if normal is not None:
        loc, scale = normal
        white = loc / scale
        log_normalizer = -0.5 * (white.square() + LOG_TWO_PI).sum(-1) - scale.log().sum(-1)
        return Gaussian(log_normalizer, white / scale, scale.square().reciprocal().diag_embed())
    if not isinstance(mvn, torchdist.MultivariateNormal):
        raise UsageError(
            "not a normal distribution of vectors",
            expected="a MultivariateNormal, or a Normal(...).to_event(1)",
            got=f"{type(mvn).__name__} with event_shape {tuple(mvn.event_shape)}",
        )
    factor = mvn._unbroadcasted_scale_tril
    identity = torch.eye(factor.size(-1), dtype=factor.dtype, device=factor.device)
    whitener = triangular_solve(identity, factor)
    given = mvn.__dict__.get("precision_matrix")  # where the distribution was made from it
    precision = whitener.mT @ whitener if given is None else given
    white = matvecmul(whitener, mvn.loc)
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_normalizer = -0.5 * (white.square() + LOG_TWO_PI).sum(-1) - log_det
    return Gaussian(log_normalizer, matvecmul(whitener.mT, white), precision)


def matrix_and_mvn_to_gaussian(matrix: Tensor, mvn: Any) -> Gaussian | AffineNormal:
    """Return the density of y given x as a function of (x, y), where y - x @ matrix is normal.

    Args:
        matrix: shape (..., X, Y).
        mvn: distribution of the noise, a `MultivariateNormal` or a `Normal(...).to_event(1)` of Y entries.

    Returns:
        An `AffineNormal` for independent noise, else a `Gaussian`.
    """
    normal = independent_normal(mvn)
    if normal is not None:
        return AffineNormal(matrix, *normal)
    return matrix_and_gaussian_to_gaussian(matrix, mvn_to_gaussian(mvn))


def matrix_and_gaussian_to_gaussian(matrix: Tensor, y_gaussian: Gaussian) -> Gaussian:
    """Return the function f(y - x @ matrix) of (x, y).

    Args:
        matrix: shape (..., X, Y).
        y_gaussian: f, a function of Y variables.

    Example:
        >>> f = Gaussian(torch.tensor(0.0), torch.zeros(1), torch.eye(1))
        >>> matrix_and_gaussian_to_gaussian(torch.full((1, 1), 2.0), f).precision
        tensor([[ 4., -2.],
                [-2.,  1.]])
    """
    if matrix.dim() < 2 or matrix.size(-1) != y_gaussian.dim():
        raise ShapeError("matrix does not fit", expected=f"(..., X, {y_gaussian.dim()})", got=tuple(matrix.shape))
    upper = -matrix @ y_gaussian.precision
    corner = -upper @ matrix.mT
    own = y_gaussian.precision.expand(upper.shape[:-2] + y_gaussian.precision.shape[-2:])
    precision = torch.cat([torch.cat([corner, upper], -1), torch.cat([upper.mT, own], -1)], -2)
    moved = -matvecmul(matrix, y_gaussian.info_vec)
    info_vec = torch.cat([moved, y_gaussian.info_vec.expand(moved.shape[:-1] + y_gaussian.info_vec.shape[-1:])], -1)
    return Gaussian(y_gaussian.log_normalizer, info_vec, precision)
