"""The analysis of power sensors finds what made sensors do, and what an external meter says of real ones."""

from __future__ import annotations

import csv
import struct
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from energy.synthetic_sensors import Made, counter_polls
from gpuprobe.energy.counter import Tick, on_beat, period_s, ticks
from gpuprobe.energy.sensor import Signal, changes_of, characterise, columns_of, held_energy, mean_powers
from gpuprobe.energy.waveform import length_s, stretches
from gpuprobe.errors import GpuprobeError

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "power"
recorded = pytest.mark.skipif(not REFERENCE.is_dir(), reason="no recordings with an external meter here")


def load(seed: int = 3) -> tuple[Signal, float]:
    """The load of the probe and how long it is watched."""
    busy = stretches(seed)
    return Signal.of_load(busy, -10.0, length_s(busy)), length_s(busy)


@pytest.mark.parametrize(
    ("made", "slack_s"),
    [
        (Made(0.1, 0.025), 0.004),
        (Made(0.1, 0.1), 0.008),
        (Made(0.02, 0.01), 0.003),
        (Made(0.1, 1.0), 0.05),
        (Made(0.1, 0.025, lag_s=0.06), 0.004),
        (Made(0.1, 0.1, lag_s=0.11), 0.008),
    ],
    ids=lambda value: f"{value.window_s}-of-{value.period_s}-lag-{value.lag_s}" if isinstance(value, Made) else "",
)
def test_period_window_and_lag_of_a_made_sensor_are_found(made: Made, slack_s: float) -> None:
    signal, end_s = load()
    sensor = characterise(ticks(made.polls(signal, end_s)), signal)
    assert sensor.period_s == pytest.approx(made.period_s, rel=0.03)
    assert sensor.window.value == pytest.approx(made.window_s, abs=slack_s)
    assert sensor.window.low - slack_s <= made.window_s <= sensor.window.high + slack_s
    assert sensor.lag.value == pytest.approx(made.lag_s, abs=slack_s)
    assert sensor.delay_s == pytest.approx(made.lag_s + made.window_s / 2, abs=slack_s)
    assert sensor.gain == pytest.approx(made.gain, rel=0.02)
    assert sensor.offset == pytest.approx(made.offset, abs=5.0)


def test_noise_widens_the_range_of_windows_and_lags_that_fit() -> None:
    signal, end_s = load()
    quiet, noisy = (
        characterise(ticks(Made(0.1, 0.05, 0.03).polls(signal, end_s, noise_w=noise)), signal) for noise in (1.0, 10.0)
    )
    for name in ("window", "lag"):
        narrow, wide = getattr(quiet, name), getattr(noisy, name)
        assert narrow.low <= narrow.value <= narrow.high and wide.low <= wide.value <= wide.high
        assert wide.high - wide.low > 2 * (narrow.high - narrow.low) > 0


@settings(max_examples=6, deadline=None)
@given(window=st.floats(0.015, 0.1), lag=st.floats(0.0, 0.08), seed=st.integers(0, 50))
def test_any_window_within_the_period_is_found(window: float, lag: float, seed: int) -> None:
    signal, end_s = load(seed)
    sensor = characterise(ticks(Made(0.1, window, lag).polls(signal, end_s, seed=seed)), signal)
    assert sensor.delay_s == pytest.approx(lag + window / 2, abs=0.008)
    assert sensor.window.value == pytest.approx(window, abs=0.02)


def test_a_quarter_window_is_told_from_a_whole_one() -> None:
    signal, end_s = load()
    quarter, whole = (
        characterise(ticks(Made(0.1, window).polls(signal, end_s)), signal).share for window in (0.025, 0.1)
    )
    assert quarter < 0.35
    assert 0.85 < whole < 1.15


def test_a_counter_that_sees_everything_has_a_window_of_its_period() -> None:
    signal, end_s = load()
    steps = mean_powers(ticks(counter_polls(signal, end_s)))
    sensor = characterise(steps, signal)
    assert sensor.window.value == pytest.approx(0.1, abs=0.01)
    assert sensor.gain == pytest.approx(250.0, rel=0.03)


def test_a_sensor_that_hardly_moved_is_an_error_with_a_remedy() -> None:
    signal, _ = load()
    with pytest.raises(GpuprobeError, match="tells nothing of its window") as caught:
        characterise([Tick(1.0 + i, float(i)) for i in range(5)], signal)
    assert caught.value.hint


def test_a_repeated_reading_does_not_double_the_period() -> None:
    changes = [Tick(0.1 * i, float(i)) for i in range(30) if i % 4 != 1]
    assert period_s(changes) == pytest.approx(0.1)
    assert period_s(changes[:2]) is None


def test_polling_jitter_is_taken_off_a_regular_beat_and_left_on_an_irregular_one() -> None:
    source = np.random.default_rng(1)
    jittered = [Tick(0.1 * i + source.uniform(-0.006, 0.006), 0.0) for i in range(40)]
    regular = on_beat(jittered, 0.1)
    assert max(abs(tick.at_s - 0.1 * i) for i, tick in enumerate(regular)) < 0.003
    wild = [Tick(float(at), 0.0) for at in np.cumsum(source.uniform(0.02, 0.3, 40))]
    assert on_beat(wild, 0.1) == wild


def test_held_energy_is_that_of_the_steps() -> None:
    changes = [Tick(0.0, 100.0), Tick(1.0, 200.0), Tick(2.0, 50.0)]
    assert held_energy(changes, 0.5, 3.0) == pytest.approx(50.0 + 200.0 + 50.0)


def test_changes_survive_their_columns() -> None:
    changes = [Tick(0.25, 70.0), Tick(0.5, 0.0), Tick(0.75, 80.5)]
    assert changes_of(columns_of("instant", changes), "instant") == changes
    assert changes_of({}, "instant") == []


# --- recordings with an external meter (Part-time power measurements, SC24) --------------------------------------


def meter(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Times (epoch s) and watts of the external meter."""
    raw = np.frombuffer(
        (folder / "PMD_data.bin").read_bytes()[: (folder / "PMD_data.bin").stat().st_size // 18 * 18], "<u2"
    )
    rows = raw.reshape(-1, 9).astype(np.int64)
    counts = np.concatenate([[0], np.cumsum(np.diff(rows[:, 0]) % 65536)])
    values = (rows[:, 1:] >> 4) & 0xFFF
    values[values & 0x800 != 0] = 0
    volts, amps = values[:, 0::2] * np.array([0.007568, 0.007568, 0.0075, 0.007568]), values[:, 1::2] * 0.0488
    start_s = int((folder / "PMD_start_ts.txt").read_text().split()[0]) * 1e-6 - 0.05
    return start_s + counts / 2934.5e3, (volts * amps).sum(axis=1)


def readings(folder: Path, column: str, near_s: float) -> list[tuple[float, float]]:
    """Polls of nvidia-smi: epoch s and W."""
    with (folder / "gpudata.csv").open() as file:
        rows = list(csv.reader(file))
    place = [name.strip() for name in rows[0]].index(f"{column} [W]")
    found = []
    for row in rows[1:]:
        if len(row) == len(rows[0]):
            at = datetime.strptime(row[0].strip(), "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
            found.append((at, float(row[place])))
    hours = round((found[0][0] - near_s) / 3600)
    return [(at - 3600 * hours, value) for at, value in found]


@recorded
@pytest.mark.parametrize(
    ("recording", "column", "period", "window", "gain"),
    [
        # Periods, windows and gains that the recordings' authors state for these cards.
        ("a100_square_52ms", "power.draw", 0.104, (0.018, 0.030), None),
        ("a100_step", "power.draw", 0.104, None, 0.954),
        ("rtx3090_step", "power.draw.instant", 0.100, (0.090, 0.110), 0.948),
        ("rtx3090_step", "power.draw.average", 0.100, (0.95, 1.12), 0.944),
    ],
)
def test_real_sensors_beside_an_external_meter(
    recording: str, column: str, period: float, window: tuple[float, float] | None, gain: float | None
) -> None:
    times, watts = meter(REFERENCE / recording)
    polls = [(at - times[0], value) for at, value in readings(REFERENCE / recording, column, times[0])]
    sensor = characterise(ticks(polls), Signal.of_samples(times - times[0], watts))
    assert sensor.period_s == pytest.approx(period, rel=0.04)
    if window:
        assert window[0] <= sensor.window.value <= window[1]
    if gain:
        assert sensor.gain == pytest.approx(gain, abs=0.015)


def test_the_meter_recordings_are_where_they_are_looked_for() -> None:
    """The reader of the meter's format, on bytes made here: it must not depend on recordings being at hand."""
    sample = struct.pack("<9H", 0, 100 << 4, 50 << 4, 0, 0, 0, 0, 0, 0)
    later = struct.pack("<9H", 2934, 100 << 4, 50 << 4, 0, 0, 0, 0, 0, 0)
    folder = Path(pytest.importorskip("tempfile").mkdtemp())
    (folder / "PMD_data.bin").write_bytes(sample + later)
    (folder / "PMD_start_ts.txt").write_text("1000000\n")
    times, watts = meter(folder)
    assert times[1] - times[0] == pytest.approx(1e-3, rel=1e-3)
    assert watts[0] == pytest.approx(100 * 0.007568 * 50 * 0.0488)
