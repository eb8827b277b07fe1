"""The base of automatic guides, and those that need no distribution of their own: lists, callables, point estimates."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn

import pyroxene.distributions as dist
from pyroxene._typing import Model, TensorDict
from pyroxene.density import InitMessenger, Structure, helpful_support_errors, init_to_median
from pyroxene.errors import (
    GuideError,
    GuideStateError,
    MissingSiteError,
    OptionError,
    PlateError,
    UnsupportedError,
    UsageError,
)
from pyroxene.infer.autoguide.prototype import HiddenModel, check_plates, entered, portable, structure_of
from pyroxene.infer.autoguide.utils import deep_getattr, deep_setattr, full_size, full_size_value
from pyroxene.nn import PyroModule, PyroParam
from pyroxene.poutine.message import CondIndepStackFrame
from pyroxene.poutine.trace_struct import Trace
from pyroxene.primitives import plate, sample

__all__ = ["AutoCallable", "AutoDelta", "AutoGuide", "AutoGuideList"]

Plates = dict[str, AbstractContextManager[Any]]


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

    - `_setup_prototype(*args, **kwargs)`: call the base's, then make parameters for `self._latent_sites()`;
    - `forward(*args, **kwargs)`: begin with `self._begin(*args, **kwargs)`, make a sample statement for each latent
      site, return their values by name;
    - `median(*args, **kwargs)`: the values' medians by name.
    """

    def __init__(self, model: Model, *, create_plates: Callable[..., Any] | None = None) -> None:
        super().__init__(name=type(self).__name__)
        if not callable(model):
            raise UsageError(f"{type(self).__name__} guides a model", expected="a callable", got=model)
        self.master: weakref.ref[AutoGuideList] | None = None
        self._model = HiddenModel(model)
        self.create_plates = create_plates
        self.prototype_trace: Trace | None = None
        self._prototype_frames: dict[str, CondIndepStackFrame] = {}
        self._subsample_sizes: dict[str, int] = {}
        self.plates: Plates = {}

    @property
    def model(self) -> Model:
        """The model.

        Raises:
            GuideError: the guide was unpickled, and its model could not be pickled.
        """
        model = self._model.model
        if model is None:
            raise GuideError(
                f"this {type(self).__name__} was pickled without its model",
                expected="a model that pickle can store: a function or class at the top level of a module",
                got="a local function, a lambda, or a handler around a model",
                hint="call a guide before it is pickled, or make it from the model and use load_state_dict",
            )
        return model

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to copy or pickle; the list that the guide is in, if any, restores its own reference."""
        prototype = None if self.prototype_trace is None else portable(self.prototype_trace)
        return {**super().__getstate__(), "master": None, "plates": {}, "prototype_trace": prototype}

    def _update_master(self, master_ref: weakref.ref[AutoGuideList]) -> None:
        self.master = master_ref
        for child in self.children():
            if isinstance(child, AutoGuide):
                child._update_master(master_ref)

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Run the guide and return its values, as a tuple in the order of the sites' names."""
        values = self(*args, **kwargs)
        return tuple(value for _, value in sorted(values.items()))

    def sample_latent(self, *args: Any, **kwargs: Any) -> Any:
        """Draw the guide's latent variables."""
        raise UnsupportedError(f"{type(self).__name__} has no single latent variable", hint="call the guide itself")

    def median(self, *args: Any, **kwargs: Any) -> TensorDict:
        """Return the medians of all latent sites on their supports, by name; see each guide."""
        raise UnsupportedError(f"{type(self).__name__} does not know its medians", hint="draw from the guide")

    def _whole(self) -> AutoGuideList | None:
        """Return the list that this guide is a part of, if any."""
        return None if self.master is None else self.master()

    def _prepare(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Set the guide up at its first call; one that fails leaves it as it was, to be called again."""
        if self.prototype_trace is None:
            try:
                self._setup_prototype(*args, **kwargs)
            except BaseException:
                self.prototype_trace = None
                raise

    def _begin(self, *args: Any, **kwargs: Any) -> Plates:
        """Make ready for a call: run the model the first time, make this call's plates."""
        self._prepare(args, kwargs)
        return self._create_plates(*args, **kwargs)

    def _create_plates(self, *args: Any, **kwargs: Any) -> Plates:
        """Return this call's plates by name: those that the user makes, those of the whole list, or new ones."""
        given: Plates = {}
        if self.create_plates is not None:
            given = self._given_plates(self.create_plates(*args, **kwargs))
        else:
            whole = self._whole()
            if whole is not None:
                self.plates = whole.plates or whole._begin(*args, **kwargs)
                return self.plates
        self.plates = given | {
            name: plate(name, full_size(frame), self._subsample_sizes.get(name), dim=frame.dim)
            for name, frame in sorted(self._prototype_frames.items())
            if name not in given
        }
        return self.plates

    def _given_plates(self, made: Any) -> Plates:
        """Check what the user's `create_plates` returned."""
        plates = list(made) if isinstance(made, Iterable) and not isinstance(made, plate) else [made]
        for each in plates:
            if not isinstance(each, plate):
                raise OptionError(
                    "create_plates returned something else than plates",
                    expected="a plate, or a sequence of plates",
                    got=made,
                    hint="create_plates=lambda *args: pyroxene.plate(name, size, subsample_size=..., dim=...)",
                )
            frame = self._prototype_frames.get(each.name)
            if frame is not None and (each.size != full_size(frame) or each.dim not in (None, frame.dim)):
                raise PlateError(
                    f"create_plates made plate '{each.name}' otherwise than the model",
                    plate=each.name,
                    expected=f"size {full_size(frame)}, dim {frame.dim}",
                    got=f"size {each.size}, dim {each.dim}",
                    hint="give it the size and dim that it has in the model",
                )
        return {each.name: each for each in plates}

    def _setup_prototype(self, *args: Any, **kwargs: Any) -> None:
        """Run the model once; keep its trace and its plates."""
        structure = structure_of(self._prepared_model(), args, kwargs)
        self._check_plates(structure)
        self.prototype_trace = structure.trace
        whole = self._whole()
        if whole is not None:
            whole._check_prototype(self.prototype_trace)
        # only the plates of latent sites: those of data alone are the model's business
        frames = (frame for _, site in self._latent_sites() for frame in site["cond_indep_stack"] if frame.vectorized)
        self._prototype_frames = {frame.name: frame for frame in frames}
        self._subsample_sizes = {
            name: frame.size for name, frame in self._prototype_frames.items() if name in structure.subsampled
        }

    def _check_plates(self, structure: Structure) -> None:
        """Refuse latent sites whose plates the guide cannot follow."""
        check_plates(type(self).__name__, structure, self._plates_are_given())

    def _plates_are_given(self) -> bool:
        whole = self._whole()
        return self.create_plates is not None or (whole is not None and whole._plates_are_given())

    def _prepared_model(self) -> Model:
        """Return the model as it is run for the prototype."""
        return self.model

    def _latent_sites(self) -> Iterator[tuple[str, dict[str, Any]]]:
        assert self.prototype_trace is not None
        return self.prototype_trace.iter_stochastic_nodes()

    def _plates_of(self, site: Mapping[str, Any], plates: Plates) -> AbstractContextManager[Any]:
        """Return a context in which a site's vectorised plates are entered."""
        return entered([plates[frame.name] for frame in site["cond_indep_stack"] if frame.vectorized])


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
        """Check that a part's latent sites are the whole model's."""
        if self.prototype_trace is None:
            return
        own = self.prototype_trace.nodes
        for name, site in part_trace.iter_stochastic_nodes():
            if name not in own:
                raise MissingSiteError(
                    f"a part of the guide has site '{name}', which the model does not have",
                    site=name,
                    source=site.get("source"),
                    expected=f"one of {self.prototype_trace.stochastic_nodes}",
                    got=name,
                    hint="make the parts from the list's model: poutine.block(model, expose=[...])",
                )
            shape = own[name]["fn"].batch_shape
            if shape != site["fn"].batch_shape:
                raise GuideError(
                    f"a part of the guide sees site '{name}' at another batch shape",
                    site=name,
                    expected=shape,
                    got=site["fn"].batch_shape,
                )

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
            raise GuideStateError(
                f"this {type(part).__name__} is already part of a list",
                expected="a guide that is in no list",
                got="the same guide again",
                hint="make a guide for each part: AutoNormal(poutine.block(model, expose=[...]))",
            )
        super().append(part)
        part._update_master(weakref.ref(self))

    def extend(self, parts: Iterable[Any]) -> AutoGuideList:
        """Add several guides."""
        for part in parts:
            self.append(part)
        return self

    def add(self, part: Any) -> None:
        """Add a guide; the old name of `append`."""
        self.append(part)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
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
        self._prepare(args, kwargs)
        values: TensorDict = {}
        for part in self._parts():
            values.update(part.median(*args, **kwargs))
        return values

    def quantiles(self, quantiles: Iterable[float], *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the parts' quantiles by name, shape (len(quantiles), *site shape).

        Raises:
            UnsupportedError: a part has no quantiles.
        """
        self._prepare(args, kwargs)
        values: dict[str, Any] = {}
        for part in self._parts():
            if not hasattr(part, "quantiles"):
                raise UnsupportedError(
                    f"the part {type(part).__name__} has no quantiles",
                    expected="parts that have quantiles, such as AutoNormal",
                    got=type(part).__name__,
                    hint="call quantiles of the parts that have them: guide[0].quantiles(...)",
                )
            values.update(part.quantiles(quantiles, *args, **kwargs))
        return values


def _no_medians(*args: Any, **kwargs: Any) -> TensorDict:
    return {}


class AutoCallable(AutoGuide):
    """A function as a part of an `AutoGuideList`; final.

    Args:
        model: the model.
        guide: a function of the model's arguments; the values it returns by name are the part's.
        median: a function that returns medians by name.
    """

    def __init__(
        self, model: Model, guide: Callable[..., Any], median: Callable[..., TensorDict] = _no_medians
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
        """Return the points by site name, at the full size of subsampled plates."""
        self._prepare(args, kwargs)
        return {name: deep_getattr(self, name).detach().clone() for name, _ in self._latent_sites()}
