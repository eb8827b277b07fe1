"""A verdict on a run: what is wrong with its draws, each symptom with its cure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from pyroxene.diagnostics.summary import Summary

__all__ = ["Finding", "Symptom", "judge"]

LARGEST_RHAT = 1.01
"""Vehtari et al. 2021, section 3: with ranks, 1.01 is what 1.1 was meant to be."""

FEWEST_EFFECTIVE = 100
"""For each chain in the bulk: Vehtari et al. 2021, section 4, ask for 400 with four chains."""

DEEP_SHARE = 0.05
"""So many trajectories may end at the largest depth before it is worth a word."""


class Symptom(Enum):
    """What can be wrong; the value is the cure."""

    DIVERGENCES = "raise target_accept_prob towards 0.99, or reparametrise: the draws may miss a part of the posterior"
    ALL_DIVERGENT = "look for a density that is not smooth, a wrong sign, data far off the model's scale"
    STEP_SIZE_COLLAPSED = "look for a density that jumps or has kinks, or whose gradient is wrong or infinite"
    IMPROPER = "give every latent site a proper prior, and check that the data inform those without"
    DISAGREEMENT = "run longer, or look at the chains one by one: they may sit in different modes"
    FEW_EFFECTIVE = "run longer, or reparametrise; quantiles need more draws than means"
    DEEP_TREES = "raise max_tree_depth, or reparametrise: the draws are valid, and cost more than they should"


@dataclass(frozen=True)
class Finding:
    """One symptom as it was seen; final.

    Attributes:
        symptom: which; its value is the cure.
        seen: what was seen, with numbers and names.
    """

    symptom: Symptom
    seen: str

    def __str__(self) -> str:
        return f"{self.seen}: {self.symptom.value}"


def judge(
    summary: Summary, *, num_divergences: int = 0, num_deep: int = 0, max_tree_depth: int | None = None
) -> list[Finding]:
    """Return what is wrong with a run, the gravest first; nothing where all is well.

    Args:
        summary: the table of its draws.
        num_divergences: how many trajectories diverged, warm-up not counted.
        num_deep: how many ended at the largest depth.
        max_tree_depth: that depth.

    Example:
        >>> import torch
        >>> from pyroxene.diagnostics import summarize
        >>> draws = torch.randn(4, 500, generator=torch.Generator().manual_seed(0))
        >>> summary = summarize({"x": draws})
        >>> judge(summary)
        []
        >>> [finding.symptom.name for finding in judge(summary, num_divergences=7)]
        ['DIVERGENCES']
    """
    findings = []
    total = summary.num_chains * summary.num_draws
    if num_divergences:
        findings.append(Finding(Symptom.DIVERGENCES, f"{num_divergences} of {total} trajectories diverged"))
    high = _worst(summary, "r_hat", lambda value: value > LARGEST_RHAT, largest=True)
    if high:
        findings.append(Finding(Symptom.DISAGREEMENT, f"R-hat is above {LARGEST_RHAT} for {high}"))
    least = FEWEST_EFFECTIVE * summary.num_chains
    low = _worst(summary, "ess_bulk", lambda value: value < least, largest=False)
    if low:
        findings.append(Finding(Symptom.FEW_EFFECTIVE, f"fewer than {least} effective draws for {low}"))
    if num_deep > DEEP_SHARE * total:
        seen = f"{num_deep} of {total} trajectories ended at the largest depth, {max_tree_depth}"
        findings.append(Finding(Symptom.DEEP_TREES, seen))
    return findings


def _worst(summary: Summary, column: str, is_bad: object, *, largest: bool) -> str:
    """Name up to three parameters whose statistic is bad, the worst first; "" where none is."""
    assert callable(is_bad)
    values = zip(summary.columns[column].tolist(), summary.names)
    bad = sorted((pair for pair in values if is_bad(pair[0])), reverse=largest)
    if not bad:
        return ""
    text = ", ".join(f"{name} ({value:.4g})" for value, name in bad[:3])
    return text + (f" and {len(bad) - 3} more" if len(bad) > 3 else "")
