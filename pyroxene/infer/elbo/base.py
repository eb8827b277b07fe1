"""The base of ELBO estimators: particles, looped or vectorised; loss and gradients; an ELBO as a torch module."""

from __future__ import annotations

import math
import warnings
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pyroxene import settings
from pyroxene._typing import Model
from pyroxene.errors import UsageError
from pyroxene.infer.checks import torch_isnan
from pyroxene.infer.util import torch_backward, torch_item
from pyroxene.poutine import block, replay, trace
from pyroxene.poutine.runtime import share_subsamples
from pyroxene.poutine.trace_struct import Trace
from pyroxene.primitives import plate

__all__ = ["ELBO", "ELBOModule"]


class ELBOModule(torch.nn.Module):
    """An ELBO of one model and one guide as a torch module, for any torch optimiser; final.

    Made by calling an ELBO: `loss_fn = Trace_ELBO()(model, guide)`. Calling it with the model's arguments returns the
    loss, a scalar that `backward()` differentiates; its parameters are those of the model and guide that are modules.

    Args:
        model: the model.
        guide: the guide.
        elbo: the estimator.
    """

    def __init__(self, model: Model, guide: Model, elbo: ELBO) -> None:
        super().__init__()
        self.model = model
        self.guide = guide
        self.elbo = elbo

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return an estimate of the loss, a differentiable scalar."""
        return self.elbo.differentiable_loss(self.model, self.guide, *args, **kwargs)


class ELBO(metaclass=ABCMeta):
    """Abstract. An estimator of the negative evidence lower bound.

    Args:
        num_particles: how many draws from the guide an estimate averages.
        max_plate_nesting: how many batch dimensions plates take; inf finds it by a run of model and guide.
        max_iarange_nesting: the old name of max_plate_nesting.
        vectorize_particles: whether all particles are one batch, along a dimension left of the plates'.
        strict_enumeration_warning: whether an estimator that enumerates warns where nothing is enumerated.
        ignore_jit_warnings: kept for programs that pass it.
        jit_options: kept for programs that pass it.
        retain_graph: handed to `backward`.
        tail_adaptive_beta: for estimators with tail-adaptive weights.

    Implementing an estimator: define

    - `_get_trace(model, guide, args, kwargs)`: one particle, (model_trace, guide_trace);
    - `_elbo(model_trace, guide_trace)`: its ELBO, a scalar;
    - `_surrogate(model_trace, guide_trace, elbo)`: a scalar whose gradient estimates the ELBO's, where that is not the
      ELBO itself; only what asks for gradients calls it, once a particle.
    """

    def __init__(
        self,
        num_particles: int = 1,
        max_plate_nesting: float = math.inf,
        max_iarange_nesting: float | None = None,
        vectorize_particles: bool = False,
        strict_enumeration_warning: bool = True,
        ignore_jit_warnings: bool = False,
        jit_options: dict[str, Any] | None = None,
        retain_graph: bool | None = None,
        tail_adaptive_beta: float = -1.0,
    ) -> None:
        if max_iarange_nesting is not None:
            warnings.warn("max_iarange_nesting is now called max_plate_nesting", DeprecationWarning, stacklevel=2)
            max_plate_nesting = max_iarange_nesting
        if not isinstance(num_particles, (int, np.integer)) or num_particles < 1:
            raise UsageError(
                "an ELBO averages over particles",
                expected="num_particles >= 1",
                got=num_particles,
                hint="num_particles=1",
            )
        self.num_particles = int(num_particles)
        self.max_plate_nesting = max_plate_nesting
        self.vectorize_particles = vectorize_particles
        if vectorize_particles and num_particles > 1:
            self.max_plate_nesting += 1
        self.retain_graph = retain_graph
        self.strict_enumeration_warning = strict_enumeration_warning
        self.ignore_jit_warnings = ignore_jit_warnings
        self.jit_options = jit_options
        self.tail_adaptive_beta = tail_adaptive_beta

    def __call__(self, model: Model, guide: Model) -> ELBOModule:
        """Return the loss of this model and guide as a torch module."""
        return ELBOModule(model, guide, self)

    # what an estimator defines ---------------------------------------------------------------------------------------

    @abstractmethod
    def _get_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, Trace]:
        """Return one particle: the model's run along the guide's run."""

    @abstractmethod
    def _elbo(self, model_trace: Trace, guide_trace: Trace) -> Any:
        """Return the ELBO of one particle, or the sum over all where they are vectorised; a scalar."""

    def _surrogate(self, model_trace: Trace, guide_trace: Trace, elbo: Any) -> Any:
        """Return a scalar whose gradient estimates the gradient of `elbo`, which `_elbo` returned."""
        return elbo

    # particles -------------------------------------------------------------------------------------------------------

    def _guess_max_plate_nesting(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Find how many batch dimensions plates take, by one run of model and guide."""
        with block(), share_subsamples(isolated=True):
            guide_trace = trace(guide).get_trace(*args, **kwargs)
            model_trace = trace(replay(model, trace=guide_trace)).get_trace(*args, **kwargs)
        dims = [
            frame.dim
            for run in (model_trace, guide_trace)
            for site in run.nodes.values()
            if site["type"] == "sample"
            for frame in site["cond_indep_stack"]
            if frame.vectorized
        ]
        self.max_plate_nesting = -min(dims) if dims else 0
        if self.vectorize_particles and self.num_particles > 1:
            self.max_plate_nesting += 1

    def _vectorized_num_particles(self, fn: Model) -> Model:
        """Run a model inside an outermost plate, one batch element for each particle."""

        def run(*args: Any, **kwargs: Any) -> Any:
            if self.num_particles == 1:
                return fn(*args, **kwargs)
            with plate("num_particles_vectorized", self.num_particles, dim=-int(self.max_plate_nesting)):
                return fn(*args, **kwargs)

        return run

    def _get_vectorized_trace(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[Trace, Trace]:
        return self._get_trace(
            self._vectorized_num_particles(model), self._vectorized_num_particles(guide), args, kwargs
        )

    def _get_traces(
        self, model: Model, guide: Model, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Iterator[tuple[Trace, Trace]]:
        """Yield the particles; one batch of all of them where they are vectorised."""
        if self.vectorize_particles:
            if self.max_plate_nesting == math.inf:
                self._guess_max_plate_nesting(model, guide, args, kwargs)
            yield self._get_vectorized_trace(model, guide, args, kwargs)
        else:
            for _ in range(self.num_particles):
                yield self._get_trace(model, guide, args, kwargs)

    # losses ----------------------------------------------------------------------------------------------------------

    def loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, the negative ELBO, in nats."""
        elbo = 0.0
        with share_subsamples():
            for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
                elbo += torch_item(self._elbo(model_trace, guide_trace)) / self.num_particles
        return self._checked(-elbo, model_trace, guide_trace)

    def differentiable_loss(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return an estimate of the loss, a scalar tensor whose gradient estimates the loss's gradient."""
        loss: Any = 0.0
        surrogate_loss: Any = 0.0
        with share_subsamples():
            for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
                elbo = self._elbo(model_trace, guide_trace)
                surrogate = self._surrogate(model_trace, guide_trace, elbo)
                loss = loss - torch_item(elbo) / self.num_particles
                surrogate_loss = surrogate_loss - surrogate / self.num_particles
        self._checked(loss, model_trace, guide_trace)
        if not isinstance(surrogate_loss, torch.Tensor):
            return torch.tensor(loss)
        return loss + (surrogate_loss - surrogate_loss.detach())

    def loss_and_grads(self, model: Model, guide: Model, *args: Any, **kwargs: Any) -> float:
        """Return an estimate of the loss, in nats, and add its gradient to the parameters' `grad`."""
        loss = 0.0
        with share_subsamples():
            for model_trace, guide_trace in self._get_traces(model, guide, args, kwargs):
                elbo = self._elbo(model_trace, guide_trace)
                surrogate = self._surrogate(model_trace, guide_trace, elbo)
                loss -= torch_item(elbo) / self.num_particles
                if isinstance(surrogate, torch.Tensor) and surrogate.requires_grad:
                    scaled = surrogate.neg() if self.num_particles == 1 else surrogate / -self.num_particles
                    torch_backward(scaled, retain_graph=self.retain_graph)
        return self._checked(loss, model_trace, guide_trace)

    def _checked(self, loss: float, model_trace: Trace, guide_trace: Trace) -> float:
        """Warn of a loss that is NaN, and say at which site it began."""
        if loss != loss and settings.value_of("validate_infer"):
            culprit = next(
                (
                    f"site '{name}' of the {role}"
                    for role, run in (("guide", guide_trace), ("model", model_trace))
                    for name, site in run.nodes.items()
                    if site["type"] == "sample" and torch_isnan(site["log_prob"])
                ),
                "no single site",
            )
            warnings.warn(
                f"Encountered NaN: loss. It begins at {culprit}; lower the learning rate, or bound the parameters",
                stacklevel=4,
            )
        return loss
