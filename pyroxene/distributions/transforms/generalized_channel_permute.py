"""Linear maps of the channels of an image, the same at every pixel: invertible 1 by 1 convolutions.

Source: D. P. Kingma, P. Dhariwal (2018), Glow: generative flow with invertible 1x1 convolutions, section 3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pyroxene.distributions import constraints
from pyroxene.distributions.conditional import ConditionalTransformModule
from pyroxene.distributions.torch_transform import TransformModule
from pyroxene.distributions.transforms.flow import Flow
from pyroxene.errors import UsageError
from pyroxene.ops.networks import DenseNN

__all__ = [
    "ConditionalGeneralizedChannelPermute",
    "ConditionedGeneralizedChannelPermute",
    "GeneralizedChannelPermute",
    "conditional_generalized_channel_permute",
    "generalized_channel_permute",
]

_IMAGE = constraints.independent(constraints.real, 3)


def _permutation_matrix(channels: int, permutation: Any) -> Tensor:
    """Return the matrix P with (P x)[i] = x[permutation[i]], of a random order where none is given."""
    if permutation is None:
        permutation = torch.randperm(channels, device="cpu").to(torch.Tensor().device)
    permutation = torch.as_tensor(permutation)
    if permutation.numel() != channels:
        raise UsageError(
            f'Keyword argument "permutation" expected to have {channels} elements but {permutation.numel()} found.',
            expected=f"an order of 0 to {channels - 1}",
            got=permutation,
        )
    if sorted(permutation.tolist()) != list(range(channels)):
        raise UsageError(
            'Keyword argument "permutation" is no permutation',
            expected=f"an order of 0 to {channels - 1}",
            got=permutation,
        )
    return torch.eye(channels)[permutation.long()]


class ConditionedGeneralizedChannelPermute(Flow):
    """Bijection of images: y[:, i, j] = P L U x[:, i, j].

    Args:
        permutation: P, a permutation matrix, shape (C, C).
        LU: below the diagonal L, whose diagonal is one, and U from the diagonal up; shape (..., C, C).
    """

    domain = _IMAGE
    codomain = _IMAGE

    permutation: Tensor
    LU: Tensor

    def __init__(self, permutation: Tensor, LU: Tensor) -> None:
        super().__init__(cache_size=1)
        self.permutation = permutation
        self.LU = LU

    @property
    def U_diag(self) -> Tensor:
        """The diagonal of U, shape (..., C)."""
        return self.LU.diagonal(dim1=-2, dim2=-1)

    @property
    def L(self) -> Tensor:
        """The lower factor, with a unit diagonal, shape (..., C, C)."""
        return self.LU.tril(-1) + torch.eye(self.LU.size(-1), dtype=self.LU.dtype, device=self.LU.device)

    @property
    def U(self) -> Tensor:
        """The upper factor, shape (..., C, C)."""
        return self.LU.triu()

    def _log_jacobian(self, image: Tensor) -> Tensor:
        term = image.size(-1) * image.size(-2) * self.U_diag.abs().log().sum(-1)
        return term.expand(torch.broadcast_shapes(term.shape, image.shape[:-3]))

    def _push(self, x: Tensor) -> tuple[Tensor, Tensor]:
        matrix = self.permutation.to(self.LU.dtype) @ self.L @ self.U
        y = (matrix @ x.flatten(-2)).unflatten(-1, x.shape[-2:])
        return y, self._log_jacobian(y)

    def _pull(self, y: Tensor) -> tuple[Tensor, Tensor | None]:
        back = self.permutation.to(self.LU.dtype).mT @ y.flatten(-2)
        middle = torch.linalg.solve_triangular(self.L, back, upper=False, unitriangular=True)
        x = torch.linalg.solve_triangular(self.U, middle, upper=True).unflatten(-1, y.shape[-2:])
        return x, self._log_jacobian(x)


class GeneralizedChannelPermute(ConditionedGeneralizedChannelPermute, TransformModule):
    """Bijection of images, shape (..., C, height, width): y[:, i, j] = P L U x[:, i, j].

    P is a fixed permutation matrix, L lower triangular with a unit diagonal, U upper triangular. The log-Jacobian is
    height · width · Σ log |U_cc|. P L U is a random rotation at first, unless P is given.

    Args:
        channels: the number of channels C.
        permutation: the order that P puts channels into, (P x)[i] = x[permutation[i]]; integers, shape (C,).

    Raises:
        UsageError: `permutation` is none of C entries.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = GeneralizedChannelPermute(channels=3)
        >>> transform(torch.randn(10, 3, 32, 32)).shape
        torch.Size([10, 3, 32, 32])
    """

    def __init__(self, channels: int = 3, permutation: Any = None) -> None:
        TransformModule.__init__(self, cache_size=1)
        if channels < 1:
            raise UsageError("channels must be positive", expected="channels >= 1", got=channels)
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        matrix, lower, upper = torch.linalg.lu(rotation)
        matrix = matrix if permutation is None else _permutation_matrix(channels, permutation)
        self.register_buffer("permutation", matrix)
        self.LU = nn.Parameter(lower.tril(-1) + upper)


class ConditionalGeneralizedChannelPermute(ConditionalTransformModule):
    """`GeneralizedChannelPermute` whose L and U come from a context; the permutation is fixed.

    Args:
        nn: takes the context to the entries of L and U, packed into one matrix, shape (..., C²); a DenseNN with
            param_dims [C²].
        channels: the number of channels C.
        permutation: the order of the channels, integers, shape (C,); drawn at random where it is None.

    Raises:
        UsageError: `permutation` is none of C entries.

    Example:
        >>> torch.manual_seed(0) and None
        >>> transform = conditional_generalized_channel_permute(context_dim=2, channels=3)
        >>> transform.condition(torch.ones(2))(torch.randn(10, 3, 8, 8)).shape
        torch.Size([10, 3, 8, 8])
    """

    domain = _IMAGE
    codomain = _IMAGE
    bijective = True
    permutation: Tensor

    def __init__(self, nn: Any, channels: int = 3, permutation: Any = None) -> None:
        super().__init__()
        self.nn = nn
        self.channels = channels
        self.register_buffer("permutation", _permutation_matrix(channels, permutation))

    def condition(self, context: Tensor) -> ConditionedGeneralizedChannelPermute:
        packed = self.nn(context)
        packed = packed.reshape(packed.shape[:-1] + (self.channels, self.channels))
        return ConditionedGeneralizedChannelPermute(self.permutation, packed)


def generalized_channel_permute(**kwargs: Any) -> GeneralizedChannelPermute:
    """Return a GeneralizedChannelPermute, whose arguments `channels` and `permutation` these are."""
    return GeneralizedChannelPermute(**kwargs)


def conditional_generalized_channel_permute(
    context_dim: int, channels: int = 3, hidden_dims: Sequence[int] | None = None
) -> ConditionalGeneralizedChannelPermute:
    """Return a ConditionalGeneralizedChannelPermute with a network of its own.

    Args:
        context_dim: the number of entries of the context.
        channels: the number of channels.
        hidden_dims: the network's hidden layers; two of 10 channels units by default.
    """
    hidden = [10 * channels] * 2 if hidden_dims is None else hidden_dims
    network = DenseNN(context_dim, hidden, param_dims=[channels * channels])
    return ConditionalGeneralizedChannelPermute(network, channels)
