"""OneTwoMatching: random assignments of two sources to each destination, weighted pair by pair."""

from __future__ import annotations

from pyroxene.distributions.families.matching import Matching

__all__ = ["OneTwoMatching"]


class OneTwoMatching(Matching):
    """Random matching of 2 N sources to N destinations, each used twice.

    An assignment x has probability exp(sum_s logits[s, x[s]]) / Z. Z is summed exactly over how often each destination
    is used (N 3^N steps, up to N = 11), or approximated by belief propagation. The support is the set of vectors of
    2 N entries in which each of 0, ..., N - 1 occurs twice.

    Args:
        logits: log weight of each pair, shape (*batch_shape, num_sources, num_destinations), where num_sources is twice
            num_destinations.
        bp_iters: None for the exact partition function, else the number of iterations of belief propagation; the more
            one matching outweighs all others, the more it takes. The density is then not quite normalised, and
            there are no samples.
        validate_args: whether to check the argument and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: there are not twice as many sources as destinations.

    Source: Chertkov, Kroc, Krzakala, Vergassola and Zdeborova (2010), Inference in particle tracking experiments by
    passing messages between images, for the messages; with factors of two here.

    Example:
        >>> import torch
        >>> d = OneTwoMatching(torch.zeros(4, 2))
        >>> d.log_prob(torch.tensor([1, 0, 0, 1])).exp()  # one of six
        tensor(0.1667)
        >>> OneTwoMatching(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])).mode()
        tensor([0, 1, 0, 1])
    """

    capacity = 2
