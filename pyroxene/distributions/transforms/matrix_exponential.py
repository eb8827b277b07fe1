"""Linear maps by the exponential of a matrix, which is always invertible.

Source: E. Hoogeboom, V. Garcia Satorras, J. M. Tomczak, M. Welling (2020), The convolution exponential and generalized
Sylvester flows, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.errors import UsageError
from pyroxene.ops.networks import DenseNN
from pyroxene.ops.tensor_utils import matvecmul

__all__ = [
    "ConditionalMatrixExponential",
    "ConditionedMatrixExponential",
    "MatrixExponential",
    "conditional_matrix_exponential",
    "matrix_exponential",
]

_NORMS = {"none": None, "weight": "fro", "spectral": 2}


def _check(iterations: int, normalization: str, bound: float | None) -> None:
    if not isinstance(iterations, int) or iterations < 1:
        raise UsageError("iterations must be a positive integer", expected="iterations >= 1", got=iterations)
    if normalization not in _NORMS:
        raise UsageError(
            f"Unknown normalization method: {normalization}", expected=f"one of {sorted(_NORMS)}", got=normalization
        )
    if normalization != "none" and (bound is None or bound <= 0):
        raise UsageError(f"normalization '{normalization}' needs a bound", expected="bound > 0", got=bound)


class ConditionedMatrixExponential(Flow):
    """Bijection of vectors: y = exp(W) x.

    Args:
        weights: W, shape (..., n, n).
        iterations: kept for Pyro's signature; see `MatrixExponential`.
        normalization: 'none', 'weight' or 'spectral'.
        bound: the largest norm of W.
    """

    weights: Tensor

    def __init__(
        self, weights: Tensor, iterations: int = 8, normalization: str = "none", bound: float | None = None
    ) -> None:
        super().__init__(cache_size=1)
        self.weights = weights
        self._set(iterations, normalization, bound)

    def _set(self, iterations: int, normalization: str, bound: float | None) -> None:
        _check(iterations, normalization, bound)
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def _generator(self) -> Tensor:
        """Return W, shrunk to the bound where its norm exceeds it."""
        kind = _NORMS[self.normalization]
        if kind is None or self.bound is None:
            return self.weights
        norm = torch.linalg.matrix_norm(self.weights, kind, keepdim=True)
        return self.weights * (self.bound / norm.clamp(min=self.bound))

    def _log_jacobian(self, generator: Tensor, value: Tensor) -> Tensor:
        trace = generator.diagonal(dim1=-2, dim2=-1).sum(-1)
        return trace.expand(torch.broadcast_shapes(trace.shape, value.shape[:-1]))

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        generator = self._generator()
        y = matvecmul(torch.linalg.matrix_exp(generator), x)
        return y, self._log_jacobian(generator, y)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        generator = self._generator()
        x = matvecmul(torch.linalg.matrix_exp(-generator), y)
        return x, self._log_jacobian(generator, x)


class MatrixExponential(ConditionedMatrixExponential, TransformModule):
    """Bijection of vectors: y = exp(W) x; the log-Jacobian is the trace of W, the inverse exp(-W) y.

    Args:
        input_dim: the number of entries n. The learnable parameter is W, `weights`, shape (n, n).
        iterations: kept for Pyro's signature, where it is the length of a power series; here the exponential is
            `torch.linalg.matrix_exp`, right to rounding.
        normalization: 'none'; 'weight' or 'spectral': W is shrunk so that its Frobenius norm, or its largest singular
            value, is at most `bound`.
        bound: the largest norm of W, positive; needed where there is a normalization.

    Raises:
        UsageError: an unknown normalization, or one without a bound.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = MatrixExponential(3)
        >>> x = torch.ones(3)
        >>> torch.allclose(transform.log_abs_det_jacobian(x, transform(x)), transform.weights.trace())
        True
    """

    def __init__(
        self, input_dim: int, iterations: int = 8, normalization: str = "none", bound: float | None = None
    ) -> None:
        TransformModule.__init__(self, cache_size=1)
        self.input_dim = input_dim
        width = 1 / math.sqrt(input_dim)
        self.weights = nn.Parameter(torch.empty(input_dim, input_dim).uniform_(-width, width))
        self._set(iterations, normalization, bound)


class ConditionalMatrixExponential(ConditionalTransformModule):
    """`MatrixExponential` whose matrix comes from a context.

    Args:
        input_dim: the number of entries n.
        nn: takes the context to the entries of W, shape (..., n²); a DenseNN with param_dims [n²].
        iterations: as in `MatrixExponential`.
        normalization: as in `MatrixExponential`.
        bound: as in `MatrixExponential`.

    Raises:
        UsageError: an unknown normalization, or one without a bound.

    Example:
        >>> torch.manual_seed(0) and None
        >>> conditional_matrix_exponential(4, context_dim=2).condition(torch.ones(2))(torch.zeros(3, 4)).shape
        torch.Size([3, 4])
    """

    domain = Flow.domain
    codomain = Flow.codomain
    bijective = True

    def __init__(
        self, input_dim: int, nn: Any, iterations: int = 8, normalization: str = "none", bound: float | None = None
    ) -> None:
        super().__init__()
        _check(iterations, normalization, bound)
        self.input_dim = input_dim
        self.nn = nn
        self.iterations = iterations
        self.normalization = normalization
        self.bound = bound

    def condition(self, context: Tensor) -> ConditionedMatrixExponential:
        entries = self.nn(context)
        weights = entries.reshape(entries.shape[:-1] + (self.input_dim, self.input_dim))
        return ConditionedMatrixExponential(weights, self.iterations, self.normalization, self.bound)


def matrix_exponential(
    input_dim: int, iterations: int = 8, normalization: str = "none", bound: float | None = None
) -> MatrixExponential:
    """Return a MatrixExponential, whose arguments these are."""
    return MatrixExponential(input_dim, iterations=iterations, normalization=normalization, bound=bound)


def conditional_matrix_exponential(
    input_dim: int,
    context_dim: int,
    hidden_dims: Sequence[int] | None = None,
    iterations: int = 8,
    normalization: str = "none",
    bound: float | None = None,
) -> ConditionalMatrixExponential:
    """Return a ConditionalMatrixExponential with a network of its own.

    Args:
        input_dim: the number of entries.
        context_dim: the number of entries of the context.
        hidden_dims: the network's hidden layers; two of 10 input_dim units by default.
        iterations: as in `MatrixExponential`.
        normalization: as in `MatrixExponential`.
        bound: as in `MatrixExponential`.
    """
    hidden = [10 * input_dim] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden, param_dims=[input_dim * input_dim])
    return ConditionalMatrixExponential(input_dim, network, iterations, normalization, bound)
