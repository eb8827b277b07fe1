"""Files of parameter stores: our own, and one that pyro-ppl 1.9.2 wrote."""

from __future__ import annotations

import base64
import io
import zlib

import pytest
import torch

from pyroxene.distributions import constraints
from pyroxene.errors import DataError
from pyroxene.params import ParamStoreDict
from pyroxene.params.checkpoint import load_state, same_constraint, save_state

# Written by the `save` of pyro-ppl 1.9.2, shown as base85 of zlib; it holds what `test_a_file_of_pyro_s` expects.
# Constraints: scale positive, p simplex, i interval(0, 2), soft softplus_positive, tril lower_cholesky; the weight is
# that of a module "net", registered with pyro.module.
BY_PYRO = (
    r"c-p0w&2Jk;7{=F*?YP^-"
    r"aY9NyS^|_59B7^O`ZG=11gC6Twt#V4$*Pd7wLQ(Qy7BtmolOYHs0by1)C;uY2;AU`K;lq|mJ?@g9N@&M0*QZtncX<qosgKuD_JAi^Lw9XJo7%Y"
    r"CAlxeanUHZ?}>9GoMP5hZ5_=v6s#m$w{@u)<8Jz%JHa+^iAsb3EyYyUEC{qAn5YEE7Yg*%u|Y~Ct2Wkji?5ofW@~z*ic!-"
    r"t%<8(xLnx7`^pnXJnW?NI2)hU`>4t)@xnJ@SaS961U+E)by=6mG4q!O;w#?1Ud{VC)x{m5tGny9vmf1iiYFyIlm<N8Q4977Hlwq(ErYdzsM-Wq"
    r"qsv1_^swo&!ooaEnno6Nz3?pTD%9+rDQ6C_}2?7K$JWT*OxCLW!U<<}wa00_*8BRJAH8|x1)9{R|H04ox7Q=I8c)k*%_KaH?PWzY)yx=m^9_9>"
    r"&7t8RH!(da>A>m`PFhiIShL;_Ka&Q}7Awysr&bs_L49POgRtCuACc@Lx(;G-"
    r"zRWS$$Y?!mR2qTk+lus%LqH8Zrr2<qV;||$R9jP3Kd>IO^?%c<4z6|qr<v86%vRl|xv?jJ-p$!)jYUj8#H1dO1vz-l1dgk%fGE#INF3x-"
    r"ii)yU<^c52+#PxMmY4Wf{s8`!ibkucY1DVyDVK*DFywW-JR!tr4UiF%`*3!|tJX|6bUsF$YC$2P!i*;&UBFIV`E+^DIRmYIsYV8`jva+=ElU-"
    r"9!*IS#Wai|}1Y+AZ)l?+S6q+fY>ov6rdxT^Y=mgsKuD*aoQRYOPC?M)uuAa&kU1$EK3lO?%78fY)S{}*XN`Y9b49b+UsI?<85WteLUuC61~B63"
    r"o3z?UE?TJ^_&e*cIbCi*$J>Li!ntGW{xRYliUn`@|vrDB?irvLTiGStB020RWDiQu6IhPlOE1GP<z44O1jasDW}ok!O&))Dovb>Ytm8l#azJ;b"
    r"<+zEqwSq~iG=3~=0|MXGL``RyH=CZR6sOMdl~R9xs~`8UVSl%xMg?wfl@&=-5x|L$R2zV{RLFfj4>TPhmu;$gw>AuSaPNA__2tGf@W_6I-"
    r"TtsY_hnO@g_`N6^x)h}&7`u+&|*<STo1?uI7{NV4n^9FLbmyF*_PAUrAlk4Ac*8fZ7q~3k~L!JcK4YZ#6Kh0D1U%y<v(LH~rIB_okoh4hy)JOu"
    r"pr_dy?Y7MEFd_prqt}vGs=d!s>zK|7#TsE68q{KoxCCuf-LSar2(t?;53e@HOA5O#)#7Dw$8K7o&eR?m3_&(?Cdn8MHFMu&0IUnK<x=Pq0-"
    r"VmSk75U6tWZ%uf*6{}Mu&>TYnA?8=u(&r#V?O+gFvny!%X(AL&yGeIHpQ~u^zyU!Syp6OZ~FMz@qUI)v#d8c7+sdlu&lS!ne|2)Hp{Z!j`g!&v"
    r"uuuKz5O=i*FDCu9nQkuHkk6kpL^i{ZqSk(iJa}UbKkjLa*!GGeePJ`JFyt)cMjLi1ourT9C4XJXTCf4U!Gbx;{"
)


def file_of_pyro():
    return io.BytesIO(zlib.decompress(base64.b85decode(BY_PYRO)))


CONSTRAINTS = {
    "real": constraints.real,
    "positive": constraints.positive,
    "interval": constraints.interval(-1.0, 2.0),
    "tensor bounds": constraints.greater_than_eq(torch.tensor([0.0, 1.0])),
    "independent": constraints.independent(constraints.positive, 1),
    "stack": constraints.stack([constraints.positive, constraints.real], 0),
    "cat": constraints.cat([constraints.positive, constraints.real], 0, [1, 1]),
    "simplex": constraints.simplex,
    "softplus": constraints.softplus_lower_cholesky,
    "ordered": constraints.ordered_vector,
    "multinomial": constraints.multinomial(3),
}


def test_a_file_of_ours_holds_plain_data():
    file = io.BytesIO()
    save_state({"params": {name: torch.ones(2) for name in CONSTRAINTS}, "constraints": CONSTRAINTS}, file)
    file.seek(0)
    plain = torch.load(file, weights_only=True)
    assert set(plain["params"]) == set(CONSTRAINTS)
    file.seek(0)
    state = load_state(file)
    for name, constraint in CONSTRAINTS.items():
        assert same_constraint(state["constraints"][name], constraint), name
        assert state["params"][name].tolist() == [1, 1]


def test_a_file_of_pyro_s():
    store = ParamStoreDict()
    store.load(file_of_pyro())
    expected = {
        "a": 1.5, "scale": 2.0, "p": [0.25, 0.75], "i": 0.5, "soft": 3.0, "tril": [[1.0, 0.0], [0.0, 1.0]],
        "net$$$weight": [[4.0]],
    }  # fmt: skip
    assert list(store) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(store[name], torch.tensor(value))
    kept = store.get_state()["constraints"]
    assert same_constraint(kept["i"], constraints.interval(0.0, 2.0)) and same_constraint(kept["a"], constraints.real)
    file = io.BytesIO()
    store.save(file)
    file.seek(0)
    again = ParamStoreDict()
    again.load(file, map_location="cpu")
    assert all((again[name] == store[name]).all() for name in expected)


@pytest.mark.parametrize("one", CONSTRAINTS)
def test_constraints_are_the_same_as_themselves_only(one):
    for other, constraint in CONSTRAINTS.items():
        assert same_constraint(CONSTRAINTS[one], constraint) == (one == other)
    assert not same_constraint(constraints.interval(0.0, 1.0), constraints.interval(0.0, 2.0))
    assert same_constraint(constraints.interval(0.0, torch.tensor(1.0)), constraints.interval(0.0, 1.0))


def test_a_constraint_of_one_s_own_cannot_be_written():
    class Mine(constraints.Constraint):
        pass

    with pytest.raises(DataError, match="cannot be written") as caught:
        save_state({"params": {}, "constraints": {"x": Mine()}}, io.BytesIO())
    assert "weights_only=False" in caught.value.hint


@pytest.mark.parametrize(
    "content", [{"params": {}}, [1, 2], {"params": {}, "constraints": {"x": {"constraint": "gone"}}}]
)
def test_files_that_hold_something_else(content):
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    with pytest.raises(DataError):
        load_state(file)
