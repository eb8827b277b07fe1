"""Frames of plates: equality, hashing, whether they are batch dimensions."""

from __future__ import annotations

import torch

from pyroxene.poutine.message import CondIndepStackFrame


def test_frames_compare_by_name_dim_size_and_counter():
    frame = CondIndepStackFrame("p", -1, 3, 0)
    assert frame == CondIndepStackFrame("p", -1, 3, 0, full_size=10)
    assert hash(frame) == hash(CondIndepStackFrame("p", -1, 3, 0, full_size=10))
    for other in (("q", -1, 3, 0), ("p", -2, 3, 0), ("p", -1, 4, 0), ("p", -1, 3, 1)):
        assert frame != CondIndepStackFrame(*other)
    assert frame != ("p", -1, 3, 0, None)


def test_a_frame_whose_size_is_a_tensor_can_be_compared_and_hashed():
    frame = CondIndepStackFrame("p", -1, torch.tensor(3), 0)
    assert frame == CondIndepStackFrame("p", -1, torch.tensor(3), 0)
    assert len({frame, CondIndepStackFrame("p", -1, torch.tensor(3), 0)}) == 1


def test_a_loop_is_not_vectorized():
    assert CondIndepStackFrame("p", -1, 3, 0).vectorized
    assert not CondIndepStackFrame("p", None, 3, 1).vectorized
