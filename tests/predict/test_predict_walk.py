"""The native walk against numpy's: the same bits of every forest, formula and shipped model's predictions."""

import copy
import itertools
import pickle
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpuprobe import device
from gpuprobe.errors import GpuprobeError
from gpuprobe.native import forest as native_forest
from gpuprobe.native.forest import FEATURES, FOREST, INPUTS, PLACES, WIDTH
from gpuprobe.native.part import Part, find_compiler
from gpuprobe.ops.gemm import DTYPES, LAYOUTS
from gpuprobe.predict import Predictor, forest, walk
from gpuprobe.predict.arithmetic import SCALAR
from gpuprobe.predict.core import Problem, bound, core, rates
from gpuprobe.predict.features import features
from gpuprobe.predict.forest import LEVELS, Forest
from gpuprobe.predict.head import Head
from gpuprobe.predict.machine import machine
from gpuprobe.predict.predictor import COLUMNS
from gpuprobe.predict.quick import bound_of, quick
from gpuprobe.predict.shipped import devices
from gpuprobe.predict.tape import OPERATIONS, Tape

pytestmark = pytest.mark.skipif(find_compiler() is None, reason="there is no C++ compiler here")
MEASURED = ("h100-sxm", "h200-sxm")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """An own cache, so that what is tested is what these sources say."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("GPUPROBE_CACHE", str(folder))
        patch.delenv(FOREST.switch, raising=False)
        assert FOREST.library(worth_building=True) is not None
        yield folder


def random_forest(seed, trees, depth, outputs, split, scale=1.0, features=9):
    """A forest whose leading trees, if ``split``, speak of the first half of the outputs alone."""
    rng = np.random.default_rng(seed)
    threshold = np.full((trees, LEVELS), np.inf, np.float32)
    threshold[:, :depth] = rng.choice([*rng.normal(size=20), 0.0, np.inf, -np.inf, 1e-45, 3e38], (trees, depth))
    leaves = (scale * rng.normal(size=(trees, 2**depth, outputs))).astype(np.float32)
    if split and outputs % 2 == 0:
        first = trees // 2
        leaves[:first, :, outputs // 2 :] = leaves[first:, :, : outputs // 2] = 0
    feature = rng.integers(0, features, (trees, LEVELS)).astype(np.int16)
    return Forest(feature, threshold, leaves, rng.normal(size=outputs))


def native(made):
    """The forest natively walked."""
    found = made.walk or made._asked_for(walk.WORTH_BUILDING)
    assert found is not None
    return found


NUMBERS = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300) | st.integers(-5, 2**62)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 1000), st.integers(0, 30), st.integers(1, LEVELS), st.integers(1, 9), st.booleans(),
    st.sampled_from([1e-7, 1.0, 30.0, 1e30]), st.integers(1, 150), st.data(),
)  # fmt: skip
def test_the_same_bits_of_any_forest(seed, trees, depth, outputs, split, scale, rows, data):
    made = random_forest(seed, trees, depth, outputs, split, scale)
    columns = np.random.default_rng(seed).choice([*made.threshold.ravel()[:20], 0.5, -0.5], (9, rows)).astype(float)
    columns = np.nan_to_num(columns, posinf=1e39, neginf=-1e39)
    columns[:, 0] = data.draw(st.lists(NUMBERS, min_size=9, max_size=9))
    with np.errstate(over="ignore"):
        table = columns.astype(np.float32)
        by_numpy = made._many(table)
        assert native(made).many(table).tobytes() == by_numpy.tobytes()
        for row in {0, rows - 1}:
            values = columns[:, row].tolist()
            assert native(made).one(values) == made._one(values) == by_numpy[row].tolist()


def test_sums_are_those_of_the_leaves():
    made = random_forest(3, 200, 6, 6, split=True, scale=0.1)
    table = np.random.default_rng(0).normal(size=(9, 300)).astype(np.float32)
    exact = np.zeros((300, 6))
    for feature, threshold, leaves in zip(made.feature, made.threshold, made.leaves.astype(np.float64), strict=True):
        exact += leaves[((table[feature[:6]] > threshold[:6, None]) << np.arange(6)[:, None]).sum(axis=0)]
    assert native(made).many(table) == pytest.approx(exact + made.base, abs=200 * 2.0**-24)
    stored = made.rounded()
    exact = np.zeros((300, 6))
    for feature, threshold, leaves in zip(made.feature, made.threshold, stored.leaves.astype(np.float64), strict=True):
        exact += leaves[((table[feature[:6]] > threshold[:6, None]) << np.arange(6)[:, None]).sum(axis=0)]
    assert np.array_equal(stored._many(table), exact + made.base)  # stored leaves are summed without any rounding


def in_numpy(patch):
    """Every forest in numpy and every formula in Python, those too that were natively walked before."""
    patch.setattr(Head, "_query", None)
    patch.setattr(Forest, "one", Forest._one)
    patch.setattr(Forest, "many", lambda self, columns: self._many(np.array(columns, np.float32)))


SIZES = st.integers(1, 300) | st.integers(1, 20000) | st.integers(1, 2**31 - 1)


@pytest.mark.parametrize("gpu", sorted({*MEASURED, *devices(), "l4"}))
def test_the_same_predictions_to_the_bit(gpu, monkeypatch):
    rng = np.random.default_rng(7)
    sizes = np.exp(rng.uniform(0, np.log(30000), (300, 3))).astype(int)
    sizes[::2] = sizes[::2] // 16 * 16 + 16
    by_walk, by_numpy = Predictor.load(gpu), Predictor.load(gpu)
    kinds = [kind for kind in itertools.product(DTYPES, LAYOUTS) if (gpu, kind[0]) != ("a100-sxm-80gb", "fp8")]
    asked = [(*map(int, row), dtype, layout) for row, (dtype, layout) in zip(
        sizes, itertools.cycle(kinds), strict=False)]  # fmt: skip
    native_many = {kind: by_walk.gemm_many(sizes, *kind) for kind in kinds}
    native_one = [by_walk.gemm(*query) for query in asked]
    in_numpy(monkeypatch)
    assert native_one == [by_numpy.gemm(*query) for query in asked]
    for kind, columns in native_many.items():
        others = by_numpy.gemm_many(sizes, *kind)
        assert all(columns[name].tolist() == others[name].tolist() for name in COLUMNS)
    assert len({prediction.bound for prediction in native_one}) > 2


@pytest.mark.parametrize("gpu", MEASURED)
def test_the_same_prediction_of_any_gemm(gpu, monkeypatch):
    by_walk, by_numpy = Predictor.load(gpu), Predictor.load(gpu)
    by_walk.gemm_many(np.ones((walk.WORTH_BUILDING, 3), int))

    @settings(max_examples=80, deadline=None)
    @given(SIZES, SIZES, SIZES, st.sampled_from(sorted(DTYPES)), st.sampled_from(LAYOUTS))
    def check(m, n, k, dtype, layout):
        found = by_walk.gemm(m, n, k, dtype, layout)
        with pytest.MonkeyPatch.context() as patch:
            in_numpy(patch)
            assert found == by_numpy.gemm(m, n, k, dtype, layout)

    check()


def everything(m, n, k, nn, ops):
    """A formula of every operation, with numbers on either side."""
    log, ceil, low, high, gcd = ops.log, ops.ceil, ops.minimum, ops.maximum, ops.gcd
    third, power = m / 3.0, 1 * (n >= k) + 2 * (n <= k)
    return [
        m + 1, 1 + m, m - 2.5, 2.5 - m, n * 0.1, 0.1 * n, third, 3.0 / n, power, log(m * n * k), ceil(third),
        gcd(k, 4096), low(m, n), low(n, m), high(m, 7.0), high(7.0, k), low(1.0, third), ceil(k / 64.0) * nn,
        m * n * k - log(n) / third,
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, SIZES, st.sampled_from([0.0, 1.0]))
def test_a_tape_gives_what_its_formula_gives(m, n, k, nn):
    tape = Tape()
    steps = everything(*tape.inputs, tape.arithmetic)
    made = random_forest(1, 20, 5, 3, split=False)
    query = native(made).query(tape, steps[:9], steps[9:])
    outputs, row, kept = query.numbers(m, n, k, nn)
    expected = everything(float(m), float(n), float(k), nn, SCALAR)
    assert row + kept == expected
    assert outputs == made._one(row)


def test_a_tape_computes_once_what_recurs_and_branches_on_nothing():
    tape = Tape()
    m, n, _, _ = tape.inputs
    for _ in range(3):
        tape.arithmetic.log(m * n + 1.0)
    assert tape.numbers() == INPUTS + 1 + 3
    with pytest.raises(TypeError, match="branch"):
        bool(m >= n)


def test_formulas_there_is_no_room_for_are_pythons(monkeypatch):
    expected = Predictor.load("h100-sxm").gemm(300, 4096, 4096)
    monkeypatch.setattr(native_forest, "PLACES", 50)
    cramped = Predictor.load("h100-sxm")
    for _ in range(2):
        assert cramped.gemm(300, 4096, 4096) == expected
    head = cramped.model("bf16", "tn", 0).head
    assert head.forest.walk is not None and head._query is None


@settings(max_examples=150, deadline=None)
@given(SIZES, SIZES, SIZES, st.sampled_from([0.0, 1.0]), st.sampled_from(sorted(DTYPES)), st.booleans())
def test_quick_formulas_are_those_of_core_and_features(m, n, k, nn, dtype, warm):
    rate, sizes = rates(machine(device.load("l40s"), dtype), DTYPES[dtype], warm=warm), (DTYPES[dtype].input_bytes, 2)
    problem = Problem(float(m), float(n), float(k), *sizes, nn)
    parts = core(problem, rate, SCALAR)
    found, row = quick(m, n, k, nn, rate, sizes)
    assert row == features(problem, parts, SCALAR)
    assert found[:5] == parts[:5] and bound_of(found) == bound(parts, SCALAR)


def test_a_row_with_too_few_features_is_refused():
    made = random_forest(1, 5, 3, 2, split=False)
    made.feature[0, 0] = 8
    for ask in (lambda: native(made).one([1.0] * 8), lambda: native(made).many(np.ones((8, 4), np.float32))):
        with pytest.raises(IndexError):
            ask()
    assert native(made).one([1.0] * 12) == made._one([1.0] * 12)


def test_forests_there_is_no_room_for_are_numpys():
    wide = random_forest(1, 3, 2, WIDTH + 1, split=False)
    assert wide._asked_for(walk.WORTH_BUILDING) is None
    far = random_forest(1, 3, 2, 1, split=False, features=2)
    far.feature[0, 0] = FEATURES
    assert far._asked_for(walk.WORTH_BUILDING) is None
    far.feature[0, 0] = -1
    assert far._asked_for(walk.WORTH_BUILDING) is None


def test_threads_do_not_share_a_query():
    made = random_forest(5, 100, 6, 4, split=True)
    rows = np.random.default_rng(0).normal(size=(50, 9)).tolist()
    expected = [made._one(row) for row in rows]
    walked, wrong = native(made), []

    def ask():
        for _ in range(40):
            wrong.extend(row for row, outputs in zip(rows, expected, strict=True) if walked.one(row) != outputs)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_it_is_built_when_it_is_worth_it_and_used_from_then_on(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path))
    made, row = random_forest(2, 4, 3, 2, split=False), [0.5] * 9
    for _ in range(walk.WORTH_BUILDING - 1):
        made.one(row)
    assert made.walk is None and not list(tmp_path.rglob("*.so"))
    made.one(row)
    assert made.walk is not None and list(tmp_path.rglob("forest.so"))
    another = random_forest(3, 4, 3, 2, split=False)
    another.one(row)  # what is built is used from the first query on
    assert another.walk is not None


@pytest.mark.parametrize("why", ["off", "no compiler", "a compiler that fails", "no library", "no cache"])
def test_without_it_numpy_answers(tmp_path, monkeypatch, why):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    if why == "off":
        monkeypatch.setenv(FOREST.switch, "off")
    elif why == "no compiler":
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.delenv("CXX", raising=False)
        with pytest.raises(GpuprobeError, match="no C\\+\\+ compiler"):
            FOREST.build(tmp_path / "forest.so")
    elif why == "a compiler that fails":
        monkeypatch.setenv("CXX", "/bin/false")
        with pytest.raises(GpuprobeError, match="does not compile"):
            FOREST.build(tmp_path / "forest.so")
    elif why == "no library":
        (tmp_path / "broken.so").write_bytes(b"no library")
        monkeypatch.setattr(Part, "packaged", tmp_path / "broken.so")
    else:
        (tmp_path / "cache").write_text("a file")
    made, rows = random_forest(2, 4, 3, 2, split=False), np.zeros((9, walk.WORTH_BUILDING))
    assert made.many(list(rows)).tolist() == made._many(rows.astype(np.float32)).tolist()
    assert made.walk is None
    assert made.one([0.0] * 9) == made.many(list(rows))[0].tolist()


def test_the_constants_of_python_and_of_the_source_are_the_same():
    source = FOREST.sources[0].read_text()
    for name, value in (
        ("kFeatures", FEATURES), ("kWidth", WIDTH), ("kLevels", forest.LEVELS), ("kInputs", INPUTS),
        ("kPlaces", PLACES),
    ):  # fmt: skip
        assert f"constexpr int {name} = {value};" in source
    assert native_forest.LEVELS == forest.LEVELS
    operations = "enum Operation { " + ", ".join(f"k{name.title()}" for name in OPERATIONS) + " };"
    assert operations in source


def test_predictors_are_copied_and_pickled_after_use():
    first = Predictor.load("h100-sxm")
    asked = np.array([(512, 4096, 4096), (64, 8192, 1024)] * walk.WORTH_BUILDING)
    said, one = first.gemm_many(asked, dtype="bf16"), first.gemm(512, 4096, 4096, dtype="bf16")
    for copied in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert copied.gemm(512, 4096, 4096, dtype="bf16") == one
        again = copied.gemm_many(asked, dtype="bf16")
        assert again["hot_us"].tolist() == said["hot_us"].tolist()
