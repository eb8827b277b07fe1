"""The three parts of a gradient estimate that a distribution contributes at one value."""

from __future__ import annotations

from typing import NamedTuple

import torch

from pyroxene.distributions.util import scale_and_mask

__all__ = ["ScoreParts"]


class ScoreParts(NamedTuple):
    """What a gradient estimator needs to know of one sample; each part is a tensor or the number 0.

    Args:
        log_prob: log density of the value, shape batch_shape.
        score_function: the term that multiplies the cost in a score-function estimate; 0 where the sample is
            reparameterised.
        entropy_term: the term whose gradient is that of the entropy; 0 where the sample is not reparameterised.

    Example:
        >>> ScoreParts(torch.tensor(-1.0), 0, torch.tensor(-1.0)).scale_and_mask(2.0).entropy_term
        tensor(-2.)
    """

    log_prob: torch.Tensor | float
    score_function: torch.Tensor | float
    entropy_term: torch.Tensor | float

    def scale_and_mask(self, scale: torch.Tensor | float = 1.0, mask: torch.Tensor | bool | None = None) -> ScoreParts:
        """Scale and mask the log density and the entropy term.

        The score function stays as it is: an estimator multiplies it by a cost that is scaled and masked already.

        Args:
            scale: a positive number, or a tensor that broadcasts with the parts.
            mask: True for what counts; None for everything.
        """
        return ScoreParts(
            scale_and_mask(self.log_prob, scale, mask),
            self.score_function,
            scale_and_mask(self.entropy_term, scale, mask),
        )
