"""CAR, ICAR: values at the nodes of a graph, each normal about a mean of its neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from pyroxene.distributions import constraints
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistribution
from pyroxene.distributions.util import broadcast_shape
from pyroxene.errors import ParameterError, ShapeError

__all__ = ["CAR", "ICAR"]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def _as_adjacency(cls: str, name: str, given: Any, dtype: torch.dtype) -> torch.Tensor:
    """A dense adjacency matrix of a tensor, an array, or a sparse matrix of torch or scipy."""
    if hasattr(given, "toarray"):
        given = given.toarray()
    elif isinstance(given, torch.Tensor) and given.layout != torch.strided:
        given = given.to_dense()
    matrix = torch.as_tensor(given)
    matrix = matrix if matrix.is_floating_point() else matrix.to(dtype)
    if matrix.dim() < 2 or matrix.shape[-1] != matrix.shape[-2]:
        raise ShapeError(
            f"{name} of {cls} is not an adjacency matrix", expected="shape (..., N, N)", got=tuple(matrix.shape)
        )
    return matrix


def _refuse_isolated(cls: str, name: str, matrix: torch.Tensor) -> None:
    """Raise where a node has no neighbour or is one of itself."""
    lonely = (matrix.sum(-1) <= 0).any()
    if lonely or (matrix.diagonal(dim1=-2, dim2=-1) != 0).any():
        raise ParameterError(
            f"{name} of {cls} has " + ("a node without neighbours" if lonely else "a diagonal that is not zero"),
            expected="a row of positive sum for each node, and zeros on the diagonal",
            hint="give nodes without neighbours a distribution of their own",
        )


class CAR(TorchDistribution):
    """Conditional autoregression: given the others, a node's value is normal about a mean of its neighbours' values.

    With W = adj_matrix, d[i] = sum_j W[i, j], rho = correlation and tau = conditional_precision,
    x[i] given the others is normal with mean loc[i] + rho sum_j W[i, j] (x[j] - loc[j]) / d[i] and precision
    tau d[i]. Jointly x is normal with mean loc and precision matrix Q = tau (diag(d) - rho W):
    the density is sqrt(det Q / (2 pi)^N) exp(-(x - loc)^T Q (x - loc) / 2). As
    det Q = tau^N prod_i d[i] (1 - rho lambda[i]), with the eigenvalues lambda of d^(-1/2) W d^(-1/2), which do not
    depend on parameters, the density costs as much as the graph has edges.

    Args:
        loc: mean, shape (*batch_shape, N), or a number for all nodes.
        correlation: rho, between -1 and 1, shape batch_shape; at 1 the density is improper, and zero here.
        conditional_precision: tau, positive, shape batch_shape.
        adj_matrix: W, symmetric with a zero diagonal, weights not negative, each node with a neighbour, shape (N, N) or
            (*batch_shape, N, N); a tensor or an array, and a constant.
        is_sparse: whether adj_matrix is a sparse matrix of torch or scipy, then of shape (N, N).
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of N entries. Mean loc, covariance the inverse of Q.

    Raises:
        ParameterError: an argument is out of its range, or a node has no neighbours.
        ShapeError: loc does not fit adj_matrix.

    Source: J. Besag (1974), Spatial Interaction and the Statistical Analysis of Lattice Systems; for the determinant
    X. Jin, B. P. Carlin and S. Banerjee (2005), Generalized Hierarchical Multivariate CAR Models for Areal Data.

    Example:
        >>> path = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        >>> d = CAR(torch.zeros(3), 0.5, 1.0, path)
        >>> d.log_prob(torch.zeros(3)), d.mean
        (tensor(-2.5541), tensor([0., 0., 0.]))
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "correlation": constraints.interval(-1.0, 1.0),
        "conditional_precision": constraints.positive,
        "adj_matrix": constraints.symmetric,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: torch.Tensor | float,
        correlation: torch.Tensor | float,
        conditional_precision: torch.Tensor | float,
        adj_matrix: Any,
        is_sparse: bool = False,
        validate_args: bool | None = None,
    ) -> None:
        floats = [p for p in (loc, correlation, conditional_precision) if isinstance(p, torch.Tensor)]
        dtype = floats[0].dtype if floats else torch.get_default_dtype()
        matrix = _as_adjacency("CAR", "adj_matrix", adj_matrix, dtype)
        dtype = dtype if floats else matrix.dtype
        nodes = matrix.shape[-1:]
        matrix = matrix.to(dtype)
        loc, rho, tau = (
            torch.as_tensor(p, dtype=None if isinstance(p, torch.Tensor) else dtype, device=matrix.device)
            for p in (loc, correlation, conditional_precision)
        )
        loc = loc.expand(nodes) if loc.dim() == 0 else loc
        if loc.shape[-1:] != nodes:
            raise ShapeError(
                "loc of CAR does not fit adj_matrix",
                expected=f"shape (..., {nodes[0]})",
                got=tuple(loc.shape),
                hint="adj_matrix has a row for each node",
            )
        batch_shape = torch.Size(broadcast_shape(loc.shape[:-1], rho.shape, tau.shape, matrix.shape[:-2]))
        self.loc = loc.expand(batch_shape + nodes)
        self.correlation, self.conditional_precision = rho.expand(batch_shape), tau.expand(batch_shape)
        self.adj_matrix, self.is_sparse = matrix, is_sparse
        super().__init__(batch_shape, nodes, validate_args=validate_args)
        if self._validate_args:
            _refuse_isolated("CAR", "adj_matrix", matrix)
        self.degrees = matrix.sum(-1)
        self.eigenvalues = _scaled_eigenvalues(matrix)
        self._edges = _edges(matrix) if matrix.dim() == 2 else None

    @classmethod
    def infer_shapes(
        cls,
        loc: Sequence[int] = (),
        correlation: Sequence[int] = (),
        conditional_precision: Sequence[int] = (),
        adj_matrix: Any = (),
        is_sparse: bool = False,
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shapes of the arguments; adj_matrix may be the matrix itself."""
        adj_matrix = tuple(getattr(adj_matrix, "shape", adj_matrix))
        batch_shape = broadcast_shape(loc[:-1], correlation, conditional_precision, adj_matrix[:-2])
        return torch.Size(batch_shape), torch.Size(adj_matrix[-1:])

    @property
    def precision_matrix(self) -> torch.Tensor:
        """Q, shape (*batch_shape, N, N)."""
        rho, tau = (p[..., None, None] for p in (self.correlation, self.conditional_precision))
        return tau * (torch.diag_embed(self.degrees) - rho * self.adj_matrix)

    @property
    def covariance_matrix(self) -> torch.Tensor:
        """Inverse of Q, shape (*batch_shape, N, N)."""
        return torch.cholesky_inverse(torch.linalg.cholesky(self.precision_matrix))

    def expand(self, batch_shape: Size, _instance: Any = None) -> CAR:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(CAR, _instance)
        batch_shape = torch.Size(batch_shape)
        new.loc = self.loc.expand(batch_shape + self._event_shape)
        new.correlation = self.correlation.expand(batch_shape)
        new.conditional_precision = self.conditional_precision.expand(batch_shape)
        new.adj_matrix, new.is_sparse = self.adj_matrix, self.is_sparse
        new.degrees, new.eigenvalues, new._edges = self.degrees, self.eigenvalues, self._edges
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample by a Cholesky factor of Q; gradients reach loc, correlation and conditional_precision."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.loc.dtype, device=self.loc.device).unsqueeze(-1)
        factor = torch.linalg.cholesky(self.precision_matrix)
        return self.loc + torch.linalg.solve_triangular(factor.mT, white, upper=True).squeeze(-1)

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density."""
        if self._validate_args:
            self._validate_sample(value)
        centred = value - self.loc
        squares = centred.square()
        if self._edges is not None:
            roughness = _roughness(centred, self._edges)
        else:
            roughness = (self.degrees * squares - centred * (self.adj_matrix @ centred.unsqueeze(-1)).squeeze(-1)).sum(
                -1
            )
        # d x^2 - rho x W x as a sum of two terms that are both positive for rho in (0, 1)
        rho, tau = self.correlation, self.conditional_precision
        energy = tau * (rho * roughness + (1 - rho) * (self.degrees * squares).sum(-1))
        log_det = self.degrees.log().sum(-1) + torch.log1p(-rho.unsqueeze(-1) * self.eigenvalues).sum(-1)
        return 0.5 * (log_det - energy) + self._event_shape[0] * (0.5 * tau.log() - HALF_LOG_2PI)

    @property
    def mean(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def mode(self) -> torch.Tensor:
        """Loc."""
        return self.loc

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each node's value, shape (*batch_shape, N)."""
        return self.covariance_matrix.diagonal(dim1=-2, dim2=-1)


class ICAR(TorchDistribution):
    """Intrinsic conditional autoregression: neighbours differ little, and the values sum to nearly zero.

    The density is proportional to exp(-sum_{i<j} W[i, j] (x[i] - x[j])^2 / (2 sigma^2)) times that of the sum of
    x, normal with mean 0 and standard deviation zero_sum_stdev N. It is normal with precision
    L / sigma^2 + 1 1^T / (zero_sum_stdev N)^2, L = diag(W 1) - W, and normalised here:
    det = sigma^(-2 (N - 1)) / (zero_sum_stdev^2 N) times the product of L's eigenvalues but the smallest, 0.

    PyMC leaves the factor sigma^(1 - N) and a constant out, so that its sigma should be fixed at 1; here it can be
    inferred.

    Args:
        W: weights, symmetric with a zero diagonal, not negative, of a connected graph, shape (N, N) with N >= 2; a
            tensor, an array or a sparse matrix, and a constant.
        sigma: standard deviation of a difference, positive, shape batch_shape.
        zero_sum_stdev: standard deviation of the mean of the values, positive, a number or of shape batch_shape.
        validate_args: whether to check the arguments; None for the setting `validate_distributions_torch`.

    Support: real vectors of N entries. Mean 0, covariance sigma^2 L^+ + zero_sum_stdev^2, with the pseudo-inverse L^+.

    Raises:
        ParameterError: an argument is out of its range, or the graph is not connected: its parts are one ICAR each.

    Source: J. Besag, J. York and A. Mollie (1991), Bayesian Image Restoration, section 3; names as in PyMC.

    Example:
        >>> path = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
        >>> d = ICAR(path, zero_sum_stdev=1.0)
        >>> d.log_prob(torch.zeros(3)), d.variance
        (tensor(-2.7568), tensor([1.5556, 1.2222, 1.5556]))
    """

    arg_constraints = {
        "W": constraints.symmetric,
        "sigma": constraints.positive,
        "zero_sum_stdev": constraints.positive,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        W: Any,
        sigma: torch.Tensor | float = 1.0,
        zero_sum_stdev: torch.Tensor | float = 0.001,
        validate_args: bool | None = None,
    ) -> None:
        floats = [p for p in (sigma, zero_sum_stdev) if isinstance(p, torch.Tensor)]
        dtype = floats[0].dtype if floats else torch.get_default_dtype()
        matrix = _as_adjacency("ICAR", "W", W, dtype)
        if matrix.dim() != 2 or len(matrix) < 2:
            raise ShapeError("W of ICAR is not one graph", expected="(N, N) with N >= 2", got=tuple(matrix.shape))
        matrix = matrix.to(dtype) if floats else matrix
        sigma, stdev = (
            torch.as_tensor(p, dtype=None if isinstance(p, torch.Tensor) else matrix.dtype, device=matrix.device)
            for p in (sigma, zero_sum_stdev)
        )
        batch_shape = torch.Size(broadcast_shape(sigma.shape, stdev.shape))
        self.W = matrix
        self.sigma, self.zero_sum_stdev = sigma.expand(batch_shape), stdev.expand(batch_shape)
        super().__init__(batch_shape, matrix.shape[-1:], validate_args=validate_args)
        if self._validate_args:
            _refuse_isolated("ICAR", "W", matrix)
        self._spectrum, self._edges = _spectrum(matrix), _edges(matrix)

    @classmethod
    def infer_shapes(
        cls,
        W: Any,
        sigma: Sequence[int] = (),
        zero_sum_stdev: Sequence[int] = (),
    ) -> tuple[torch.Size, torch.Size]:
        """Work out batch and event shape from the shapes of the arguments; W may be the matrix itself."""
        return torch.Size(broadcast_shape(sigma, zero_sum_stdev)), torch.Size(tuple(getattr(W, "shape", W))[-1:])

    def expand(self, batch_shape: Size, _instance: Any = None) -> ICAR:
        """Return the distribution with a larger batch shape."""
        new = self._get_checked_instance(ICAR, _instance)
        batch_shape = torch.Size(batch_shape)
        new.W = self.W
        new.sigma, new.zero_sum_stdev = self.sigma.expand(batch_shape), self.zero_sum_stdev.expand(batch_shape)
        new._spectrum, new._edges = self._spectrum, self._edges
        TorchDistribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def rsample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw a sample by the eigenvectors of L; gradients reach sigma and zero_sum_stdev."""
        shape = self._extended_shape(torch.Size(sample_shape))
        white = torch.randn(shape, dtype=self.sigma.dtype, device=self.sigma.device)
        values, vectors = self._spectrum
        rough = (white[..., 1:] * values.rsqrt()) @ vectors.mT
        return self.sigma.unsqueeze(-1) * rough + self.zero_sum_stdev.unsqueeze(-1) * white[..., :1]

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log density."""
        if self._validate_args:
            self._validate_sample(value)
        size = self._event_shape[0]
        energy = _roughness(value, self._edges) / self.sigma.square()
        energy = energy + (value.sum(-1) / (size * self.zero_sum_stdev)).square()
        log_root_det = 0.5 * self._spectrum[0].log().sum() - (size - 1) * self.sigma.log()
        return log_root_det - self.zero_sum_stdev.log() - 0.5 * energy - 0.5 * math.log(size) - size * HALF_LOG_2PI

    @property
    def mean(self) -> torch.Tensor:
        """Zeros, shape (*batch_shape, N)."""
        return torch.zeros_like(self.sigma).unsqueeze(-1).expand(self.shape())

    @property
    def mode(self) -> torch.Tensor:
        """Zeros, shape (*batch_shape, N)."""
        return self.mean

    @property
    def variance(self) -> torch.Tensor:
        """Variance of each node's value, shape (*batch_shape, N)."""
        values, vectors = self._spectrum
        rough = (vectors.square() / values).sum(-1)
        return self.sigma.square().unsqueeze(-1) * rough + self.zero_sum_stdev.square().unsqueeze(-1)


def _edges(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Both ends and the weight of each edge, each a vector."""
    ends = matrix.triu(1).nonzero()
    first, second = ends[:, 0].contiguous(), ends[:, 1].contiguous()
    return first, second, matrix[first, second]


def _roughness(x: torch.Tensor, edges: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """The sum over edges of weight times the square of the difference, shape (...)."""
    first, second, weight = edges
    return (weight * (x.index_select(-1, first) - x.index_select(-1, second)).square()).sum(-1)


def _scaled_eigenvalues(matrix: torch.Tensor) -> torch.Tensor:
    """Eigenvalues, between -1 and 1, of an adjacency matrix scaled by the roots of its degrees."""
    root = matrix.double().sum(-1).rsqrt()
    scaled = root.unsqueeze(-1) * matrix.double() * root.unsqueeze(-2)
    return torch.linalg.eigvalsh(scaled).clamp(-1.0, 1.0).to(matrix.dtype)


def _spectrum(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The eigenvalues of a graph's Laplacian but the smallest, with a matrix whose columns are their eigenvectors."""
    weights = matrix.double()
    values, vectors = torch.linalg.eigh(torch.diag_embed(weights.sum(-1)) - weights)
    if values[1] <= values[-1] * len(values) * torch.finfo(values.dtype).eps * 10:
        raise ParameterError(
            "W of ICAR has parts without an edge between them",
            expected="a connected graph",
            hint="make one ICAR for each part",
        )
    return values[1:].to(matrix.dtype), vectors[:, 1:].to(matrix.dtype)
