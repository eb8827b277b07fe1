"""Guides of one latent vector: all sites together, as one distribution over the flat unconstrained vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

import pyroxene.distributions as dist
from pyroxene._typing import Model, TensorDict
from pyroxene.density import InitMessenger, Layout, Structure, init_to_median
from pyroxene.distributions import constraints
from pyroxene.errors import GuideStateError, PlateError, UnsupportedError, UsageError
from pyroxene.infer.autoguide.guide import AutoGuide
from pyroxene.infer.autoguide.utils import check_init_scale, is_subsampled, levels_of
from pyroxene.nn import PyroParam
from pyroxene.ops.hessian import hessian
from pyroxene.poutine import get_mask, replay, trace
from pyroxene.poutine.trace_struct import Trace
from pyroxene.primitives import sample

__all__ = [
    "AutoContinuous",
    "AutoDiagonalNormal",
    "AutoLaplaceApproximation",
    "AutoLowRankMultivariateNormal",
    "AutoMultivariateNormal",
]


class AutoContinuous(AutoGuide):
    """Abstract. A guide whose one latent vector holds all sites, flat and unconstrained.

    Args:
        model: the model; its sites are continuous, its plates do not subsample sites.
        init_loc_fn: gives each site its first value.

    Attributes:
        latent_dim: the length of the vector, after the first call.

    Implementing a guide: define `get_posterior()`, a distribution of event shape (latent_dim,), and make its parameters
    in `_setup_prototype` from `self._init_loc()`; `_loc_scale()` where medians and quantiles are known.

    Source: A. Kucukelbir, D. Tran, R. Ranganath, A. Gelman, D. M. Blei (2017), Automatic differentiation variational
    inference.
    """

    def __init__(self, model: Model, init_loc_fn: Callable[[Any], Any] = init_to_median) -> None:
        self.init_loc_fn = init_loc_fn
        super().__init__(model)
        self._layout: Layout | None = None

    def _prepared_model(self) -> Model:
        prepared: Model = InitMessenger(self.init_loc_fn)(self.model)
        return prepared

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self._layout = Layout.of(site for _, site in self._latent_sites())
        if self.latent_dim == 0:
            raise GuideStateError(
                f"{type(self).__name__} found no latent variables; use an empty guide instead",
                expected="a model with a latent sample site",
                got="none",
                hint="guide = lambda *args, **kwargs: None",
            )

    def _check_plates(self, structure: Structure) -> None:
        for name, site in structure.latent_sites.items():
            for frame in filter(is_subsampled, site["cond_indep_stack"]):
                raise PlateError(
                    f"{type(self).__name__} cannot guide site '{name}' inside the subsampled plate '{frame.name}'",
                    site=name,
                    plate=frame.name,
                    source=site.get("source"),
                    expected="sites in plates that do not subsample",
                    got=f"{frame.size} of {frame.full_size}",
                    hint="AutoNormal or AutoDelta for the plate's sites, in an AutoGuideList",
                )

    @property
    def layout(self) -> Layout:
        """Where each site lives in the latent vector."""
        if self._layout is None:
            raise GuideStateError(
                f"{type(self).__name__} has not seen its model yet", expected="a first call", hint="guide(*args)"
            )
        return self._layout

    @property
    def latent_dim(self) -> int:
        """The length of the latent vector."""
        return self.layout.dim

    def _init_loc(self) -> torch.Tensor:
        """Return the sites' first values as one unconstrained vector."""
        with torch.no_grad():
            loc = self.layout.unconstrain({name: site["value"].detach() for name, site in self._latent_sites()})
        return loc.detach().clone()

    @abstractmethod
    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the latent vector, event shape (latent_dim,)."""

    def sample_latent(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Draw the latent vector, a sample site "_<guide>_latent" of shape sample_shape + (latent_dim,)."""
        posterior = self.get_posterior()
        return sample(f"_{self._pyro_name}_latent", posterior, infer={"is_auxiliary": True})

    def _unpack_latent(self, latent: torch.Tensor) -> Iterable[tuple[Any, torch.Tensor]]:
        """Yield each site with its unconstrained value, cut out of the latent vector."""
        for (_, site), slot in zip(self._latent_sites(), self.layout.slots, strict=True):
            yield site, slot.cut(latent)

    def forward(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Run the guide; return the values on their supports by site name."""
        self._prepare(args, kwargs)
        latent = self.sample_latent(*args, **kwargs)
        plates = self._create_plates(*args, **kwargs)
        without_density = get_mask() is False
        values: TensorDict = {}
        for (name, site), slot in zip(self._latent_sites(), self.layout.slots, strict=True):
            unconstrained = slot.cut(latent)
            value = slot.to_support(unconstrained)
            log_density: Any = 0.0 if without_density else -slot.log_jacobian(value, unconstrained)
            delta = dist.Delta(value, log_density, slot.value_event_dim, validate_args=False)
            with self._plates_of(site, plates):
                values[name] = sample(name, delta)
        return values

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return medians and standard deviations of the latent vector's coordinates, where they are known."""
        raise UnsupportedError(f"{type(self).__name__} does not know its medians", hint="draw from the guide")

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the medians on the supports by site name."""
        self._prepare(args, kwargs)
        return self.layout.constrain(self._loc_scale(*args, **kwargs)[0].detach().clone())

    @torch.no_grad()
    def quantiles(self, quantiles: Iterable[float], *args: Any, **kwargs: Any) -> TensorDict:
        """Return quantiles of each site on its support, shape (len(quantiles), *site shape).

        Args:
            quantiles: probabilities.
            args: the model's arguments, needed before the guide's first call.
            kwargs: the model's keyword arguments.
        """
        self._prepare(args, kwargs)
        latent = dist.Normal(*self._loc_scale(*args, **kwargs))
        values: TensorDict = {}
        for slot in self.layout.slots:
            normal = dist.Normal(slot.cut(latent.loc), slot.cut(latent.scale))
            values[slot.name] = slot.transform(normal.icdf(levels_of(quantiles, slot.transform, normal.loc)))
        return values


class _ScaledNormal(AutoContinuous):
    """Abstract. A normal latent vector that starts at a standard deviation."""

    scale_constraint = constraints.softplus_positive

    def __init__(
        self, model: Model, init_loc_fn: Callable[[Any], Any] = init_to_median, init_scale: float = 0.1
    ) -> None:
        check_init_scale(type(self).__name__, init_scale)
        self._init_scale = init_scale
        super().__init__(model, init_loc_fn=init_loc_fn)

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self.loc = nn.Parameter(self._init_loc())
        self._setup_scale(self.loc.detach())

    @abstractmethod
    def _setup_scale(self, loc: torch.Tensor) -> None:
        """Make the parameters of scale, of the shape and dtype of `loc`."""


class AutoDiagonalNormal(_ScaledNormal):
    """A normal latent vector with independent coordinates; final.

    The parameters are `AutoDiagonalNormal.loc` and `.scale` (standard deviations), shape (latent_dim,).

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.
        init_scale: the first standard deviation, in unconstrained space.
    """

    def _setup_scale(self, loc: torch.Tensor) -> None:
        self.scale = PyroParam(torch.full_like(loc, self._init_scale), self.scale_constraint)

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the latent vector, a diagonal normal."""
        return dist.Normal(self.loc, self.scale, validate_args=False).to_event(1)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loc, self.scale


class AutoMultivariateNormal(_ScaledNormal):
    """A normal latent vector with full covariance; final.

    The parameters are `AutoMultivariateNormal.loc`, `.scale`, shape (latent_dim,), and `.scale_tril`, unit lower
    triangular, shape (latent_dim, latent_dim): the covariance's Cholesky factor is diag(scale) @ scale_tril.

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.
        init_scale: the first standard deviation, in unconstrained space.
    """

    scale_tril_constraint = constraints.unit_lower_cholesky

    def _setup_scale(self, loc: torch.Tensor) -> None:
        self.scale = PyroParam(torch.full_like(loc, self._init_scale), self.scale_constraint)
        eye = torch.eye(self.latent_dim, dtype=loc.dtype, device=loc.device)
        self.scale_tril = PyroParam(eye, self.scale_tril_constraint)

    def _cholesky(self) -> torch.Tensor:
        scale_tril: torch.Tensor = self.scale[..., None] * self.scale_tril
        return scale_tril

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the latent vector, a multivariate normal."""
        scale_tril = self._cholesky()
        return dist.MultivariateNormal(self.loc, scale_tril=scale_tril, validate_args=False)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loc, self._cholesky().square().sum(-1).sqrt()


class AutoLowRankMultivariateNormal(_ScaledNormal):
    """A normal latent vector whose covariance is diagonal plus low rank; final.

    The parameters are `AutoLowRankMultivariateNormal.loc`, `.scale`, shape (latent_dim,), and `.cov_factor`, shape
    (latent_dim, rank): the covariance is diag(scale) (cov_factor @ cov_factor.T + 1) diag(scale).

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.
        init_scale: about the first standard deviation, in unconstrained space.
        rank: of the low-rank part; about the root of latent_dim where it is None.
    """

    def __init__(
        self,
        model: Model,
        init_loc_fn: Callable[[Any], Any] = init_to_median,
        init_scale: float = 0.1,
        rank: int | None = None,
    ) -> None:
        if rank is not None and not (isinstance(rank, int) and rank > 0):
            raise UsageError("the rank is a number of columns", expected="rank >= 1", got=rank)
        self.rank = rank
        super().__init__(model, init_loc_fn=init_loc_fn, init_scale=init_scale)

    def _setup_scale(self, loc: torch.Tensor) -> None:
        if self.rank is None:
            self.rank = round(self.latent_dim**0.5)
        self.scale = PyroParam(torch.full_like(loc, 0.5**0.5 * self._init_scale), self.scale_constraint)
        self.cov_factor = nn.Parameter(loc.new_empty(self.latent_dim, self.rank).normal_(0, 1 / self.rank**0.5))

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the latent vector, a low-rank multivariate normal."""
        scale = self.scale
        cov_factor = self.cov_factor * scale.unsqueeze(-1)
        return dist.LowRankMultivariateNormal(self.loc, cov_factor, scale * scale, validate_args=False)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.loc, self.scale * (self.cov_factor.square().sum(-1) + 1).sqrt()


class AutoLaplaceApproximation(AutoContinuous):
    """The mode of the posterior, and after `laplace_approximation` the normal with the mode's curvature; final.

    Train it by SVI as a point estimate, then call `guide.laplace_approximation(*args)`, which returns a guide. The
    parameter is `AutoLaplaceApproximation.loc`, shape (latent_dim,).

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> pyroxene.clear_param_store()
        >>> def model():
        ...     x = pyroxene.sample("x", dist.Normal(0.0, 2.0))
        >>> guide = AutoLaplaceApproximation(model)
        >>> _ = guide()
        >>> guide.laplace_approximation().get_posterior().covariance_matrix.item()
        4.0
    """

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        self.loc = nn.Parameter(self._init_loc())

    def get_posterior(self, *args: Any, **kwargs: Any) -> Any:
        """Return the distribution of the latent vector, a point mass."""
        return dist.Delta(self.loc, validate_args=False).to_event(1)

    def _loc_scale(self, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, torch.Tensor]:
        loc = self.loc
        return loc, torch.zeros_like(loc)

    def quantiles(self, quantiles: Iterable[float], *args: Any, **kwargs: Any) -> TensorDict:
        """Refuse: a point has no quantiles; the guide that `laplace_approximation` returns does.

        Raises:
            UnsupportedError: always.
        """
        raise UnsupportedError(
            "AutoLaplaceApproximation is a point until its curvature is taken",
            expected="a guide with a width",
            got="the mode",
            hint="guide.laplace_approximation(*args).quantiles(...)",
        )

    def laplace_approximation(self, *args: Any, **kwargs: Any) -> AutoMultivariateNormal:
        """Return the normal guide with the curvature of the log posterior at `loc`.

        Args:
            args: the model's arguments.
            kwargs: the model's keyword arguments.

        Raises:
            GuideStateError: the curvature is not positive definite: `loc` is not at a mode yet.
        """
        guide_trace: Trace = trace(self).get_trace(*args, **kwargs)
        # starting points, too, are drawn and replaced, as in Pyro: later draws are to agree with Pyro's
        model_trace = trace(replay(self._prepared_model(), trace=guide_trace)).get_trace(*args, **kwargs)
        loss = guide_trace.log_prob_sum() - model_trace.log_prob_sum()
        curvature = hessian(loss, self.loc.unconstrained() if hasattr(self.loc, "unconstrained") else self.loc)
        with torch.no_grad():
            factor, failed = torch.linalg.cholesky_ex(curvature)
            if bool(failed):
                raise GuideStateError(
                    "the curvature at loc is not positive definite",
                    expected="loc at a mode of the posterior",
                    got=f"eigenvalues from {torch.linalg.eigvalsh(curvature)[0].item():.3g}",
                    hint="more SVI steps, or a lower learning rate",
                )
            scale_tril = torch.linalg.cholesky(torch.cholesky_inverse(factor))
        normal = AutoMultivariateNormal(self.model, init_loc_fn=self.init_loc_fn)
        normal._setup_prototype(*args, **kwargs)
        fixed = {"loc": self.loc.detach().clone(), "scale": scale_tril.diagonal().clone()}
        fixed["scale_tril"] = scale_tril / fixed["scale"][:, None]
        for name, value in fixed.items():  # known, not to be learned: buffers in the place of parameters
            delattr(normal, name)
            normal.register_buffer(name, value)
        return normal
