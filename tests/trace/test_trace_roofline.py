"""Operators against the limits: which kernels belong to which operator, shares, expected times."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_traces import call, host, kernel, trace_of

from gpuprobe import device
from gpuprobe.predict import Predictor
from gpuprobe.trace import limits as trace_limits
from gpuprobe.trace.launches import join_launches
from gpuprobe.trace.model import RangeKind
from gpuprobe.trace.operators import innermost_operator
from gpuprobe.trace.record.torch_ranges import describe
from gpuprobe.trace.roofline import roofline

H100 = {"id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85018279936}
STARTUP = Path(trace_limits.__file__).parent / "record" / "startup"


def mm(ts, dur, m=4096, n=4096, k=4096, **args):
    return host(
        "aten::mm",
        ts,
        dur,
        **{
            "Input Dims": [[m, k], [k, n]],
            "Input type": ["c10::BFloat16"] * 2,
            "Input Strides": [[k, 1], [1, k]],
            **args,
        },
    )


def one_gemm(tmp_path, kernel_us, **keys):
    events = [mm(0, 20), call("cudaLaunchKernel", 5, 3, 1), kernel("nvjet_tst_128x256_64x4_2x1", 30, kernel_us, 1)]
    return trace_of(tmp_path, events, **keys)


def test_a_gemm_gets_its_share_of_the_measured_limit_and_its_predicted_time(tmp_path):
    trace = one_gemm(tmp_path, 200, deviceProperties=[H100])
    found = roofline(trace, join_launches(trace))
    (row,) = found["operators"]
    rate = found["limits"]["flop_per_s"]["bf16"]
    assert found["limits"]["origin"]["bf16"] == found["limits"]["origin"]["memory"] == "measured"
    assert row["flop"] == 2 * 4096**3
    assert row["bound"] == "compute"
    assert row["share_of_limit"] == pytest.approx(2 * 4096**3 / rate / 200e-6)
    predicted = Predictor.load("h100-sxm").gemm(4096, 4096, 4096)
    assert row["expected_by"] == "gemm predictor"
    assert row["expected_ns"] == pytest.approx(predicted.cold.value * 1e9, rel=1e-6)
    assert row["expected_low_ns"] <= row["expected_ns"] <= row["expected_high_ns"]
    assert row["excess_ns"] == pytest.approx(200_000 - row["expected_ns"])
    assert found["covered_share"] == 1.0


@pytest.mark.parametrize(("kernel_us", "verdict"), [(2000, "slow"), (10, "fast")])
def test_outliers_stand_out(tmp_path, kernel_us, verdict):
    trace = one_gemm(tmp_path, kernel_us, deviceProperties=[H100])
    assert roofline(trace, join_launches(trace))["operators"][0]["outlier"] == verdict


def test_without_a_known_gpu_there_is_no_share(tmp_path):
    trace = one_gemm(tmp_path, 200)
    found = roofline(trace, join_launches(trace))
    assert found["limits"] is None
    assert found["operators"][0]["share_of_limit"] is None
    assert "names no GPU" in found["problems"][0]


def test_operators_of_unknown_cost_are_named_with_their_time(tmp_path):
    events = [host("my::op", 0, 20), call("cudaLaunchKernel", 5, 3, 1), kernel("k", 30, 7, 1)]
    trace = trace_of(tmp_path, events)
    found = roofline(trace, join_launches(trace))
    assert found["unknown"] == [{"name": "my::op", "sum_ns": 7000}]
    assert "has shapes" in found["problems"][0]
    assert found["covered_share"] == 0.0


def test_several_kernels_of_a_call_are_one_time(tmp_path):
    events = [mm(0, 20), *(call("cudaLaunchKernel", 2 + i, 1, 1 + i) for i in range(2))]
    events += [kernel("splitk", 30, 100, 1), kernel("reduce", 140, 50, 2)]
    trace = trace_of(tmp_path, events)
    (row,) = roofline(trace, join_launches(trace))["operators"]
    assert (row["median_ns"], row["calls"], row["gpu_events"]) == (150_000, 1, 2)


def test_shapes_alone_take_their_type_from_the_kernel(tmp_path):
    for name, dtype in (("nvjet_tst_64x8_64x16", "bf16"), ("ampere_sgemm_64x64", "fp32"), ("nvjet_hsh_64x8", "fp16")):
        events = [host("aten::mm", 0, 20, **{"Input Dims": [[8, 16], [16, 32]]}), call("cuLaunchKernel", 1, 1, 1)]
        trace = trace_of(tmp_path, [*events, kernel(name, 30, 5, 1)])
        text = json.dumps({"dims": [[8, 16], [16, 32]]})
        texts = tuple(text if part.startswith('{"dims"') else part for part in trace.texts)
        trace = type(trace)(**{**trace.__dict__, "texts": texts})
        (row,) = roofline(trace, join_launches(trace))["operators"]
        assert row["bytes"] == (8 * 16 + 16 * 32 + 8 * 32) * (4 if dtype == "fp32" else 2)
        assert "by the kernel's name" in row["assumed"]


def brute_force(trace, launches):
    found = []
    for event in range(len(trace.gpu.start)):
        best, call_row = -1, launches.call[event]
        if call_row >= 0:
            at, lane = trace.calls.start[call_row], trace.lanes[trace.calls.lane[call_row]][:2]
            for row in range(len(trace.ranges.start)):
                start, end = trace.ranges.start[row], trace.ranges.end[row]
                mine = trace.ranges.kind[row] == RangeKind.OPERATOR and trace.lanes[trace.ranges.lane[row]][:2] == lane
                if mine and start <= at < end:
                    smaller = best < 0 or (start, -end) > (trace.ranges.start[best], -trace.ranges.end[best])
                    best = row if smaller else best
        found.append(best)
    return found


@st.composite
def nested(draw):
    """Properly nested ranges on two threads and launches anywhere."""
    events, correlation = [], 0

    def fill(low, high, depth, tid):
        at = low
        while depth and high - at > 3 and draw(st.booleans()):
            end = draw(st.integers(at + 1, high))
            events.append(host(f"op{depth}", at, end - at, tid=tid))
            fill(at, end, depth - 1, tid)
            at = end

    for tid in (1, 2):
        fill(0, 60, 3, tid)
        for at in draw(st.lists(st.integers(0, 59), max_size=6)):
            correlation += 1
            events.append(call("cudaLaunchKernel", at + 0.5, 0.1, correlation, tid=tid))
            events.append(kernel("k", 100 + correlation, 1, correlation))
    return events


@given(events=nested())
def test_the_innermost_operator_is_found(tmp_path_factory, events):
    if not events:
        return
    trace = trace_of(tmp_path_factory.mktemp("t"), events)
    launches = join_launches(trace)
    got, wanted = innermost_operator(trace, launches).tolist(), brute_force(trace, launches)
    key = [(trace.ranges.start[r], trace.ranges.end[r]) if r >= 0 else None for r in got]
    assert key == [(trace.ranges.start[r], trace.ranges.end[r]) if r >= 0 else None for r in wanted]


def test_measured_limits_stay_below_the_stated_ones():
    spec = device.load("h100-sxm")
    found = trace_limits.of_device(spec)
    assert found.bytes_per_s < spec["dram_bandwidth_bytes_per_s"]
    assert 0.5 < found.flop_per_s["bf16"] / spec["tensor_bf16_flop_per_s"] < 1.1
    other = trace_limits.of_device(device.load("rtx-4090"))
    assert set(other.origin.values()) == {"datasheet"}


@pytest.mark.parametrize(
    ("text", "name", "kind", "args"),
    [
        ("aten::mm, op_id = 12, sizes = [[64, 64], [64, 64]]", "aten::mm", 0, '{"dims":[[64, 64], [64, 64]]}'),
        ("aten::mm, seq = 3, op_id = 1, sizes = [[2]], input_op_ids = [[3,0]]", "aten::mm", 0, '{"dims":[[2]]}'),
        ("MmBackward0, seq = 3, op_id = 9", "MmBackward0", 0, ""),
        ("decode", "decode", 1, ""),
        ("a, b = c", "a, b = c", 1, ""),
        ("x, sizes = nothing", "x, sizes = nothing", 1, ""),
    ],
)
def test_ranges_of_emit_nvtx_are_operators(text, name, kind, args):
    assert describe(text) == (name, kind, args)


@given(st.text(max_size=60))
def test_no_range_text_breaks_the_reader(text):
    assert describe(text).kind in (RangeKind.OPERATOR, RangeKind.ANNOTATION)


def test_operator_ranges_begin_with_cuda_and_the_programs_own_sitecustomize_runs(tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("print('own')")
    (own / "torch").mkdir()
    (own / "torch" / "__init__.py").write_text(
        "from types import SimpleNamespace as N\n"
        "queued = []\n"
        "cuda = N(_lazy_call=queued.append)\n"
        "class emit_nvtx:\n"
        "    def __init__(self, record_shapes): print('shapes', record_shapes)\n"
        "    def __enter__(self): print('entered')\n"
        "    def __exit__(self, *_): print('left')\n"
        "autograd = N(profiler=N(emit_nvtx=emit_nvtx))\n"
    )
    program = "import torch; print('imported'); [start() for start in torch.queued]"
    path = f"{STARTUP}:{own}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": path, "GPUPROBE_SPOOL": str(tmp_path), "GPUPROBE_TORCH_OPS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split("\n") == ["own", "imported", "shapes True", "entered", "left", ""]
    assert np.all([line == "" for line in done.stderr.splitlines()])
