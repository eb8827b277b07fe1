"""Torch's stream of random numbers, continued in C."""

from __future__ import annotations

import numpy
import pytest
import torch

from pyroxene.infer.native_svi import loop as module
from pyroxene.infer.native_svi.loop import TorchStream, loop_library


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_normals_and_uniforms_are_torch_s(dtype):
    library, narrow = loop_library(), dtype == torch.float32
    torch.manual_seed(5)
    torch.rand(3)
    state = torch.get_rng_state()
    for kind, count in [("u", 4), ("n", 1), ("n", 3), ("u", 2), ("n", 16), ("n", 8), ("n", 37), ("u", 700), ("n", 5)]:
        expected = (torch.randn if kind == "n" else torch.rand)(count, dtype=dtype).double()
        found = numpy.empty(count)
        fill = library.svi_normals if kind == "n" else library.svi_uniforms
        fill(state.data_ptr(), found.ctypes.data, count, narrow)
        # torch's own vector functions differ from libm's in the last bits of float32
        torch.testing.assert_close(
            torch.from_numpy(found), expected, rtol=2e-6 if narrow else 1e-14, atol=1e-6 if narrow else 1e-15
        )
        assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("size, count", [(10, 3), (10, 9), (2, 1), (626, 5), (625, 2), (1249, 1), (16384, 5)])
def test_subsets_are_the_beginnings_of_torch_s_permutations(size, count):
    torch.manual_seed(7)
    torch.rand(5)
    state = torch.get_rng_state()
    order, moves, found = numpy.arange(size), numpy.empty(count, dtype=numpy.int64), numpy.empty(count)
    doors = [array.ctypes.data for array in (found, order, moves)]
    loop_library().svi_subset(state.data_ptr(), doors[0], count, doors[1], doors[2], size)
    assert found.tolist() == torch.randperm(size)[:count].tolist()
    assert torch.equal(state, torch.get_rng_state())
    assert (order == numpy.arange(size)).all()


def test_a_large_plate_gives_a_subset_still():
    size, count = 50_000, 1000
    state = torch.Generator().manual_seed(1).get_state()
    order, moves, found = numpy.arange(size), numpy.empty(count, dtype=numpy.int64), numpy.empty(count)
    doors = [array.ctypes.data for array in (found, order, moves)]
    loop_library().svi_subset(state.data_ptr(), doors[0], count, doors[1], doors[2], size)
    assert len(set(found.tolist())) == count and 0 <= found.min() and found.max() < size
    assert (order == numpy.arange(size)).all()


def test_another_generator_gives_a_seed(monkeypatch):
    """Where torch's generator were another one, runs would depend on the seed and be repeatable all the same."""
    monkeypatch.setattr(module, "_knows_torch", lambda: False)
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        stream = TorchStream()
        stream.take()
        numbers = numpy.empty(20_000)
        loop_library().svi_normals(stream.address, numbers.ctypes.data, len(numbers), 0)
        stream.give()
        found.append(numbers)
    assert (found[0] == found[1]).all() and (found[0] != found[2]).all()
    # of 20 000 standard normals the mean is within 6 / sqrt(20 000), the variance within 6 sqrt(2 / 20 000), of theirs:
    # each fails with probability 2e-9
    assert abs(found[0].mean()) < 6 / 20_000**0.5 and abs(found[0].var() - 1) < 6 * (2 / 20_000) ** 0.5


def test_two_runs_at_a_time_draw_different_numbers():
    torch.manual_seed(3)
    streams = [TorchStream(), TorchStream(), TorchStream()]
    found = [numpy.empty(3) for _ in streams]
    for stream in streams:
        stream.take()
    for stream, numbers in zip(streams, found):
        loop_library().svi_normals(stream.address, numbers.ctypes.data, 3, 0)
    for stream in reversed(streams):
        stream.give()
    assert len({numbers[0] for numbers in found}) == 3
    expected = torch.randn(4, generator=torch.Generator().manual_seed(3), dtype=torch.float64).tolist()
    assert found[0].tolist() == expected[:3] and torch.randn((), dtype=torch.float64).item() == expected[3]


def test_seeding_is_torch_s():
    state = torch.zeros(5056, dtype=torch.uint8)
    loop_library().svi_seed(state.data_ptr(), 123)
    found = numpy.empty(5)
    loop_library().svi_uniforms(state.data_ptr(), found.ctypes.data, 5, 0)
    expected = torch.rand(5, generator=torch.Generator().manual_seed(123), dtype=torch.float64)
    assert found.tolist() == expected.tolist()
