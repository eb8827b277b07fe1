"""The loop in Python that serves kernels which users write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pyroxene._typing import TensorDict
from pyroxene.infer.mcmc.mcmc_kernel import MCMCKernel
from pyroxene.infer.mcmc.progress import ProgressLine

__all__ = ["Hook", "run_kernel", "stage_name"]

Hook = Callable[[MCMCKernel, TensorDict, str, int], Any]
"""Called after each draw with the kernel, the draw (unconstrained), the stage, and the draw's number in it."""


def stage_name(stage: str, chain: int, num_chains: int) -> str:
    """Return what a hook is told: "Warmup" or "Sample", with the chain's number, from 1, where there are several."""
    return stage if num_chains == 1 else f"{stage} [{chain + 1}]"


def run_kernel(
    kernel: MCMCKernel,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    warmup_steps: int,
    num_samples: int,
    chain: int,
    num_chains: int,
    keep: Callable[[TensorDict], None],
    hook: Hook | None,
    line: ProgressLine,
) -> None:
    """Run one chain.

    Args:
        kernel: makes the transitions.
        args: the model's arguments.
        kwargs: the model's keyword arguments.
        warmup_steps: draws of warm-up.
        num_samples: draws after it.
        chain: the chain's number.
        num_chains: how many there are.
        keep: called with each draw after warm-up.
        hook: called with each draw.
        line: shows how far the run is.
    """
    kernel.setup(warmup_steps, *args, **kwargs)
    params: Any = kernel.initial_params
    before = chain * (warmup_steps + num_samples)
    for number in range(warmup_steps + num_samples):
        if number == warmup_steps:
            kernel.end_warmup()
        params = kernel.sample(params)
        warming = number < warmup_steps
        if not warming:
            keep({name: value.clone() for name, value in params.items()})
        stage = stage_name("Warmup" if warming else "Sample", chain, num_chains)
        if hook is not None:
            hook(kernel, params, stage, number if warming else number - warmup_steps)
        text = ", ".join(f"{label}={value}" for label, value in kernel.logging().items())
        line.show(before + number + 1, stage, text)
    if num_samples == 0:
        kernel.end_warmup()
    kernel.cleanup()
