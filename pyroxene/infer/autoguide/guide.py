"""The base of automatic guides, and those that need no distribution of their own: lists, callables, point estimates."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn

import pyroxene.distributions as dist
from pyroxene._typing import Model, TensorDict
from pyroxene.density import InitMessenger, Slot, helpful_support_errors, init_to_median, trace_structure
from pyroxene.errors import GuideError, UsageError
from pyroxene.infer.autoguide.utils import deep_getattr, deep_setattr, full_size_value
from pyroxene.nn import PyroModule, PyroParam
from pyroxene.poutine.message import CondIndepStackFrame
from pyroxene.poutine.trace_struct import Trace
from pyroxene.primitives import plate, sample

__all__ = ["AutoCallable", "AutoDelta", "AutoGuide", "AutoGuideList"]

Plates = dict[str, AbstractContextManager[Any]]
_NO_PLATES = nullcontext()


@contextmanager
def _entered(plates: list[AbstractContextManager[Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        for each in plates:
            stack.enter_context(each)
        yield


class AutoGuide(PyroModule):
    """Abstract. A guide made from a model.

    The first call runs the model once, and the guide's parameters are made for the sites it saw.

    Args:
        model: the model.
        create_plates: a function of the model's arguments that returns the plates that subsample, one or a sequence;
            without it the guide makes the model's plates itself.

    Attributes:
        prototype_trace: the model's first run; None before the guide's first call.
        plates: the plates of the current call, by name.

    Implementing a guide: define

    - `_setup_prototype(*args, **kwargs)`: call the base's, then make parameters for `self._latent_slots()`;
    - `forward(*args, **kwargs)`: begin with `self._begin(*args, **kwargs)`, make a sample statement for each latent
      site, return their values by name;
    - `median(*args, **kwargs)`: the values' medians by name.
    """

    def __init__(self, model: Model, *, create_plates: Callable[..., Any] | None = None) -> None:
        super().__init__(name=type(self).__name__)
        if not callable(model):
            raise UsageError(f"{type(self).__name__} guides a model", expected="a callable", got=model)
        self.master: weakref.ref[AutoGuideList] | None = None
        self._model = (model,)  # a tuple hides a module from torch: the model's parameters are not the guide's
        self.create_plates = create_plates
        self.prototype_trace: Trace | None = None
        self._prototype_frames: dict[str, CondIndepStackFrame] = {}
        self._subsample_sizes: dict[str, int] = {}
        self.plates: Plates = {}

    @property
    def model(self) -> Model:
        """The model."""
        return self._model[0]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle; the list that the guide is in, if any, restores its own reference."""
        inherited: Any = super()
        state = dict(inherited.__getstate__()) if hasattr(inherited, "__getstate__") else dict(self.__dict__)
        state["master"] = None
        state["plates"] = {}
        return state

    def _update_master(self, master_ref: weakref.ref[AutoGuideList]) -> None:
        self.master = master_ref
        for child in self.children():
            if isinstance(child, AutoGuide):
                child._update_master(master_ref)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the guide and return its values, as a tuple in the order of the model's sites."""
        values = self(*args, **kwargs)
        return tuple(value for _, value in sorted(values.items()))

    def sample_latent(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the guide's latent variables."""
        raise GuideError(f"{type(self).__name__} has no single latent variable", hint="call the guide itself")

    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the medians of all latent sites on their supports, by name; see each guide."""
        raise GuideError(f"{type(self).__name__} does not know its medians", hint="draw from the guide")

    def _prototype_tensor(self) -> torch.Tensor:
        """Return a tensor of the model's, for dtype and device."""
        assert self.prototype_trace is not None
        return next(
            site["value"]
            for _, site in self.prototype_trace.iter_stochastic_nodes()
            if isinstance(site["value"], torch.Tensor)
        )

    def _begin(self, *args: Any, **kwargs: Any) -> Plates:
        """Make ready for a call: run the model the first time, make this call's plates."""
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        return self._create_plates(*args, **kwargs)

    def _create_plates(self, *args: Any, **kwargs: Any) -> Plates:
        if self.create_plates is None:
            if self.master is not None:
                master = self.master()
                assert master is not None
                self.plates = master.plates
                return self.plates
            self.plates = {
                name: plate(name, _full_size(frame), self._subsample_sizes.get(name), dim=frame.dim)
                for name, frame in sorted(self._prototype_frames.items())
            }
            return self.plates
        made = self.create_plates(*args, **kwargs)
        plates = [made] if isinstance(made, plate) else list(made)
        if not all(isinstance(p, plate) for p in plates):
            raise GuideError("create_plates returned something else", expected="a plate, or plates", got=made)
        self.plates = {p.name: p for p in plates}
        for name, frame in sorted(self._prototype_frames.items()):
            if name not in self.plates:
                full = _full_size(frame)
                self.plates[name] = plate(name, full, self._subsample_sizes.get(name), dim=frame.dim)
        return self.plates

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        """Run the model once; keep its trace and its plates."""
        structure = trace_structure(self._prepared_model(), *args, **kwargs)
        self.prototype_trace = structure.trace
        if self.master is not None:
            master = self.master()
            assert master is not None
            master._check_prototype(self.prototype_trace)
        frames = (frame for _, site in self._latent_sites() for frame in site["cond_indep_stack"] if frame.vectorized)
        self._prototype_frames = {
            frame.name: frame for frame in frames
        }  # plates of data alone are the model's business
        self._subsample_sizes = {
            name: frame.size for name, frame in self._prototype_frames.items() if name in structure.subsampled
        }

    def _prepared_model(self) -> Model:
        """Return the model as it is run for the prototype."""
        return self.model

    def _latent_sites(self) -> Iterator[tuple[str, dict[str, Any]]]:
        assert self.prototype_trace is not None
        return self.prototype_trace.iter_stochastic_nodes()

    def _plates_of(self, site: Mapping[str, Any], plates: Plates) -> AbstractContextManager[Any]:
        """Return a context in which a site's vectorised plates are entered."""
        own = [plates[frame.name] for frame in site["cond_indep_stack"] if frame.vectorized]
        if len(own) < 2:
            return own[0] if own else _NO_PLATES
        return _entered(own)


def _full_size(frame: CondIndepStackFrame) -> int:
    return frame.size if frame.full_size is None else frame.full_size


class AutoGuideList(AutoGuide, nn.ModuleList):
    """Several guides as one, each for a part of the model's sites; final.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> from pyroxene.infer.autoguide import AutoDelta, AutoNormal
        >>> def model():
        ...     pyroxene.sample("a", dist.Normal(0.0, 1.0))
        ...     pyroxene.sample("b", dist.Normal(0.0, 1.0))
        >>> guide = AutoGuideList(model)
        >>> guide.append(AutoNormal(pyroxene.poutine.block(model, hide=["b"])))
        >>> guide.append(AutoDelta(pyroxene.poutine.block(model, hide=["a"])))
        >>> sorted(guide())
        ['a', 'b']
    """

    def _check_prototype(self, part_trace: Trace) -> None:
        """Check that a part's sites are the list's, and in no other part."""
        if self.prototype_trace is None:
            return
        for name, part_site in part_trace.nodes.items():
            if part_site["type"] != "sample":
                continue
            if name not in self.prototype_trace.nodes:
                raise GuideError(f"a part of the guide has site '{name}', which the model does not have", site=name)
            shape = getattr(self.prototype_trace.nodes[name]["fn"], "batch_shape", None)
            mine = getattr(part_site["fn"], "batch_shape", None)
            if shape != mine:
                raise GuideError(
                    f"a part of the guide sees site '{name}' at another batch shape",
                    site=name,
                    expected=shape,
                    got=mine,
                )

    def _update_master(self, master_ref: weakref.ref[AutoGuideList]) -> None:
        self.master = master_ref
        for part in self._parts():
            part._update_master(master_ref)

    def _parts(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def append(self, part: Any) -> None:  # type: ignore[override]
        """Add a guide for a part of the model, usually an autoguide of `poutine.block(model, expose=[...])`.

        Args:
            part: a guide, or a function that makes sample statements and returns their values by name.
        """
        if not isinstance(part, AutoGuide):
            part = AutoCallable(self.model, part)
        if part.master is not None:
            raise GuideError("the guide is already part of a list", expected="a guide of its own", got=part)
        super().append(part)
        part._update_master(weakref.ref(self))

    def add(self, part: Any) -> None:
        """Add a guide; the old name of `append`."""
        self.append(part)

    def __setstate__(self, state: Any) -> None:
        inherited: Any = super()
        if hasattr(inherited, "__setstate__"):
            inherited.__setstate__(state)
        else:
            self.__dict__.update(state)
        for part in self._parts():
            part._update_master(weakref.ref(self))

    def forward(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Run all parts and return their values by name."""
        self._begin(*args, **kwargs)
        values: TensorDict = {}
        for part in self._parts():
            values.update(part(*args, **kwargs))
        return values

    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the parts' medians by name."""
        values: TensorDict = {}
        for part in self._parts():
            values.update(part.median(*args, **kwargs))
        return values

    def quantiles(self, quantiles: Iterable[float], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the parts' quantiles by name, shape (len(quantiles), *site shape)."""
        values: dict[str, Any] = {}
        for part in self._parts():
            values.update(part.quantiles(quantiles, *args, **kwargs))
        return values


class AutoCallable(AutoGuide):
    """A function as a part of an `AutoGuideList`; final.

    Args:
        model: the model.
        guide: a function of the model's arguments; the values it returns by name are the part's.
        median: a function that returns medians by name.
    """

    def __init__(
        self, model: Model, guide: Callable[..., Any], median: Callable[..., TensorDict] = lambda *args, **kwargs: {}
    ) -> None:
        super().__init__(model)
        self._guide = guide
        self.median = median  # type: ignore[method-assign]

    def forward(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Run the function and return its values by name; none where it returns none."""
        values = self._guide(*args, **kwargs)
        return {} if values is None else dict(values)


class AutoDelta(AutoGuide):
    """A point mass on each latent site: maximum a posteriori estimation; final.

    The parameters are `AutoDelta.<site>`, on the sites' supports.

    Args:
        model: the model.
        init_loc_fn: gives each site its first value.
        create_plates: see `AutoGuide`.

    Example:
        >>> import pyroxene, pyroxene.distributions as dist
        >>> pyroxene.clear_param_store()
        >>> guide = AutoDelta(lambda: pyroxene.sample("x", dist.HalfNormal(1.0)))
        >>> sorted(guide()), sorted(pyroxene.get_param_store())
        (['x'], ['AutoDelta.x'])
    """

    def __init__(
        self,
        model: Model,
        init_loc_fn: Callable[[Any], Any] = init_to_median,
        *,
        create_plates: Callable[..., Any] | None = None,
    ) -> None:
        self.init_loc_fn = init_loc_fn
        super().__init__(model, create_plates=create_plates)

    def _prepared_model(self) -> Model:
        prepared: Model = InitMessenger(self.init_loc_fn)(self.model)
        return prepared

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        super()._setup_prototype(*args, **kwargs)
        for name, site in self._latent_sites():
            event_dim = site["fn"].event_dim
            value = full_size_value(site["value"].detach(), site, event_dim)
            with helpful_support_errors(site):
                deep_setattr(self, name, PyroParam(value, constraint=site["fn"].support, event_dim=event_dim))

    def forward(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Run the guide; return the values by site name."""
        plates = self._begin(*args, **kwargs)
        values: TensorDict = {}
        for name, site in self._latent_sites():
            with self._plates_of(site, plates):
                value = deep_getattr(self, name)
                delta = dist.Delta(value, event_dim=site["fn"].event_dim, validate_args=False)
                values[name] = sample(name, delta)
        return values

    @torch.no_grad()
    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the points by site name."""
        if self.prototype_trace is None:
            self._setup_prototype(*args, **kwargs)
        return {name: deep_getattr(self, name).detach().clone() for name, _ in self._latent_sites()}


def slots_of(guide: AutoGuide) -> dict[str, Slot]:
    """Return each latent site's unconstrained shape and transform, by name."""
    return {name: Slot.of(site, 0) for name, site in guide._latent_sites()}
