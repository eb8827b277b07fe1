"""Networks of plain torch that flows and amortised guides take their parameters from."""

from __future__ import annotations

from pyroxene.ops.networks.auto_reg_nn import AutoRegressiveNN, ConditionalAutoRegressiveNN, MaskedLinear
from pyroxene.ops.networks.dense_nn import ConditionalDenseNN, DenseNN

__all__ = ["AutoRegressiveNN", "ConditionalAutoRegressiveNN", "ConditionalDenseNN", "DenseNN", "MaskedLinear"]
