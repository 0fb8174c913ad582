"""Sustained rows: read with the short runs of all files, fitted on the power balance, answered in domain."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import DTYPES
from gpuprobe.predict import artefact, evaluate, fitting, fitting_lasting, zero_shot
from gpuprobe.predict.arithmetic import ARRAY, SCALAR
from gpuprobe.predict.boosting import Recipe
from gpuprobe.predict.core import Problem, bound, core, rates
from gpuprobe.predict.dataset import LASTING, Dataset, read_sweep
from gpuprobe.predict.errors_of import summary
from gpuprobe.predict.features import features
from gpuprobe.predict.forest import with_constant
from gpuprobe.predict.power import core_blocks, sustained
from gpuprobe.predict.predictor import Predictor
from gpuprobe.predict.quick import bound_of, quick
from gpuprobe.predict.train import Class, Job, settle, train, with_settled

from .synthetic import MACHINE, dataset

POWER = replace(MACHINE, static_w=120.0, joule_per_flop=0.6e-12, joule_per_byte=60e-12)
RATES = rates(MACHINE, DTYPES["bf16"])
SMALL = Recipe(trees=40, depth=4, step=0.25, damping=1.0, bins=32)


def sustained_rows(rows=240, seed=3):
    """Rows that follow a balance of other constants than the machine's, 10 % slower, with 1 % noise."""
    short = dataset(rows, seed)
    problem = Problem(short.m, short.n, short.k, 2.0, 2.0, short.nn)
    blocks = core_blocks(problem, POWER, ARRAY)
    state = sustained(problem, core(problem, RATES, ARRAY), short.targets["cold"], blocks, POWER, ARRAY)
    noise = np.exp(0.01 * np.random.default_rng(seed).normal(size=(3, rows)))
    values = (1.1 * state.time_s, state.power_w, 0.95 * state.sm_clock_hz)
    targets = {name: value * error for name, value, error in zip(LASTING, values, noise, strict=True)}
    return Dataset("bf16", short.m, short.n, short.k, short.nn, targets, {}, short.kernel)


@pytest.fixture(scope="module", autouse=True)
def small_forests():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting, "SPREAD_RECIPE", Recipe(trees=10, depth=4, step=0.3, bins=16))
        patch.setattr(fitting_lasting, "_RECIPE", Recipe(trees=12, depth=4, step=0.25, damping=6.0, bins=16))
        patch.setattr(fitting_lasting, "_SPREADS", Recipe(trees=10, depth=4, step=0.3, damping=20.0, bins=16))
        yield


@pytest.fixture(scope="module")
def both():
    head, held_out = fitting.fit(dataset(900), MACHINE, SMALL, 3, "made up", lambda text: None, sustained_rows())
    (settled,) = settle([held_out])
    return with_settled(head, settled), held_out, settled


def test_held_out_time_power_and_energy_come_near_the_noise(both):
    settled = both[2].judged
    time, power, clock = settled.errors.T
    assert summary(time)[1] < 6 and summary(power)[1] < 5 and summary(clock)[1] < 3
    assert summary(time + power)[1] < 8
    analytic = sustained_rows().targets["power"]
    assert both[0].machine.static_w == pytest.approx(120, rel=0.4) and (analytic <= 1.1 * 700).all()
    inside = [
        np.mean((errors >= np.array(band)[settled.regimes][:, 0] * spread)
                & (errors <= np.array(band)[settled.regimes][:, 1] * spread))
        for errors, spread, band in zip(settled.errors.T, settled.spreads.T, settled.bands, strict=True)
    ]  # fmt: skip
    assert all(0.85 < share < 0.96 for share in inside)


def test_the_artefact_keeps_it_and_the_predictor_says_that_it_knows(both, tmp_path):
    artefact.write(tmp_path / "gemm.npz", "h100-sxm", "gpuprobe", [both[0]])
    predictor = Predictor.from_file(tmp_path / "gemm.npz")
    one = predictor.gemm(2048, 4096, 4096)
    assert one.sustained_in_domain and one.in_domain and one.document()["sustained"]["in_domain"]
    assert one.energy_j.value == pytest.approx(one.sustained.value * one.power_w.value)
    many = predictor.gemm_many([[2048, 4096, 4096], [10**6, 10**6, 10**6]])
    triples = (("sustained_us", one.sustained, 1e6), ("power_w", one.power_w, 1.0))
    for name, interval, factor in triples:
        values = [many[name + end][0] / factor for end in ("", "_low", "_high")]
        assert np.allclose(values, interval, rtol=1e-5) and interval.low <= interval.value <= interval.high
    assert many["sm_mhz"][0] == pytest.approx(one.sm_clock_hz * 1e-6, rel=1e-5)
    assert many["sustained_us_high"][1] / many["sustained_us"][1] > 1.2
    assert not predictor.gemm(10**6, 10**6, 10**6).sustained_in_domain
    assert not predictor.gemm(2048, 4096, 4096, "fp16").sustained_in_domain
    with np.load(tmp_path / "gemm.npz") as archive:
        header = json.loads(archive["header"].tobytes())
    assert "lasting" in header["heads"][0]


def test_another_gpu_of_the_chip_stands_in_marked_and_wider(both, tmp_path):
    own = fitting.fit(dataset(300), MACHINE, SMALL, 2, "made up; power analytic", lambda text: None)[0]
    lent = zero_shot.lasting_of(own, both[0], "h200-sxm")
    assert lent.machine.static_w == both[0].machine.static_w and lent.machine.launch_s == own.machine.launch_s
    assert zero_shot.lasting_of(own, own, "h200-sxm") is own  # it has none either
    artefact.write(tmp_path / "gemm.npz", "h100-sxm", "gpuprobe", [lent])
    one = Predictor.from_file(tmp_path / "gemm.npz").gemm(2048, 4096, 4096)
    assert one.in_domain and not one.sustained_in_domain and one.protocol.endswith("by the model of h200-sxm")
    of_own = both[0].lasting.bands[1][0]
    assert lent.lasting.bands[1][0][0] < of_own[0] <= 0 <= of_own[1] < lent.lasting.bands[1][0][1]


def test_heads_of_an_artefact_share_one_sustained_forest(both, tmp_path):
    other = replace(both[0].lasting, forest=with_constant(both[0].lasting.forest, 0.0))
    heads = [both[0], replace(both[0], ragged=1, lasting=other)]
    with pytest.raises(ValueError, match="share"):
        artefact.write(tmp_path / "gemm.npz", "h100-sxm", "gpuprobe", heads)


def test_few_sustained_rows_leave_the_balance_analytic():
    few = sustained_rows(rows=36)
    head, held_out = fitting.fit(dataset(rows=400), MACHINE, SMALL, 2, "made up", lambda text: None, few)
    assert settle([held_out]) == [None] and with_settled(head, None) is head


def test_tables_and_card_hold_sustained_power_clock_and_energy(both, tmp_path):
    job = Job("h100-sxm", "gpuprobe", "made up", (Class(dataset(300), SMALL, sustained_rows(60)),))
    rows = {(row.group, row.target): row for row in evaluate.tables(job, both[1], both[2])}
    for target in (*LASTING, "energy"):
        assert rows["bf16 aligned", target].rows == 240
    train(job, tmp_path, lambda text: None)
    card = json.loads((tmp_path / "h100-sxm" / "card.json").read_text())
    entry = card["models"]["gpuprobe"]["classes"][0]
    assert entry["sustained_rows"] == 60 and {*LASTING, "energy", "hot", "cold"} == entry["errors"].keys()


def write(path, rows):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    names = (
        "m",
        "n",
        "k",
        "dtype",
        "layout",
        "regime",
        "time_us",
        "power_w",
        "sm_mhz",
        "error",
        "family_of_kernel",
        "family",
        "grid_x",
        "grid_y",
        "grid_z",
    )
    parquet.write_table(arrow.Table.from_pylist([dict(zip(names, row, strict=True)) for row in rows]), path)


def test_files_of_one_type_merge_and_sustained_rows_come_apart(tmp_path):
    shape, grid = (1, 64, 64, "bf16", "tn"), (2, 3, 4)
    condition, unsure = (300.0, 1500.0, "", "x", "llm", *grid), ("", "x", "unsure", *grid)
    write(tmp_path / "a.parquet", [(*shape, "hot", 10.0, *condition), (*shape, "cold", 12.0, *condition)])
    write(tmp_path / "b.parquet", [
        (*shape, "hot", 11.0, *condition), (*shape, "cold", 13.0, *condition),
        (2, *shape[1:], "hot", 5.0, None, None, *unsure), (2, *shape[1:], "cold", 6.0, None, None, *unsure),
        (*shape, "hot", 10.5, None, None, *unsure),
        (*shape, "sustained", 14.0, *condition), (2, *shape[1:], "sustained", 15.0, None, 1500.0, *unsure),
        (3, *shape[1:], "hot", None, None, None, "unsupported", "", "llm", None, None, None),
    ])  # fmt: skip
    ((short, slow),) = read_sweep(sorted(tmp_path.glob("*.parquet")))
    assert short.m.tolist() == [1, 2] and short.targets["hot"].tolist() == pytest.approx([10.5e-6, 5e-6])
    assert short.targets["blocks"].tolist() == [24.0, 24.0]
    assert short.fair.tolist() == [True, False]  # a GEMM that was also sampled is fair
    assert short.twice["cold"].tolist() == [pytest.approx([12e-6, 13e-6])]
    assert slow.m.tolist() == [1]  # the other row has no power
    assert [slow.targets[name][0] for name in LASTING] == pytest.approx([14e-6, 300.0, 1.5e9])
    write(tmp_path / "b.parquet", [(*shape, "hot", 11.0, *condition[:-3], None, None, None)])
    write(tmp_path / "a.parquet", [(4, *shape[1:], regime, 10.0, *condition) for regime in ("hot", "cold")])
    ((short, _),) = read_sweep(sorted(tmp_path.glob("*.parquet")))
    assert short.targets.keys() == {"hot", "cold"}  # one kernel is not known
    (tmp_path / "c.parquet").write_bytes(b"none")
    with pytest.raises(GpuprobeError, match="cannot read"):
        read_sweep([tmp_path / "c.parquet"])


@settings(deadline=None)
@given(
    *[st.integers(1, 2**31 - 1) | st.integers(1, 4096)] * 3,
    st.sampled_from([0.0, 1.0]),
    st.booleans(),
    st.sampled_from(sorted(DTYPES)),
)
def test_the_quick_formulas_are_those_for_arrays(m, n, k, nn, warm, name):
    dtype = DTYPES[name]
    widths = dtype.input_bytes, dtype.output_bytes
    problem, rate = Problem(float(m), float(n), float(k), *widths, nn), rates(MACHINE, dtype, warm=warm)
    parts = core(problem, rate, SCALAR)
    fast, row = quick(m, n, k, nn, rate, widths)
    assert np.allclose(fast[:5], parts[:5], rtol=1e-12)
    assert bound_of(fast) == bound(parts, SCALAR)
    assert np.allclose(row, features(problem, parts, SCALAR), rtol=1e-9, atol=1e-9)


def test_sustained_rows_of_another_gpu_train_but_not_of_pairs_judged_and_judge_nothing(both):
    few, theirs = both[1].colds, sustained_rows(240, seed=5)
    own = fitting_lasting.Colds(few.data.where(np.arange(240) < 60), MACHINE, few.fold[:60])
    own.cold_s, own.blocks = few.cold_s[:60], few.blocks[:60]
    # the other GPU draws 30 % more power and is 20 % slower: its own balance holds most of that, the trees are told
    factors = {"sustained": 1.2, "power": 1.3, "clock": 1.0}
    theirs = replace(theirs, targets={name: factors[name] * values for name, values in theirs.targets.items()})

    def kin(data):
        return fitting_lasting.Colds(data, MACHINE, data.folds(3))

    alone, helped = fitting_lasting.fit([own])[0], fitting_lasting.fit([own], [kin(theirs)])[0]
    assert len(helped.judged.errors) == 60 and helped.machine == alone.machine
    assert abs(np.median(helped.judged.errors[:, 1])) < 0.05
    wild = {name: np.where(theirs.folds(3) == 0, 3 * values, values) for name, values in theirs.targets.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fitting_lasting, "_tuned", lambda parts: [part.machine for part in parts])
        first, second = (
            fitting_lasting.fit([own], [kin(replace(theirs, targets=targets))])[0].judged.errors
            for targets in (theirs.targets, wild)
        )
    judged = own.fold == 0
    assert np.array_equal(first[judged], second[judged]) and not np.array_equal(first, second)


def test_few_sustained_rows_of_another_gpu_are_left_out(both):
    colds = both[1].colds
    few = fitting_lasting.Colds(sustained_rows(30, seed=5), MACHINE, sustained_rows(30, seed=5).folds(3))
    alone, beside = fitting_lasting.fit([colds])[0], fitting_lasting.fit([colds], [few])[0]
    assert np.array_equal(alone.judged.errors, beside.judged.errors)
