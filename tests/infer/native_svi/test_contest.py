"""The choice between engines, given what steps cost; no clock is read here."""

from __future__ import annotations

import pytest

from pyroxene.infer.native_svi.contest import TRIAL, Contest

COSTS = {"native": 1.0, "inductor": 10.0}


def contest(engines=("native", "inductor"), is_sure=False):
    return Contest(engines, is_sure, dict(COSTS))


def take(contest, engine, seconds, steps=TRIAL):
    for _ in range(steps):
        contest.took(engine, seconds)


def test_what_is_sure_is_built_for_a_long_run_or_after_three_calls():
    sure = contest(is_sure=True)
    sure.took("eager", 1e-3)
    assert (sure.due(99), sure.due(100), sure.due(None)) == ("", "native", "")
    take(sure, "eager", 1e-3, steps=2)
    assert sure.due(None) == "native" and "fewer than 100" in sure.reason
    sure.built("native", 0.5)
    assert (sure.engine, sure.is_open, sure.due(10**9), sure.reason) == ("native", False, "", "")


def test_a_known_number_of_steps_must_pay_for_the_build():
    given = contest()
    take(given, "eager", 0.01)
    assert (given.due(199), given.due(201)) == ("", "native")
    assert "building it takes about 1 s" in given.reason


def test_a_single_slow_step_is_no_measure():
    given = contest()
    take(given, "eager", 50.0, steps=1)
    assert given.due(10) == ""
    take(given, "eager", 0.01, steps=TRIAL - 1)
    assert given.seconds("eager") == 0.01 and given.due(None) == ""


def test_steps_of_unknown_number_are_as_many_again_as_there_were():
    given = contest()
    take(given, "eager", 0.01, steps=200)
    assert given.due(None) == ""
    take(given, "eager", 0.01, steps=2)
    assert given.due(None) == "native"


def test_the_faster_one_goes_on():
    given = contest()
    take(given, "eager", 0.01)
    given.built("native", 0.3)
    assert (given.active, given.engine, given.due(10**6)) == ("native", "eager", "")
    take(given, "native", 0.004)
    assert (given.active, given.engine, given.trial) == ("native", "native", "")
    assert given.reason == "a step took 4 ms on native, and 10 ms on eager"


def test_the_slower_one_is_remembered():
    given = contest()
    take(given, "eager", 0.01)
    given.built("native", 0.3)
    take(given, "native", 0.02)
    assert given.active == "eager" and "20 ms on native, and 10 ms on eager" in given.reason
    assert (given.due(3900), given.due(4100)) == ("", "inductor")
    given.built("inductor", 9.0)
    take(given, "inductor", 0.03)
    assert given.active == "eager" and not given.is_open and "30 ms on inductor" in given.reason


def test_torch_compile_is_held_against_what_has_won():
    given = contest()
    take(given, "eager", 0.01)
    given.built("native", 0.3)
    take(given, "native", 0.008)
    assert (given.due(4900), given.due(5100)) == ("", "inductor")
    given.built("inductor", 9.0)
    take(given, "inductor", 0.009)
    assert given.engine == "native"


def test_what_cannot_be_faster_is_not_built():
    given = contest()
    take(given, "eager", 0.01)
    given.built("native", 0.3)
    take(given, "native", 1e-4)
    assert given.due(10**9) == "" and not given.is_open


@pytest.mark.parametrize("is_sure", [True, False])
def test_what_cannot_be_built_gives_way(is_sure):
    given = contest(is_sure=is_sure)
    take(given, "eager", 0.01)
    assert given.due(1000) == "native"
    given.refuse("native", "it has no form in C")
    assert given.due(1000) == "" and given.reason.startswith("it has no form in C; inductor: building it takes")
    assert given.due(5000) == "inductor"


def test_what_building_took_is_what_it_costs():
    costs = dict(COSTS)
    first = Contest(["native"], True, costs)
    first.built("native", 4.0)
    second = Contest(["native"], False, costs)
    take(second, "eager", 0.01)
    assert (second.due(700), second.due(900)) == ("", "native")
