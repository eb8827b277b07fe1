"""The handlers, by what they do: record, decide values, weigh, hide, plates, enumerate, branch, rewrite, guide."""

from __future__ import annotations

from pyroxene.poutine.handlers._make import _make_handler
from pyroxene.poutine.handlers.branching import all_escape, discrete_escape, enum_extend, mc_extend, queue
from pyroxene.poutine.handlers.enumeration import EnumMessenger, MarkovMessenger, enum, enumerate_site, markov
from pyroxene.poutine.handlers.guide import GuideMessenger
from pyroxene.poutine.handlers.plates import (
    BroadcastMessenger,
    IndepMessenger,
    PlateMessenger,
    SubsampleMessenger,
    block_plate,
    broadcast,
)
from pyroxene.poutine.handlers.record import TraceHandler, TraceMessenger, identify_dense_edges, trace
from pyroxene.poutine.handlers.rewrite import (
    EqualizeMessenger,
    InferConfigMessenger,
    LiftMessenger,
    ReparamHandler,
    ReparamMessenger,
    equalize,
    infer_config,
    lift,
    reparam,
)
from pyroxene.poutine.handlers.values import (
    ConditionMessenger,
    DoMessenger,
    ReplayMessenger,
    SeedMessenger,
    SubstituteMessenger,
    UnconditionMessenger,
    condition,
    do,
    replay,
    seed,
    substitute,
    uncondition,
)
from pyroxene.poutine.handlers.visibility import BlockMessenger, EscapeMessenger, block, escape
from pyroxene.poutine.handlers.weights import MaskMessenger, ScaleMessenger, mask, scale

__all__ = [
    "BlockMessenger",
    "BroadcastMessenger",
    "ConditionMessenger",
    "DoMessenger",
    "EnumMessenger",
    "EqualizeMessenger",
    "EscapeMessenger",
    "GuideMessenger",
    "IndepMessenger",
    "InferConfigMessenger",
    "LiftMessenger",
    "MarkovMessenger",
    "MaskMessenger",
    "PlateMessenger",
    "ReparamHandler",
    "ReparamMessenger",
    "ReplayMessenger",
    "ScaleMessenger",
    "SeedMessenger",
    "SubsampleMessenger",
    "SubstituteMessenger",
    "TraceHandler",
    "TraceMessenger",
    "UnconditionMessenger",
    "_make_handler",
    "all_escape",
    "block",
    "block_plate",
    "broadcast",
    "condition",
    "discrete_escape",
    "do",
    "enum",
    "enum_extend",
    "enumerate_site",
    "equalize",
    "escape",
    "identify_dense_edges",
    "infer_config",
    "lift",
    "markov",
    "mask",
    "mc_extend",
    "queue",
    "reparam",
    "replay",
    "scale",
    "seed",
    "substitute",
    "trace",
    "uncondition",
]
