"""Stochastic variational inference: an estimator's gradients, an optimiser's steps."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyroxene._typing import Model
from pyroxene.errors import UsageError
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.util import torch_backward, torch_item, zero_grads
from pyroxene.params import get_param_store
from pyroxene.poutine import trace
from pyroxene.poutine.runtime import share_subsamples
from pyroxene.poutine.trace_struct import Trace

__all__ = ["SVI", "SVIResult"]


@dataclass(frozen=True)
class SVIResult:
    """What `SVI.run` returns; final.

    Attributes:
        losses: one estimate a step, in nats, shape (num_steps,); fewer where the run was interrupted.
        params: constrained values of the parameters that were optimised, by name, detached copies.
        interrupted: whether the run was stopped from the keyboard.
    """

    losses: torch.Tensor
    params: dict[str, torch.Tensor]
    interrupted: bool = False


class SVI:
    """Fits a guide to a model's posterior by stochastic gradients of the ELBO.

    Args:
        model: the model.
        guide: the guide, which takes the model's arguments.
        optim: an optimiser of pyroxene.optim.
        loss: an ELBO, or a function of (model, guide, *args, **kwargs) that returns a differentiable scalar.
        loss_and_grads: a function of the same arguments that returns the loss and adds gradients to the parameters'
            `grad`; by default made from `loss`.
        num_samples: kept for programs that pass it.
        num_steps: kept for programs that pass it.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer import Trace_ELBO
        >>> from pyroxene.infer.autoguide import AutoNormal
        >>> from pyroxene.optim import Adam
        >>> def model(y):
        ...     mu = pyroxene.sample("mu", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("y", dist.Normal(mu, 1.0), obs=y)
        >>> pyroxene.set_rng_seed(0); pyroxene.clear_param_store()
        >>> guide = AutoNormal(model)
        >>> result = SVI(model, guide, Adam({"lr": 0.05}), Trace_ELBO()).run(300, torch.tensor(2.0), progress=False)
        >>> 0.8 < guide.median()["mu"].item() < 1.2, result.losses.shape
        (True, torch.Size([300]))
    """

    def __init__(
        self,
        model: Model,
        guide: Model,
        optim: Any,
        loss: ELBO | Callable[..., Any],
        loss_and_grads: Callable[..., Any] | None = None,
        num_samples: int = 0,
        num_steps: int = 0,
    ) -> None:
        if not callable(optim) or isinstance(optim, (torch.optim.Optimizer, type)):
            raise UsageError(
                "SVI takes an optimiser of pyroxene.optim",
                expected="a PyroOptim, such as pyroxene.optim.Adam({'lr': 0.01})",
                got=optim,
                hint="with a torch optimiser use the ELBO as a module: loss_fn = Trace_ELBO()(model, guide)",
            )
        self.model = model
        self.guide = guide
        self.optim = optim
        self.num_samples = num_samples
        self.num_steps = num_steps
        if isinstance(loss, ELBO):
            self.loss: Callable[..., Any] = loss.loss
            self.loss_and_grads: Callable[..., Any] = loss.loss_and_grads
        elif callable(loss):
            self.loss = loss
            self.loss_and_grads = self._differentiate
        else:
            raise UsageError("SVI takes a loss", expected="an ELBO or a callable", got=loss, hint="Trace_ELBO()")
        if loss_and_grads is not None:
            self.loss_and_grads = loss_and_grads

    def _differentiate(self, *args: Any, **kwargs: Any) -> Any:
        loss = self.loss(*args, **kwargs)
        torch_backward(loss)
        return loss

    def evaluate_loss(self, *args: Any, **kwargs: Any) -> Any:
        """Return an estimate of the loss, in nats, without a gradient step.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.
        """
        with share_subsamples(), torch.no_grad():
            return _numbers(self.loss(self.model, self.guide, *args, **kwargs))

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Take one gradient step.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.

        Returns:
            the loss before the step, a Python float, in nats.
        """
        loss, _ = self._step(args, kwargs)
        return loss

    def _step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[str]]:
        """Take one gradient step; return the loss and the names of the parameters that were stepped."""
        with share_subsamples(), trace(param_only=True) as captured:
            try:
                loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
            except BaseException:  # even an interrupt must not leave some particles' gradients to the next step
                zero_grads(_leaves(captured.trace))
                raise
        params = _leaves(captured.trace)
        self.optim(params)
        zero_grads(params)
        return _numbers(loss), list(captured.trace.nodes)

    def run(self, num_steps: int, *args: Any, progress: bool = True, **kwargs: Any) -> SVIResult:
        """Take many gradient steps; an interrupt from the keyboard ends the run with what it has.

        Args:
            num_steps: how many.
            args: the model's arguments.
            progress: whether to show a progress bar with the smoothed loss.
            kwargs: the model's keyword arguments.

        Returns:
            losses and parameters.
        """
        if not isinstance(num_steps, (int, np.integer)) or num_steps < 1:
            raise UsageError(
                "SVI.run takes a number of steps first",
                expected="num_steps >= 1",
                got=num_steps,
                hint="svi.run(1000, *the_models_arguments)",
            )
        losses: list[float] = []
        names: dict[str, None] = {}
        interrupted = False
        bar = _progress_bar(num_steps) if progress else None
        smoothed: float | None = None
        try:
            for done in range(1, num_steps + 1):
                loss, stepped = self._step(args, kwargs)
                losses.append(loss)
                names.update(dict.fromkeys(stepped))
                if bar is not None:
                    shown = loss[0] if isinstance(loss, tuple) else loss
                    smoothed = shown if smoothed is None else 0.97 * smoothed + 0.03 * shown
                    if done % 20 == 0 or done == num_steps:
                        bar.set_postfix_str(f"loss {smoothed:.4g}", refresh=False)
                    bar.update()
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if bar is not None:
                bar.close()
        store = get_param_store()
        params = {name: store[name].detach().clone() for name in names if name in store}
        return SVIResult(torch.tensor(losses, dtype=torch.float64), params, interrupted)


def _leaves(run: Trace) -> list[torch.Tensor]:
    """Return the unconstrained leaves of a run's parameters, each once."""
    leaves = [site["value"].unconstrained() for site in run.nodes.values()]
    return list({id(leaf): leaf for leaf in leaves}.values())


def _progress_bar(total: int) -> Any:
    from tqdm.auto import tqdm

    quiet = not sys.stderr.isatty()  # a log file gets a line now and then
    return tqdm(total=total, desc="SVI", unit="step", dynamic_ncols=True, mininterval=10.0 if quiet else 0.1)


def _numbers(loss: Any) -> Any:
    """Return Python numbers for a tensor, or for each of a tuple of them."""
    return type(loss)(map(torch_item, loss)) if isinstance(loss, tuple) else torch_item(loss)
