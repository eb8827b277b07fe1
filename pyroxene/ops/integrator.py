"""The leapfrog on named tensors, for programs that step by hand; the samplers have their own, on one flat vector."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import torch

__all__ = ["potential_grad", "register_exception_handler", "velocity_verlet"]

Handler = Callable[[Exception], bool]


def _is_failed_factorisation(error: Exception) -> bool:
    """Whether a matrix was singular or not positive definite: the point has no density, and no more is wrong."""
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("singular" in text or "positive-definite" in text)


_EXCEPTION_HANDLERS: dict[str, Handler] = {"torch_singular": _is_failed_factorisation}
"""By name: whether an exception of a potential means an infinite potential."""


def register_exception_handler(name: str, handler: Handler, warn_on_overwrite: bool = True) -> None:
    """Let a kind of exception in a potential stand for a point that has no density.

    Args:
        name: of the handler.
        handler: from the exception to whether it is of that kind.
        warn_on_overwrite: warn where the name is taken.
    """
    if name in _EXCEPTION_HANDLERS and warn_on_overwrite:
        warnings.warn(f"the exception handler '{name}' is replaced", RuntimeWarning, stacklevel=2)
    _EXCEPTION_HANDLERS[name] = handler


def potential_grad(
    potential_fn: Callable[[dict[str, torch.Tensor]], torch.Tensor], z: Mapping[str, torch.Tensor]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """Return the gradients of a potential and its value; the tensors given are left as they are.

    Args:
        potential_fn: from named tensors to minus the log density, a scalar.
        z: where.

    Returns:
        Gradients by name, and the potential, detached. Where the potential raises what a handler knows: zeros and nan.
    """
    leaves = {name: value.detach().requires_grad_(True) for name, value in z.items()}
    try:
        potential = potential_fn(leaves)
        gradients = torch.autograd.grad(potential, list(leaves.values()))
    except (RuntimeError, ValueError, ArithmeticError) as error:
        if not any(handler(error) for handler in _EXCEPTION_HANDLERS.values()):
            raise
        first = next(iter(leaves.values()))
        return {name: torch.zeros_like(value) for name, value in z.items()}, first.new_tensor(float("nan")).detach()
    return dict(zip(leaves, gradients)), potential.detach()


def velocity_verlet(
    z: Mapping[str, torch.Tensor],
    r: Mapping[str, torch.Tensor],
    potential_fn: Callable[[dict[str, torch.Tensor]], torch.Tensor],
    kinetic_grad: Callable[[dict[str, torch.Tensor]], Mapping[str, torch.Tensor]],
    step_size: float,
    num_steps: int = 1,
    z_grads: Mapping[str, torch.Tensor] | None = None,
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """Take leapfrog steps.

    Args:
        z: positions by name.
        r: momenta by name.
        potential_fn: from positions to minus the log density.
        kinetic_grad: from momenta to velocities: the inverse mass times them.
        step_size: of a step.
        num_steps: how many.
        z_grads: gradients of the potential at `z`, where they are known.

    Returns:
        Positions, momenta, gradients of the potential, and the potential, after the steps.

    Source: Neal 2011, "MCMC using Hamiltonian dynamics", equations 5.18 to 5.20.

    Example:
        >>> there = velocity_verlet({"x": torch.ones(1)}, {"x": torch.zeros(1)}, lambda z: 0.5 * z["x"].sum() ** 2,
        ...                         lambda r: r, step_size=0.1, num_steps=2)
        >>> print(f"{there[0]['x'].item():.5f}")
        0.98005
    """
    positions, momenta = dict(z), dict(r)
    gradients = dict(z_grads) if z_grads is not None else potential_grad(potential_fn, positions)[0]
    potential = torch.tensor(float("nan"))
    for _ in range(num_steps):
        momenta = {name: p - 0.5 * step_size * gradients[name] for name, p in momenta.items()}
        velocities = kinetic_grad(momenta)
        positions = {name: q + step_size * velocities[name] for name, q in positions.items()}
        gradients, potential = potential_grad(potential_fn, positions)
        momenta = {name: p - 0.5 * step_size * gradients[name] for name, p in momenta.items()}
    return positions, momenta, gradients, potential
