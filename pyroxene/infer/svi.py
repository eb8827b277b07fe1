"""Stochastic variational inference: an estimator's gradients, an optimiser's steps."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pyroxene._typing import Model
from pyroxene.errors import UsageError
from pyroxene.infer.elbo.base import ELBO
from pyroxene.infer.native_svi.seen import EagerStep
from pyroxene.infer.native_svi.stepping import Stepper
from pyroxene.infer.util import torch_backward, torch_item, zero_grads
from pyroxene.params import get_param_store
from pyroxene.poutine import trace
from pyroxene.poutine.runtime import share_subsamples, shared_subsamples
from pyroxene.poutine.trace_struct import Trace

__all__ = ["SVI", "SVIResult"]


@dataclass(frozen=True)
class SVIResult:
    """What `SVI.run` returns; final.

    Attributes:
        losses: one estimate a step, in nats, shape (num_steps,); fewer where the run was interrupted.
        params: constrained values of the parameters that were optimised, by name, detached copies.
        interrupted: whether the run was stopped from the keyboard.
        engine: that made the last step: "native" (machine code), "inductor" (torch.compile) or "eager".
        reason: why that one: what stood in the way of others, or what steps took.
    """

    losses: torch.Tensor
    params: dict[str, torch.Tensor]
    interrupted: bool = False
    engine: str = "eager"
    reason: str = ""


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
        self._stepper: Stepper | None = None

    def _engines(self) -> Stepper:
        """Return the engines, made anew where a part of this object was replaced."""
        parts = (self.model, self.guide, self.optim, self.loss_and_grads)
        if self._stepper is None or any(a is not b for a, b in zip(self._stepper.parts, parts)):
            self._stepper = Stepper(*parts)
        return self._stepper

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
        engines = self._engines()
        loss: Any = engines.step(args, kwargs)
        if loss is None:
            loss, seen = self._step(args, kwargs)
            engines.saw(args, kwargs, seen)
        elif loss != loss:
            self._explain_nan(args, kwargs)
        return loss

    def _step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, EagerStep]:
        """Take one gradient step on eager PyTorch; return the loss and what was seen."""
        begin = time.perf_counter()
        with share_subsamples(), trace(param_only=True) as captured:
            try:
                loss = self.loss_and_grads(self.model, self.guide, *args, **kwargs)
            except BaseException:  # even an interrupt must not leave some particles' gradients to the next step
                zero_grads(_leaves(captured.trace).values())
                raise
            drawn = dict(shared_subsamples() or {})
        names = _leaves(captured.trace)
        params = list({id(leaf): leaf for leaf in names.values()}.values())
        self.optim(params)
        zero_grads(params)
        number = _numbers(loss)
        reached = [leaf for leaf in params if leaf.grad is not None]
        return number, EagerStep(names, reached, drawn, time.perf_counter() - begin)

    def _explain_nan(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Let eager PyTorch warn of a loss that is NaN, naming the site; draws no numbers that a later step would."""
        state = torch.get_rng_state()
        self.evaluate_loss(*args, **kwargs)
        torch.set_rng_state(state)

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
        losses: list[Any] = []
        names: dict[str, None] = {}
        interrupted = False
        bar = _Bar(num_steps) if progress else None
        try:
            self._fill(losses, names, num_steps, args, kwargs, _ignore if bar is None else bar.advance)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            if bar is not None:
                bar.close()
        engines = self._engines()
        if engines.engine != "eager" and losses and losses[-1] != losses[-1]:
            self._explain_nan(args, kwargs)
        store = get_param_store()
        params = {name: store[name].detach().clone() for name in names if name in store}
        losses_in_nats = torch.tensor(losses, dtype=torch.float64)
        return SVIResult(losses_in_nats, params, interrupted, engines.engine, engines.reason)

    def _fill(
        self,
        losses: list[Any],
        names: dict[str, None],
        num_steps: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        progress: Callable[[int, float], None],
    ) -> None:
        """Take the steps of a run, some eagerly and some on an engine; enter losses and parameters' names."""
        engines = self._engines()
        seen: EagerStep | None = None
        while len(losses) < num_steps:
            run = engines.for_run(num_steps - len(losses), args, kwargs, seen)
            if run is None:
                loss, seen = self._step(args, kwargs)
                losses.append(loss)
                names.update(dict.fromkeys(seen.names))
                progress(1, loss[0] if isinstance(loss, tuple) else loss)
                continue
            seen = None
            names.update(dict.fromkeys(run.names))
            try:
                run(progress)
            finally:
                losses.extend(run.losses)


def _leaves(run: Trace) -> dict[str, torch.Tensor]:
    """Return the unconstrained leaves of a run's parameters by name."""
    return {name: site["value"].unconstrained() for name, site in run.nodes.items()}


def _ignore(steps: int, loss: float) -> None:
    """Show nothing."""


class _Bar:
    """A progress bar with the smoothed loss."""

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        quiet = not sys.stderr.isatty()  # a log file gets a line now and then
        every = 10.0 if quiet else 0.1
        self._bar = tqdm(total=total, desc="SVI", unit="step", dynamic_ncols=True, mininterval=every)
        self._smoothed: float | None = None
        self._shown = 0

    def advance(self, steps: int, loss: float) -> None:
        """Count steps whose mean loss is given."""
        before = self._smoothed
        keep = 0.97**steps
        self._smoothed = loss if before is None else keep * before + (1.0 - keep) * loss
        self._shown += steps
        if steps > 1 or self._shown % 20 == 0 or self._shown == self._bar.total:
            self._bar.set_postfix_str(f"loss {self._smoothed:.4g}", refresh=False)
        self._bar.update(steps)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._bar.close()


def _numbers(loss: Any) -> Any:
    """Return Python numbers for a tensor, or for each of a tuple of them."""
    return type(loss)(map(torch_item, loss)) if isinstance(loss, tuple) else torch_item(loss)
