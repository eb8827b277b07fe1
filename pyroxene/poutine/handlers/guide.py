"""`GuideMessenger`: a guide that runs the model itself, and samples each latent site from a posterior of your own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch

from pyroxene.distributions import Delta
from pyroxene.errors import GuideError, MissingSiteError
from pyroxene.poutine.handlers.record import TraceMessenger
from pyroxene.poutine.message import Message
from pyroxene.poutine.trace_struct import Trace, site_is_subsample

__all__ = ["GuideMessenger"]


class GuideMessenger(TraceMessenger, ABC):
    """Abstract. A guide that follows the model's control flow, plates and data.

    Args:
        model: the model; it is called with the guide's arguments.

    Handlers around the guide see its latent sites, params and plates; the model's observed sites stay inside.

    Implementing a guide: define `get_posterior(name, prior)`. It may make param statements and read `upstream_value`.

    Example:
        >>> import torch, pyroxene, pyroxene.distributions as dist
        >>> def model(data):
        ...     x = pyroxene.sample("x", dist.Normal(0.0, 1.0))
        ...     with pyroxene.plate("data", len(data)):
        ...         pyroxene.sample("y", dist.Normal(x, 1.0), obs=data)
        >>> class PointGuide(GuideMessenger):
        ...     def get_posterior(self, name, prior):
        ...         return pyroxene.param(f"{name}_map", torch.zeros(prior.shape()))
        >>> PointGuide(model)(torch.ones(3))["x"].item()
        0.0
        >>> pyroxene.clear_param_store()
    """

    def __init__(self, model: Callable[..., Any]) -> None:
        super().__init__()
        self._model = model

    @property
    def model(self) -> Callable[..., Any]:
        """The model that the guide runs."""
        return self._model

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model with these arguments.

        Returns:
            the values of all its sample sites by name, plates' indices excepted.
        """
        with self:
            self._model(*args, **kwargs)
        return {name: site["value"] for name, site in self.trace.nodes.items() if site["type"] == "sample"}

    @abstractmethod
    def get_posterior(self, name: str, prior: Any) -> Any:
        """Return the distribution, or the value, of a latent site.

        Args:
            name: the site's name.
            prior: the model's distribution, expanded to the plates around the site.

        Returns:
            a distribution whose event shape is the prior's and whose batch shape expands to the prior's; or a tensor of
            the prior's shape, for a point estimate.
        """

    def upstream_value(self, name: str) -> Any:
        """Return the value of a sample site that the current run has come to already, for use in `get_posterior`.

        Raises:
            MissingSiteError: (a KeyError) the run has not come to such a site.
        """
        site = self.trace.nodes.get(name)
        if site is None:
            raise MissingSiteError(
                f"site '{name}' is not upstream",
                site=name,
                expected=f"one of the sites so far: {list(self.trace.nodes)}",
                got=name,
                hint="read only sites that the model samples before this one",
            )
        return site["value"]

    def get_traces(self) -> tuple[Trace, Trace]:
        """Return the last run twice: as the model's trace, and as the guide's.

        Returns:
            (model_trace, guide_trace): the same values; in the first every site has the model's distribution and
            observed sites and params are there, in the second there are the latent sites with their posteriors.
        """
        model_trace, guide_trace = Trace(), Trace()
        for name, site in self.trace.nodes.items():
            if site["type"] == "sample" and not site["is_observed"]:
                guide_trace.add_node(name, **site)
                site = {**site, "fn": site["infer"]["prior"]}
            model_trace.add_node(name, **site)
        return model_trace, guide_trace

    def _pyro_sample(self, msg: Message) -> None:
        if site_is_subsample(msg):
            return
        if msg["is_observed"]:
            msg["infer"]["_do_not_trace"] = True  # by outer handlers: data is the model's
            return
        prior: Any = msg["fn"]
        posterior = self.get_posterior(msg["name"], prior)
        if isinstance(posterior, torch.Tensor):
            posterior = Delta(posterior, event_dim=prior.event_dim)
        if posterior.event_shape != prior.event_shape or len(posterior.batch_shape) > len(prior.batch_shape):
            raise GuideError(
                f"the posterior of site '{msg['name']}' has another shape than its prior",
                site=msg["name"],
                source=msg.get("source"),
                expected=f"batch_shape {tuple(prior.batch_shape)}, event_shape {tuple(prior.event_shape)}",
                got=f"batch_shape {tuple(posterior.batch_shape)}, event_shape {tuple(posterior.event_shape)}",
                hint="posterior.to_event(n), with the number of the prior's event dimensions",
            )
        if posterior.batch_shape != prior.batch_shape:
            posterior = posterior.expand(prior.batch_shape)
        msg["infer"]["prior"] = prior
        msg["fn"] = posterior

    def _pyro_post_sample(self, msg: Message) -> None:
        if site_is_subsample(msg):
            return
        msg["infer"].pop("_do_not_trace", None)
        self.trace.add_node(msg["name"], **msg)
