"""Small tensor mathematics: blocks, periodic series, convolution, cosine and Haar transforms, safe linear algebra."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from pyroxene.errors import ShapeError, UsageError
from pyroxene.settings import value_of

__all__ = [
    "as_complex",
    "block_diag_embed",
    "block_diagonal",
    "broadcast_tensors_without_dim",
    "cholesky_solve",
    "convolve",
    "dct",
    "haar_transform",
    "idct",
    "inverse_haar_transform",
    "matmul",
    "matvecmul",
    "next_fast_len",
    "periodic_cumsum",
    "periodic_features",
    "periodic_repeat",
    "precision_to_scale_tril",
    "repeated_matmul",
    "safe_cholesky",
    "safe_normalize",
    "triangular_solve",
]


def as_complex(x: Tensor) -> Tensor:
    """Read pairs of reals, shape (..., 2), as complex numbers, shape (...); copies where strides forbid a view."""
    strides = x.stride()
    if strides[-1] != 1 or any(stride % 2 for stride in strides[:-1]) or x.storage_offset() % 2:
        x = x.clone(memory_format=torch.contiguous_format)
    return torch.view_as_complex(x)


def block_diag_embed(mat: Tensor) -> Tensor:
    """Put blocks on the diagonal of a matrix of zeros.

    Args:
        mat: blocks, shape (..., B, M, N).

    Returns:
        Shape (..., B * M, B * N).

    Example:
        >>> block_diag_embed(torch.ones(2, 1, 2))
        tensor([[1., 1., 0., 0.],
                [0., 0., 1., 1.]])
    """
    blocks, rows, columns = mat.shape[-3:]
    own_block = torch.eye(blocks, dtype=mat.dtype, device=mat.device).reshape(blocks, 1, blocks, 1)
    return (mat.unsqueeze(-2) * own_block).reshape(mat.shape[:-3] + (blocks * rows, blocks * columns))


def block_diagonal(mat: Tensor, block_size: int) -> Tensor:
    """Cut the blocks out of a block-diagonal matrix; undoes `block_diag_embed`.

    Args:
        mat: shape (..., B * M, B * N).
        block_size: the number of blocks B.

    Returns:
        The blocks, shape (..., B, M, N).

    Raises:
        ShapeError: B does not divide the two last sizes.
    """
    rows, columns = mat.shape[-2:]
    if rows % block_size or columns % block_size:
        raise ShapeError("a matrix does not divide into blocks", expected=f"multiples of {block_size}", got=mat.shape)
    shape = (block_size, rows // block_size, block_size, columns // block_size)
    grid = mat.reshape(mat.shape[:-2] + shape)
    return grid.diagonal(dim1=-4, dim2=-2).movedim(-1, -3)


def broadcast_tensors_without_dim(tensors: Sequence[Tensor], dim: int) -> list[Tensor]:
    """Expand tensors to one shape in every dimension but one, so that they can be concatenated along it.

    Args:
        tensors: tensors whose shapes broadcast, dimension `dim` aside.
        dim: the dimension whose sizes stay; negative.

    Raises:
        UsageError: `dim` is not negative.
    """
    if dim >= 0:
        raise UsageError("dim must count from the right", expected="dim < 0", got=dim)
    others = [x.shape[: x.dim() + dim] + (1,) + x.shape[x.dim() + dim + 1 :] for x in tensors]
    shape = torch.broadcast_shapes(*others)
    cut = len(shape) + dim
    return [x.expand(shape[:cut] + (x.shape[dim],) + shape[cut + 1 :]) for x in tensors]


def _check_period(period: int, name: str) -> None:
    if not isinstance(period, int) or period < 1:
        raise UsageError(f"{name} must be a positive integer", expected=f"{name} >= 1", got=period)


def periodic_repeat(tensor: Tensor, size: int, dim: int) -> Tensor:
    """Repeat one period of a series until it has a given size.

    Args:
        tensor: one period along `dim`.
        size: size of the result along `dim`.
        dim: the dimension of time.

    Example:
        >>> periodic_repeat(torch.tensor([1, 2, 3]), 5, 0)
        tensor([1, 2, 3, 1, 2])
    """
    _check_period(size, "size")
    phase = torch.arange(size, device=tensor.device) % tensor.size(dim)
    return tensor.index_select(dim, phase)


def periodic_cumsum(tensor: Tensor, period: int, dim: int) -> Tensor:
    """Sum a series over all earlier times of the same phase.

    Args:
        tensor: differences from one period to the next.
        period: length of a period along `dim`.
        dim: the dimension of time.

    Example:
        >>> periodic_cumsum(torch.tensor([1, 2, 3, 4, 5]), 2, 0)
        tensor([1, 2, 4, 6, 9])
    """
    _check_period(period, "period")
    size = tensor.size(dim)
    series = tensor.movedim(dim, -1)
    cycles = -(-size // period)
    padded = torch.nn.functional.pad(series, (0, cycles * period - size))
    sums = padded.reshape(padded.shape[:-1] + (cycles, period)).cumsum(-2).reshape(padded.shape)
    return sums[..., :size].movedim(-1, dim)


def periodic_features(
    duration: int, max_period: float | None = None, min_period: float | None = None, **options: Any
) -> Tensor:
    """Return cosines and negated sines of the harmonics of a period, as regressors of a time series.

    Args:
        duration: number of time steps.
        max_period: the longest period, in time steps; `duration` by default.
        min_period: periods stay longer than this; 2, the Nyquist limit, by default.
        **options: `dtype` and `device` of the result.

    Returns:
        Shape (duration, 2 * ceil(max_period / min_period) - 2), all cosines before all sines.

    Raises:
        UsageError: the periods are not 2 <= min_period <= max_period.
    """
    _check_period(duration, "duration")
    longest = duration if max_period is None else max_period
    shortest = 2 if min_period is None else min_period
    if not 2 <= shortest <= longest:
        raise UsageError(
            "periods are out of order", expected="2 <= min_period <= max_period", got=f"{shortest}, {longest}"
        )
    time = torch.arange(float(duration), **options).unsqueeze(-1)
    harmonic = torch.arange(1.0, math.ceil(longest / shortest), **options)
    angle = time * (2 * math.pi / longest) * harmonic
    return torch.cat([angle.cos(), -angle.sin()], -1)  # Pyro has cos(angle + pi / 2)


@functools.lru_cache(maxsize=1024)
def next_fast_len(size: int) -> int:
    """Return the least number of at least `size` whose prime factors are 2, 3 and 5; fast for Fourier transforms."""
    _check_period(size, "size")
    candidate = size
    while True:
        rest = candidate
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return candidate
        candidate += 1


def convolve(signal: Tensor, kernel: Tensor, mode: str = "full") -> Tensor:
    """Convolve along the last dimension, by Fourier transforms; the other dimensions broadcast.

    Args:
        signal: shape (..., m).
        kernel: shape (..., n).
        mode: "full", "valid" or "same", as in numpy.

    Returns:
        Last size m + n - 1, max(m, n) - min(m, n) + 1 or max(m, n).

    Raises:
        UsageError: no such mode.
    """
    m, n = signal.size(-1), kernel.size(-1)
    full = m + n - 1
    sizes = {"full": full, "valid": max(m, n) - min(m, n) + 1, "same": max(m, n)}
    if mode not in sizes:
        raise UsageError("Unknown mode", expected="'full', 'valid' or 'same'", got=mode)
    padded = next_fast_len(full)
    spectrum = torch.fft.rfft(signal, n=padded) * torch.fft.rfft(kernel, n=padded)
    start = (full - sizes[mode]) // 2
    return torch.fft.irfft(spectrum, n=padded)[..., start : start + sizes[mode]]


def repeated_matmul(M: Tensor, n: int) -> Tensor:
    """Stack the first n powers of square matrices, in about log2(n) products.

    Args:
        M: shape (..., N, N).
        n: the highest power, at least 1.

    Returns:
        M, M^2, ..., M^n: shape (n, ..., N, N).
    """
    _check_period(n, "n")
    powers = M.unsqueeze(0)
    while len(powers) < n:
        missing = n - len(powers)
        powers = torch.cat([powers, powers[-1] @ powers[:missing]])
    return powers


def _twiddle(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of pi k / 2n for a series x of length n."""
    angle = torch.arange(x.size(-1), dtype=x.dtype, device=x.device) * (0.5 * math.pi / x.size(-1))
    return angle.cos(), angle.sin()


def _orthonormal_scale(x: Tensor) -> Tensor:
    """Return the factors that make the rows of the unscaled cosine transform orthonormal."""
    size = x.size(-1)
    others = torch.full((size - 1,), (2 / size) ** 0.5, dtype=x.dtype, device=x.device)
    return torch.nn.functional.pad(others, (1, 0), value=size**-0.5)


def dct(x: Tensor, dim: int = -1) -> Tensor:
    """Apply the orthonormal discrete cosine transform of type II; `idct` undoes it.

    Source: Makhoul, A fast cosine transform in one and two dimensions, 1980: even entries, then odd ones reversed,
    under a Fourier transform of the same length.

    Args:
        x: a series along `dim`.
        dim: the dimension to transform.

    Example:
        >>> dct(torch.ones(4))
        tensor([2., 0., 0., 0.])
    """
    if dim not in (-1, x.dim() - 1):
        return dct(x.movedim(dim, -1)).movedim(-1, dim)
    spectrum = torch.fft.fft(torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], -1))
    cosine, sine = _twiddle(x)
    return (spectrum.real * cosine + spectrum.imag * sine) * _orthonormal_scale(x)


def idct(x: Tensor, dim: int = -1) -> Tensor:
    """Undo `dct` along `dim`: the orthonormal discrete cosine transform of type III."""
    if dim not in (-1, x.dim() - 1):
        return idct(x.movedim(dim, -1)).movedim(-1, dim)
    size = x.size(-1)
    cosine, sine = _twiddle(x)
    real = x / _orthonormal_scale(x)
    imaginary = -torch.nn.functional.pad(real[..., 1:].flip(-1), (1, 0))
    half = size // 2 + 1
    spectrum = torch.complex(real * cosine - imaginary * sine, real * sine + imaginary * cosine)[..., :half]
    series = torch.fft.irfft(spectrum, n=size)
    even = -(-size // 2)
    odd = torch.nn.functional.pad(series[..., even:].flip(-1), (0, even - size // 2))
    return torch.stack([series[..., :even], odd], -1).flatten(-2)[..., :size]


def haar_transform(x: Tensor) -> Tensor:
    """Apply the orthonormal Haar transform along the last dimension, coarse coefficients first.

    A series whose length is odd at some level keeps its last entry there as it is.

    Example:
        >>> haar_transform(torch.tensor([1.0, 1.0, 3.0, 3.0]))
        tensor([ 4.0000, -2.0000,  0.0000,  0.0000])
    """
    details: list[Tensor] = []
    while (size := x.size(-1)) > 1:
        even, odd = x[..., : size - 1 : 2], x[..., 1::2]
        left_over = x[..., size - size % 2 :]
        details.append(torch.cat([(even - odd) * math.sqrt(0.5), left_over], -1))
        x = (even + odd) * math.sqrt(0.5)
    return torch.cat([x, *reversed(details)], -1)


def inverse_haar_transform(x: Tensor) -> Tensor:
    """Undo `haar_transform` along the last dimension."""
    size = x.size(-1)
    levels = []
    while size > 1:
        levels.append(size)
        size //= 2
    coarse, start = x[..., :size], size
    for size in reversed(levels):
        half = size // 2
        detail = x[..., start : start + half]
        pairs = torch.stack([coarse + detail, coarse - detail], -1).flatten(-2) * math.sqrt(0.5)
        coarse = torch.cat([pairs, x[..., start + half : size]], -1)
        start = size
    return coarse


def safe_cholesky(x: Tensor) -> Tensor:
    """Factorise positive-definite matrices after adding a jitter to the diagonal.

    The jitter of a row is its largest absolute entry times the machine epsilon times
    `settings.get("cholesky_relative_jitter")`. A matrix of one row is floored at the least normal number instead.

    Args:
        x: shape (..., n, n).

    Returns:
        The lower Cholesky factor, shape (..., n, n).
    """
    if x.size(-1) == 1:
        return x.clamp(min=torch.finfo(x.dtype).tiny).sqrt()
    relative = value_of("cholesky_relative_jitter")
    if relative:
        jitter = x.detach().abs().amax(-1) * (relative * torch.finfo(x.dtype).eps)
        x = x + jitter.diag_embed()
    return torch.linalg.cholesky(x)


def cholesky_solve(x: Tensor, y: Tensor) -> Tensor:
    """Solve (y yᵀ) z = x for z, with y lower triangular, shape (..., n, n), and x of shape (..., n, k)."""
    return x / (y * y) if y.size(-1) == 1 else torch.cholesky_solve(x, y)


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Multiply matrices; those of one row and column as scalars, which is faster."""
    return x.mul(y) if x.size(-1) == 1 else x.matmul(y)


def matvecmul(x: Tensor, y: Tensor) -> Tensor:
    """Multiply matrices of shape (..., m, n) with vectors of shape (..., n)."""
    return x.matmul(y.unsqueeze(-1)).squeeze(-1)


def triangular_solve(x: Tensor, y: Tensor, upper: bool = False, transpose: bool = False) -> Tensor:
    """Solve y z = x for z, or yᵀ z = x with `transpose`.

    Args:
        x: right-hand side, shape (..., n, k).
        y: triangular, shape (..., n, n); the other triangle is not read.
        upper: whether y is upper triangular.
        transpose: solve with the transpose of y.
    """
    if y.size(-1) == 1:
        return x / y
    if transpose:
        y, upper = y.mT, not upper
    return torch.linalg.solve_triangular(y, x, upper=upper)


def precision_to_scale_tril(P: Tensor) -> Tensor:
    """Return the lower-triangular L with L Lᵀ = P⁻¹, for positive-definite P of shape (..., n, n)."""
    reversed_factor = torch.linalg.cholesky(P.flip((-2, -1)))  # of J P J, with J the reversal
    inverse = reversed_factor.flip((-2, -1)).mT  # lower triangular, its inverse is L
    identity = torch.eye(P.size(-1), dtype=P.dtype, device=P.device)
    return torch.linalg.solve_triangular(inverse, identity, upper=False)


def safe_normalize(x: Tensor, *, p: float = 2) -> Tensor:
    """Scale vectors to unit p-norm; a vector of zeros becomes (1, 0, ..., 0), with gradient zero.

    Args:
        x: shape (..., n).
        p: exponent of the norm.

    Example:
        >>> safe_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [1.0000, 0.0000]])
    """
    size = x.detach().abs().amax(-1, keepdim=True)  # without it, squares of tiny numbers would vanish
    is_zero = size == 0
    first = (torch.arange(x.size(-1), device=x.device) == 0).to(x.dtype)
    scaled = torch.where(is_zero, first, x / torch.where(is_zero, torch.ones_like(size), size))
    return scaled / torch.linalg.vector_norm(scaled, ord=p, dim=-1, keepdim=True)
