"""The draws of a run by site, and what the sampler says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from pyroxene._typing import TensorDict
from pyroxene.diagnostics import Finding, Symptom, convergence
from pyroxene.infer.mcmc.chain import Chain
from pyroxene.infer.mcmc.target import Target

__all__ = ["RunDraws", "collect", "grave_findings"]


@dataclass(frozen=True)
class RunDraws:
    """Draws of all chains, one after the other; final.

    Attributes:
        samples: values on the supports by site, shape (total draws, *site shape).
        lengths: how many draws each chain has; they differ where a run was interrupted.
        stats: by name, shape (total draws,); empty for kernels that users write.
        num_steps_total: leapfrogs of each chain, warm-up included.
        divergences: where leapfrogs that diverged began, by site, shape (number kept, *site shape), and "chain" and
            "draw", shape (number kept,).
        interrupted: whether the run ended before it had its draws.
        chain_diagnostics: what kernels that users write say of each chain.
    """

    samples: TensorDict
    lengths: tuple[int, ...]
    stats: TensorDict = field(default_factory=dict)
    num_steps_total: tuple[int, ...] = ()
    divergences: TensorDict = field(default_factory=dict)
    interrupted: bool = False
    chain_diagnostics: tuple[dict[str, Any], ...] = ()

    def by_chain(self, values: TensorDict) -> TensorDict:
        """Return values as (num_chains, num_draws, ...).

        Chains without draws are left out, and the others cut to the shortest, where an interrupt made them differ.
        """
        drawn = [length for length in self.lengths if length]
        shortest = min(drawn, default=0)
        if len(drawn) == len(self.lengths) and all(length == shortest for length in drawn):
            shape = (len(drawn), shortest)
            return {name: value.reshape(shape + value.shape[1:]) for name, value in values.items()}
        return {
            name: torch.stack([part[:shortest] for part in value.split(self.lengths) if len(part)])
            if drawn
            else value.reshape((len(self.lengths), 0) + value.shape[1:])
            for name, value in values.items()
        }

    def followed_by(self, other: RunDraws) -> RunDraws:
        """Return these draws and another run's of the same chains, chain by chain."""

        def join(first: TensorDict, second: TensorDict) -> TensorDict:
            return {
                name: torch.cat([
                    part
                    for pair in zip(first[name].split(self.lengths), second[name].split(other.lengths))
                    for part in pair
                ])
                for name in first
            }  # fmt: skip

        later = dict(other.divergences)
        if later:
            later["draw"] = later["draw"] + torch.tensor(self.lengths)[later["chain"]]
        return RunDraws(
            join(self.samples, other.samples),
            tuple(a + b for a, b in zip(self.lengths, other.lengths)),
            join(self.stats, other.stats),
            other.num_steps_total,
            {name: torch.cat([self.divergences[name], later[name]]) for name in later},
            other.interrupted,
            other.chain_diagnostics,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return tensors and plain values only."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @staticmethod
    def of_state_dict(state: dict[str, Any]) -> RunDraws:
        """Return what `state_dict` was made from."""
        return RunDraws(
            **{**state, "lengths": tuple(state["lengths"]), "num_steps_total": tuple(state["num_steps_total"])}
        )


def collect(target: Target, chains: Sequence[Chain], save_params: set[str] | None = None) -> RunDraws:
    """Return the draws that chains have just made.

    Args:
        target: what they moved over.
        chains: each with its `draws`.
        save_params: only these sites.
    """
    draws = [chain.draws for chain in chains]
    parts = [part for part in draws if part is not None]
    assert len(parts) == len(draws), "every chain has draws, if none"
    positions = torch.cat([part.positions for part in parts])
    where = torch.cat([part.divergence_positions for part in parts])
    divergences = target.constrain(where)
    divergences["chain"] = torch.cat(
        [torch.full((len(part.divergence_draws),), number) for number, part in enumerate(parts)]
    )
    divergences["draw"] = torch.cat([part.divergence_draws for part in parts])
    return RunDraws(
        target.constrain(positions, save_params),
        tuple(len(part.positions) for part in parts),
        {name: torch.cat([part.stats[name] for part in parts]) for name in parts[0].stats},
        tuple(chain.sampler.leapfrogs for chain in chains),
        divergences,
        any(part.interrupted for part in parts),
    )


FAR = 1e5
"""Unconstrained values beyond it are on a scale of their own, where chains agree, or on their way to infinity."""

LARGEST_RHAT, FEWEST_EFFECTIVE = 1.1, 20
"""Chains that are far out have settled where R-hat is below the one and effective draws are above the other."""


def grave_findings(target: Target, chains: Sequence[Chain]) -> list[Finding]:
    """Return what makes a run's draws worthless, each once.

    Args:
        target: what the chains moved over.
        chains: each with its `draws`.
    """
    findings = []
    troubles = [chain.trouble for chain in chains]
    for trouble, symptom in (
        ("all_diverged", Symptom.ALL_DIVERGENT),
        ("step_size_collapsed", Symptom.STEP_SIZE_COLLAPSED),
    ):
        of = [chain for chain, found in zip(chains, troubles) if found == trouble]
        if of:
            numbers = ", ".join(str(chain.number) for chain in of)
            size = f"{min(chain.sampler.step_size for chain in of):.3g}"
            said = "every draw diverged" if trouble == "all_diverged" else f"the step size collapsed to {size}"
            findings.append(Finding(symptom, f"{said} in chain {numbers}"))
    wandering = _wandering(target, chains)
    if wandering:
        seen = f"chains do not settle: unconstrained values reach {wandering}, as with an improper posterior"
        findings.append(Finding(Symptom.IMPROPER, seen))
    return findings


def _wandering(target: Target, chains: Sequence[Chain]) -> str:
    """Name the sites whose chains are far out and disagree; "" where there are none."""
    drawn = [chain.draws.positions for chain in chains if chain.draws is not None and len(chain.draws.positions) >= 4]
    if not drawn or target.dim == 0:
        return ""
    shortest = min(map(len, drawn))
    positions = torch.stack([part[:shortest] for part in drawn])
    farthest = positions.abs().amax((0, 1))
    far = ~(farthest <= FAR)
    if not bool(far.any()):
        return ""
    unsettled = torch.zeros_like(far)
    rhats, bulk, _ = convergence(positions[..., far])
    unsettled[far] = ~((rhats <= LARGEST_RHAT) & (bulk >= FEWEST_EFFECTIVE))
    names = [name for name in target.shapes if bool(unsettled[list(target.indices(name))].any())]
    return ", ".join(f"{farthest[list(target.indices(name))].max():.2g} at site '{name}'" for name in names[:3])
