"""Relaxed discrete variables that are rounded where they are seen and relaxed where gradients pass."""

from __future__ import annotations

from typing import Any

import torch

from pyroxene.distributions.torch import RelaxedBernoulli, RelaxedOneHotCategorical
from pyroxene.distributions.torch_distribution import EMPTY, Size, validate_sample

__all__ = ["RelaxedBernoulliStraightThrough", "RelaxedOneHotCategoricalStraightThrough"]

Tensor = torch.Tensor


class _Rounded(torch.autograd.Function):
    """The rounded value forward, the identity of the relaxed value's gradient backward."""

    generate_vmap_rule = True

    @staticmethod
    def forward(relaxed: Tensor, rounded: Tensor) -> Tensor:
        return rounded.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return grad, None


def _straight_through(relaxed: Tensor, rounded: Tensor) -> Tensor:
    """The rounded value, which remembers the relaxed one: `log_prob` of what was drawn is that of the relaxed value."""
    value: Any = _Rounded.apply(relaxed, rounded)
    value._unquantize = relaxed
    return value


class RelaxedOneHotCategoricalStraightThrough(RelaxedOneHotCategorical):
    """One-hot vectors with gradients of a relaxed categorical variable.

    `rsample`, and a call, give the one-hot vector of the greatest entry of a draw from `RelaxedOneHotCategorical`; its
    gradient is that of the draw, which is biased. `log_prob` of it is the relaxed density of the draw that it was
    rounded from; of any other value, the relaxed density there, infinite at one-hot vectors. `sample` gives the relaxed
    draw itself. Density, with t = temperature, a = probs:

        p(x) = (K - 1)! t^(K - 1) product of a_k x_k^(-t - 1) / (sum of a_k x_k^-t)^K.

    Args:
        temperature: positive, shape ().
        probs: probability of each category, shape (*batch_shape, K).
        logits: unnormalised log probabilities, shape (*batch_shape, K); give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: E. Jang, S. Gu and B. Poole (2017), Categorical reparameterization with Gumbel-softmax, section 2.2.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> d = RelaxedOneHotCategoricalStraightThrough(torch.tensor(0.5), torch.tensor([0.2, 0.8]))
        >>> d.rsample()
        tensor([0., 1.])
    """

    _validate_sample = validate_sample

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        return super().expand(batch_shape, _instance=self.__new__(type(self)) if _instance is None else _instance)

    def rsample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw a one-hot vector with the gradient of a relaxed draw."""
        relaxed = super().rsample(torch.Size(sample_shape))
        rounded = torch.nn.functional.one_hot(relaxed.detach().argmax(-1), relaxed.shape[-1]).to(relaxed.dtype)
        return _straight_through(relaxed, rounded)

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the relaxed log density of the draw that the value was rounded from, or of the value itself."""
        return super().log_prob(getattr(value, "_unquantize", value))


class RelaxedBernoulliStraightThrough(RelaxedBernoulli):
    """Zeros and ones with gradients of a relaxed Bernoulli variable.

    `rsample`, and a call, give a draw from `RelaxedBernoulli`, rounded; its gradient is that of the draw, which is
    biased. `log_prob` of it is the relaxed density of the draw that it was rounded from; of any other value, the
    relaxed density there. `sample` gives the relaxed draw itself. Density, with t = temperature and the odds a:

        p(x) = t a x^(-t - 1) (1 - x)^(-t - 1) / (a x^-t + (1 - x)^-t)^2.

    Args:
        temperature: positive, shape ().
        probs: probability of 1, shape batch_shape.
        logits: its log odds; give one of the two.
        validate_args: whether to check arguments and values; None for the setting `validate_distributions_torch`.

    Source: E. Jang, S. Gu and B. Poole (2017), Categorical reparameterization with Gumbel-softmax, section 2.2.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> RelaxedBernoulliStraightThrough(torch.tensor(0.5), torch.tensor([0.01, 0.99])).rsample()
        tensor([0., 1.])
    """

    _validate_sample = validate_sample

    def expand(self, batch_shape: Size, _instance: Any = None) -> Any:
        """Return the distribution with a larger batch shape."""
        return super().expand(batch_shape, _instance=self.__new__(type(self)) if _instance is None else _instance)

    def rsample(self, sample_shape: Size = EMPTY) -> Tensor:
        """Draw zeros and ones with the gradient of a relaxed draw."""
        relaxed = super().rsample(torch.Size(sample_shape))
        return _straight_through(relaxed, relaxed.detach().round())

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the relaxed log density of the draw that the value was rounded from, or of the value itself."""
        return super().log_prob(getattr(value, "_unquantize", value))
