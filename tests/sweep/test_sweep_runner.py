from __future__ import annotations

import json
from pathlib import Path

import pytest

from gpuprobe.errors import GpuprobeError
from gpuprobe.ops.gemm import Gemm
from gpuprobe.sweep.campaign import Campaign
from gpuprobe.sweep.journal import Journal, read_journal
from gpuprobe.sweep.rows import COLUMNS, joined
from gpuprobe.sweep.runner import Order, Progress, Session

from .fake_timer import NAME, FakeTimer


def run(timer: FakeTimer, path: Path, campaign: Campaign, order: Order, stop_after: int = 10**9) -> Progress:
    records = read_journal(path)
    seen = 0

    def count(_: Progress) -> None:
        nonlocal seen
        seen += 1

    with Journal(path) as journal:
        session = Session(timer, campaign, journal, records, timer.clock)
        done = session.measure(order, lambda: seen >= stop_after, count)
        session.name_kernels()
    return done


def test_a_finished_campaign_has_every_row_with_its_kernel(tmp_path: Path) -> None:
    timer, path = FakeTimer(), tmp_path / "x.journal"
    done = run(timer, path, Campaign(), Order(count=30))
    rows = joined(read_journal(path))
    assert done.timed == 30
    assert [(row["index"], row["regime"]) for row in rows] == [(i, r) for i in range(30) for r in ("hot", "cold")]
    row = rows[0]
    assert set(COLUMNS) <= set(row)
    assert row["kernel"] == NAME
    assert (row["tile_m"], row["tile_n"], row["tile_k"], row["stages"]) == (64, 128, 64, 8)
    assert row["split_k"] == 1  # a reduction ran beside it
    assert row["kernel_us"] == pytest.approx(6.0)
    assert (row["sm_mhz"], row["power_w"], row["throttle"], row["threads"]) == (1980, 300.0, 4, 384)
    assert row["p25_us"] < row["time_us"] < row["p75_us"]
    assert len(row["samples_us"]) == row["replays"] == 9


def test_interrupted_and_resumed_is_the_same_as_run_through(tmp_path: Path) -> None:
    through, parts = tmp_path / "a.journal", tmp_path / "b.journal"
    run(FakeTimer(), through, Campaign(seed=3), Order(count=120))
    first = run(FakeTimer(), parts, Campaign(seed=3), Order(count=120), stop_after=50)
    assert first.timed == 50
    second_timer = FakeTimer()
    second = run(second_timer, parts, Campaign(seed=3), Order(count=120))
    assert (second.earlier, second.timed) == (50, 70)
    keys = [
        [(r["index"], r["m"], r["n"], r["k"], r["regime"]) for r in joined(read_journal(p))] for p in (through, parts)
    ]
    assert keys[0] == keys[1]


def test_a_torn_last_line_is_dropped_and_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    run(FakeTimer(), path, Campaign(), Order(count=5))
    rows = [line for line in path.read_bytes().splitlines(keepends=True) if b'"kind":"row"' in line]
    head = path.read_bytes().splitlines(keepends=True)[0]
    path.write_bytes(head + b"".join(rows[:5]) + rows[5][:40])
    assert len([r for r in read_journal(path) if r["kind"] == "row"]) == 5
    timer = FakeTimer()
    run(timer, path, Campaign(), Order(count=5))
    assert timer.asked[0][1] == ("cold",)  # of the third GEMM only the lost regime
    assert len(joined(read_journal(path))) == 10
    assert all(row["kernel"] for row in joined(read_journal(path)))


def test_a_damaged_line_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    run(FakeTimer(), path, Campaign(), Order(count=2))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"{oops}\n" + b"".join(lines[1:]))
    with pytest.raises(GpuprobeError, match="line 2"):
        read_journal(path)


@pytest.mark.parametrize("other", [Campaign(seed=1), Campaign(dtypes=("fp16",)), Campaign(shapes=(Gemm(1, 2, 3),))])
def test_another_campaign_does_not_continue_the_journal(tmp_path: Path, other: Campaign) -> None:
    path = tmp_path / "x.journal"
    run(FakeTimer(), path, Campaign(), Order(count=2))
    with pytest.raises(GpuprobeError, match="campaign"):
        run(FakeTimer(), path, other, Order(count=2))


def test_another_gpu_does_not_continue_the_journal(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    run(FakeTimer(), path, Campaign(), Order(count=2))
    with pytest.raises(GpuprobeError, match="fake"):
        run(FakeTimer(device="other"), path, Campaign(), Order(count=2))


def test_seconds_leave_time_to_name_the_kernels(tmp_path: Path) -> None:
    timer = FakeTimer()
    done = run(timer, tmp_path / "x.journal", Campaign(), Order(seconds=10.0))
    assert 170 < done.timed < 200  # (10 − 6) s at 20 ms a GEMM and 1.2 ms to name it
    assert timer.now < 10.0
    assert len(timer.named) == len(set(timer.named))


def test_unsupported_gemms_are_rows_with_the_reason_and_are_not_tried_again(tmp_path: Path) -> None:
    shapes = (Gemm(64, 64, 64), Gemm(8, 64, 64, "int8"), Gemm(64, 64, 64, "fp8", "nn"), Gemm(64, 20, 64, "fp8"))
    timer, path = FakeTimer(refuse=[shapes[0]]), tmp_path / "x.journal"
    done = run(timer, path, Campaign(shapes=shapes), Order(regimes=("hot",)))
    rows = joined(read_journal(path))
    assert (done.timed, done.refused) == (0, 4)
    assert [row["time_us"] for row in rows] == [None] * 4
    assert "CUBLAS_STATUS_NOT_SUPPORTED" in rows[0]["error"]
    assert "m >= 17" in rows[1]["error"]
    assert "only layout tn" in rows[2]["error"]
    assert "multiples of 16" in rows[3]["error"]
    again = FakeTimer()
    run(again, path, Campaign(shapes=shapes), Order(regimes=("hot",)))
    assert again.asked == []


def test_every_session_states_what_it_ran_on(tmp_path: Path) -> None:
    path = tmp_path / "x.journal"
    for count in (2, 4):
        run(FakeTimer(), path, Campaign(), Order(count=count))
    sessions = [record for record in map(json.loads, path.read_text().splitlines()) if record["kind"] == "session"]
    assert [session["session"] for session in sessions] == [0, 1]
    assert all(s["device"] == "fake" and s["started_at"] and s["schema"] == 1 for s in sessions)
    assert {row["session"] for row in joined(read_journal(path))} == {0, 1}


def test_progress_estimates_what_remains() -> None:
    assert Progress(10, 0, 0, 30, 5.0, None).remaining_s == pytest.approx(10.0)
    assert Progress(10, 0, 0, 30, 5.0, 8.0).remaining_s == pytest.approx(3.0)
    assert Progress(0, 0, 0, None, 0.0, None).remaining_s == 0.0
