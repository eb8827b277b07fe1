"""Statistics of a stream equal those of the stacked draws, however the stream is cut and merged."""

from __future__ import annotations

import pickle

import pytest
import torch

from pyroxene.ops.streaming import (
    CountMeanStats,
    CountMeanVarianceStats,
    CountStats,
    StackStats,
    StatsOfDict,
    StreamingStats,
)

DRAWS = torch.tensor([[1.0, 2.0], [2.0, 5.0], [0.0, 0.0], [4.0, -1.0], [3.0, 3.0]])
EXPECTED = {
    CountStats: lambda x: {"count": len(x)},
    CountMeanStats: lambda x: {"count": len(x), "mean": x.mean(0)},
    CountMeanVarianceStats: lambda x: {"count": len(x), "mean": x.mean(0), "variance": x.var(0)},
    StackStats: lambda x: {"count": len(x), "samples": x},
}


def fed(kind, draws):
    stats = kind()
    for draw in draws:
        stats.update(draw)
    return stats


def assert_equal(got, expected):
    assert list(got) == list(expected)
    for name in expected:
        torch.testing.assert_close(got[name], expected[name])


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("cut", range(6))
def test_merging_two_parts_is_taking_in_all(kind, cut):
    first, second = fed(kind, DRAWS[:cut]), fed(kind, DRAWS[cut:])
    merged = first.merge(second)
    assert isinstance(merged, StreamingStats)
    assert_equal(merged.get(), EXPECTED[kind](DRAWS))
    merged.update(DRAWS[0])  # the parts are not touched
    if cut > 1:
        assert_equal(first.get(), EXPECTED[kind](DRAWS[:cut]))
    if cut < 4:
        assert_equal(second.get(), EXPECTED[kind](DRAWS[cut:]))


@pytest.mark.parametrize("kind", EXPECTED)
def test_nothing_taken_in(kind):
    assert kind().get() == {"count": 0}
    assert kind().merge(kind()).get() == {"count": 0}


def test_the_variance_of_one_draw_is_unknown():
    assert fed(CountMeanVarianceStats, DRAWS[:1]).get()["variance"].isnan().all()


def test_statistics_do_not_share_memory_with_the_draw():
    draw = torch.ones(2)
    stats = fed(CountMeanStats, [draw])
    draw.zero_()
    assert stats.get()["mean"].tolist() == [1.0, 1.0]


def test_a_dict_has_a_statistic_for_each_key():
    stats = StatsOfDict(types={"a": CountMeanStats}, default=CountStats)
    stats.update({"a": torch.tensor(1.0), "b": torch.zeros(3)})
    other = StatsOfDict(types={"a": CountMeanStats}, default=StackStats)
    other.update({"a": torch.tensor(3.0), "c": torch.tensor(7.0)})
    merged = stats.merge(other)
    assert merged.get() == {
        "a": {"count": 2, "mean": torch.tensor(2.0)},
        "b": {"count": 1},
        "c": {"count": 1, "samples": torch.tensor([7.0])},
    }
    assert stats.get()["a"]["count"] == 1


def test_nested_dicts_and_pickles():
    stats = StatsOfDict(default=lambda: StatsOfDict(default=CountMeanStats))
    stats.update({0: {"x": torch.tensor(2.0)}})
    assert stats.get()[0]["x"]["mean"] == 2.0
    plain = fed(CountMeanVarianceStats, DRAWS)
    assert_equal(pickle.loads(pickle.dumps(plain)).get(), plain.get())
