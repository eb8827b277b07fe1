"""Torch's distributions of vectors and matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributions as torchdist
from torch.distributions import relaxed_categorical as torchrelaxed

from pyroxene.distributions.torch.continuous import require_same_family
from pyroxene.distributions.torch.onion import sample_correlation_cholesky
from pyroxene.distributions.torch.transformed import TransformedMixin
from pyroxene.distributions.torch_distribution import EMPTY, Size, TorchDistributionMixin
from pyroxene.distributions.util import broadcast_shape

__all__ = [
    "Dirichlet",
    "ExpRelaxedCategorical",
    "LKJCholesky",
    "LogisticNormal",
    "LowRankMultivariateNormal",
    "Multinomial",
    "MultivariateNormal",
    "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
    "RelaxedOneHotCategorical",
    "Wishart",
]

Shape = Sequence[int]
Shapes = tuple[torch.Size, torch.Size]


def _batch(*shapes: tuple[Shape | None, int], event_shape: Shape) -> Shapes:
    """Broadcast shapes, each without its given number of event dimensions; None stands for an absent argument."""
    batches = (tuple(shape)[: len(shape) - event_dim] for shape, event_dim in shapes if shape is not None)
    return torch.Size(broadcast_shape(*batches)), torch.Size(event_shape)


def _given(*shapes: Shape | None) -> Shape:
    """The first shape that is there."""
    for shape in shapes:
        if shape is not None:
            return shape
    raise TypeError("give the shape of one of the alternative parameters")


class Dirichlet(torchdist.Dirichlet, TorchDistributionMixin):
    """Dirichlet distribution over probability vectors.

    Args:
        concentration: positive weights, shape (*batch_shape, K); their sum says how sure the distribution is.
    """

    @classmethod
    def infer_shapes(cls, concentration: Shape) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return _batch((concentration, 1), event_shape=concentration[-1:])

    def conjugate_update(self, other: Any) -> tuple[Dirichlet, torch.Tensor]:
        """Multiply by another Dirichlet density; see `Distribution.conjugate_update`."""
        require_same_family(self, other, torchdist.Dirichlet)
        updated = Dirichlet(self.concentration + other.concentration - 1, validate_args=self._validate_args)
        return updated, _log_norm(updated) - _log_norm(self) - _log_norm(other)


def _log_norm(d: Any) -> torch.Tensor:
    """Log normaliser of a Dirichlet distribution: the log of the multivariate beta function."""
    return d.concentration.lgamma().sum(-1) - d.concentration.sum(-1).lgamma()


class LKJCholesky(torchdist.LKJCholesky, TorchDistributionMixin):
    """Distribution of the lower Cholesky factor of a correlation matrix (Lewandowski, Kurowicka and Joe, 2009).

    Args:
        dim: number of rows of the matrix, at least 2.
        concentration: positive, shape batch_shape; 1 is uniform over correlation matrices, more favours the identity.
    """

    @classmethod
    def infer_shapes(cls, *, dim: int, concentration: Shape = ()) -> Shapes:
        """Work out batch and event shape; `dim` is the number itself."""
        return _batch((concentration, 0), event_shape=(dim, dim))

    def sample(self, sample_shape: Size = EMPTY) -> torch.Tensor:
        """Draw by the onion method; marginals of torch's draws differ from place to place."""
        with torch.no_grad():
            return sample_correlation_cholesky(
                self.dim, self.concentration, torch.Size(sample_shape) + self._batch_shape
            )


class LogisticNormal(torchdist.LogisticNormal, TransformedMixin):
    """Distribution of a probability vector made by breaking a stick at the logistic function of normal variables.

    Args:
        loc: means of the normal variables, shape (*batch_shape, K).
        scale: standard deviations of the normal variables, positive, shape (*batch_shape, K).

    An event has K + 1 entries.
    """

    @classmethod
    def infer_shapes(cls, loc: Shape, scale: Shape) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        shape = broadcast_shape(loc, scale)
        return torch.Size(shape[:-1]), torch.Size((shape[-1] + 1,))


class LowRankMultivariateNormal(torchdist.LowRankMultivariateNormal, TorchDistributionMixin):
    """Multivariate normal distribution with covariance cov_factor cov_factor^T + diag(cov_diag).

    Args:
        loc: mean, shape (*batch_shape, D).
        cov_factor: factor of the covariance's low-rank part, shape (*batch_shape, D, rank).
        cov_diag: diagonal part of the covariance (variances), positive, shape (*batch_shape, D).
    """

    @classmethod
    def infer_shapes(cls, loc: Shape, cov_factor: Shape, cov_diag: Shape) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return _batch((loc, 1), (cov_factor, 2), (cov_diag, 1), event_shape=cov_factor[-2:-1])


class Multinomial(torchdist.Multinomial, TorchDistributionMixin):
    """Counts of each category in a number of independent trials.

    Args:
        total_count: number of trials, an int.
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
    """

    @classmethod
    def infer_shapes(cls, total_count: Shape = (), probs: Shape | None = None, logits: Shape | None = None) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        weights = _given(probs, logits)
        return _batch((total_count, 0), (weights, 1), event_shape=weights[-1:])

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        """Return the log probability; a count of zero has no factor, also where the probability is zero."""
        if self._validate_args:
            self._validate_sample(value)
        powers = value * torch.where(value == 0, 0.0, self.logits)
        return (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1) + powers.sum(-1)


class MultivariateNormal(torchdist.MultivariateNormal, TorchDistributionMixin):
    """Multivariate normal (Gaussian) distribution.

    Args:
        loc: mean, shape (*batch_shape, D).
        covariance_matrix: covariance, positive definite, shape (*batch_shape, D, D).
        precision_matrix: inverse of the covariance, shape (*batch_shape, D, D).
        scale_tril: lower Cholesky factor of the covariance, the cheapest form, shape (*batch_shape, D, D).
            Give one of the three.
    """

    @classmethod
    def infer_shapes(
        cls,
        loc: Shape,
        covariance_matrix: Shape | None = None,
        precision_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        matrix = _given(covariance_matrix, precision_matrix, scale_tril)
        return _batch((loc, 1), (matrix, 2), event_shape=matrix[-1:])


class OneHotCategorical(torchdist.OneHotCategorical, TorchDistributionMixin):
    """Distribution of a category as a vector of zeros with a single one.

    Args:
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
    """

    @classmethod
    def infer_shapes(cls, probs: Shape | None = None, logits: Shape | None = None) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        weights = _given(probs, logits)
        return _batch((weights, 1), event_shape=weights[-1:])


class OneHotCategoricalStraightThrough(torchdist.OneHotCategoricalStraightThrough, TorchDistributionMixin):
    """One-hot category whose samples pass gradients on to the probabilities as if they were these (Bengio et al. 2013).

    Args:
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
    """

    @classmethod
    def infer_shapes(cls, probs: Shape | None = None, logits: Shape | None = None) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return OneHotCategorical.infer_shapes(probs, logits)


class RelaxedOneHotCategorical(torchdist.RelaxedOneHotCategorical, TransformedMixin):
    """Differentiable relaxation of a one-hot category to the simplex (Maddison et al. 2017, Jang et al. 2017).

    Args:
        temperature: positive; samples tend to corners as it tends to 0.
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
    """

    @classmethod
    def infer_shapes(cls, temperature: Shape = (), probs: Shape | None = None, logits: Shape | None = None) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        weights = _given(probs, logits)
        return _batch((weights, 1), event_shape=weights[-1:])


class ExpRelaxedCategorical(torchrelaxed.ExpRelaxedCategorical, TorchDistributionMixin):
    """Logarithm of a relaxed one-hot category, the base of `RelaxedOneHotCategorical`.

    Args:
        temperature: positive.
        probs: non-negative weights, normalised to sum to 1, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
    """

    @classmethod
    def infer_shapes(cls, temperature: Shape = (), probs: Shape | None = None, logits: Shape | None = None) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        return RelaxedOneHotCategorical.infer_shapes(temperature, probs, logits)


class Wishart(torchdist.Wishart, TorchDistributionMixin):
    """Wishart distribution of a positive definite matrix, with mean df * covariance_matrix.

    Args:
        df: degrees of freedom, greater than the number of rows less 1, shape batch_shape.
        covariance_matrix: positive definite, shape (*batch_shape, D, D).
        precision_matrix: its inverse, shape (*batch_shape, D, D).
        scale_tril: its lower Cholesky factor, shape (*batch_shape, D, D). Give one of the three.
    """

    @classmethod
    def infer_shapes(
        cls,
        df: Shape = (),
        covariance_matrix: Shape | None = None,
        precision_matrix: Shape | None = None,
        scale_tril: Shape | None = None,
    ) -> Shapes:
        """Work out batch and event shape; see `TorchDistributionMixin.infer_shapes`."""
        matrix = _given(covariance_matrix, precision_matrix, scale_tril)
        return _batch((df, 0), (matrix, 2), event_shape=matrix[-2:])
