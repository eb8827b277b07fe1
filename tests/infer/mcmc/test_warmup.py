"""The schedules of warm-up: they cover the draws, and say what they promise."""

from __future__ import annotations

import numpy
import pytest

from pyroxene.infer.mcmc.warmup import growing_windows, shallow_depth, stan_windows, warmup_windows


@pytest.mark.parametrize("kind", ["windows", "stan"])
def test_windows_cover_the_draws(kind):
    for num_draws in (*range(300), 1000, 2000, 12345):
        windows, done = warmup_windows(kind, num_draws), 0
        for window in windows:
            assert window.num_draws > 0
            done += window.num_draws
            assert window.first is None or 0 <= window.first < done
        assert done == num_draws


def test_our_schedule_ends_with_the_step_size_alone():
    for num_draws in (100, 500, 1000, 5000):
        *adapting, last = growing_windows(num_draws)
        assert last.first is None and last.num_draws >= 50
        assert [window.restart for window in adapting] == [None] * (len(adapting) - 1) + [1.0]
        assert all(window.first is not None for window in adapting)


def test_our_schedule_begins_at_once_and_forgets_the_first_half():
    windows = growing_windows(1000)
    assert windows[0].num_draws == 5
    done = numpy.cumsum([window.num_draws for window in windows])
    assert all(window.first == end // 2 for window, end in zip(windows[:-1], done))
    assert not windows[5].shallow and windows[-2].shallow and not windows[-1].shallow


def test_stan_s_schedule_is_stan_s():
    """Stan Reference Manual: 75, then 25 doubled, the last window extended to the 50 at the end."""
    assert [window.num_draws for window in stan_windows(1000)] == [75, 25, 50, 100, 200, 500, 50]
    assert [window.num_draws for window in stan_windows(100)] == [15, 75, 10]
    assert [window.num_draws for window in stan_windows(19)] == [19]
    assert [window.first for window in stan_windows(1000)] == [None, 75, 100, 150, 250, 450, None]


def test_only_short_even_trajectories_are_cut():
    def depth(*depths: int) -> int:
        return shallow_depth(numpy.array(depths * 20, dtype=float), 10)

    assert depth(3, 3, 3, 3, 2) == 2
    assert depth(4, 4, 4, 4, 3) == 3
    assert depth(2) == depth(1) == 2
    assert depth(5) == depth(7) == 10
    assert depth(2, 3, 4, 5, 6) == depth(1, 3, 5) == 10
    assert shallow_depth(numpy.full(50, 3.0), 1) == 1
