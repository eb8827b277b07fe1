"""OneOneMatching: random permutations, weighted pair by pair."""

from __future__ import annotations

from pyroxene.distributions.families.matching import Matching

__all__ = ["OneOneMatching"]


class OneOneMatching(Matching):
    """Random perfect matching of sources to as many destinations, each used once.

    A permutation x of N entries has probability exp(sum_s logits[s, x[s]]) / Z, where Z is the permanent of
    exp(logits). Z is summed exactly over sets of destinations (N 2^N steps, up to N = 18), or approximated from below
    by belief propagation, the Bethe permanent. The support is the set of permutations of 0, ..., N - 1.

    Args:
        logits: log weight of each pair, shape (*batch_shape, num_sources, num_destinations), the two equal.
        bp_iters: None for the exact partition function, else the number of iterations of belief propagation; the more
            one matching outweighs all others, the more it takes. The density is then not quite normalised, and
            there are no samples.
        validate_args: whether to check the argument and values; None for the setting `validate_distributions_torch`.

    Raises:
        ParameterError: the numbers of sources and destinations differ.

    Source: Huang and Jebara (2009), Approximating the permanent with belief propagation; the bound: Gurvits (2011),
    Unleashing the power of Schrijver's permanental inequality with the help of the Bethe approximation.

    Example:
        >>> import torch
        >>> d = OneOneMatching(torch.zeros(3, 3))
        >>> d.log_prob(torch.tensor([2, 0, 1])).exp()  # one of six
        tensor(0.1667)
        >>> OneOneMatching(torch.eye(3)).mode()
        tensor([0, 1, 2])
    """

    capacity = 1
