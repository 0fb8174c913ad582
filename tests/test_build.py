"""Building without a GPU: same input, same cubin; a cache damaged, shared or read-only; errors with remedies."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gpuprobe import cache
from gpuprobe.build import Cubin, Job, build_many, compile_cubin, nvrtc, workers
from gpuprobe.errors import Exit, GpuprobeError

CHECKOUT = Path(__file__).parent.parent
SOURCE = '#include "scale.cuh"\nextern "C" __global__ void kernel(float* x) { x[threadIdx.x] *= SCALE * FACTOR; }\n'
HEADERS = {"scale.cuh": "#define SCALE 2.0f\n"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "cache"))
    cache._warn_once.cache_clear()
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch):
    """Names of the units NVRTC was given in this process."""
    names: list[str] = []
    original = nvrtc.compile_unit

    def counting(unit: nvrtc.Unit) -> bytes:
        names.append(unit.name)
        return original(unit)

    monkeypatch.setattr(nvrtc, "compile_unit", counting)
    return names


def scaled(factor: object = 3, arch: str = "sm_90a", **changes: object) -> Cubin:
    arguments = {"name": "scaled.cu", "arch": arch, "defines": {"FACTOR": factor}, "headers": HEADERS, **changes}
    return compile_cubin(SOURCE, **arguments)


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_cubin_is_machine_code_and_comes_from_the_cache_the_second_time(compiled):
    first, second = scaled(), scaled()
    assert first.data.startswith(b"\x7fELF")
    assert first == second
    assert compiled == ["scaled.cu"]
    assert first.compiler.startswith("nvidia-cuda-nvrtc")


def test_the_key_covers_every_input():
    keys = {
        scaled().key,
        scaled(4).key,
        scaled(3.0).key,
        scaled(arch="sm_80").key,
        scaled(headers={"scale.cuh": "#define SCALE 1.0f\n"}).key,
        scaled(name="other.cu").key,
        compile_cubin("//\n" + SOURCE, name="scaled.cu", arch="sm_90a", defines={"FACTOR": 3}, headers=HEADERS).key,
    }
    assert len(keys) == 7


def test_the_key_covers_the_compilers_version(monkeypatch):
    before = scaled().key
    monkeypatch.setattr(nvrtc, "compiler_version", lambda: "nvidia-cuda-nvrtc 99.0")
    assert scaled().key != before


def test_builds_are_reproducible_across_processes_and_folders(monkeypatch, tmp_path):
    here = scaled()
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "another"))
    jobs = [Job(SOURCE, "scaled.cu", "sm_90a", {"FACTOR": factor}, HEADERS) for factor in (3, 4, 5, 6, 7)]
    monkeypatch.chdir(tmp_path)
    assert build_many(jobs, processes=2)[0] == here


@pytest.mark.parametrize(
    "damage", [lambda raw: raw[:-1], lambda raw: raw[:10], lambda raw: b"", lambda raw: raw[:-9] + bytes(9)]
)
def test_a_damaged_entry_is_built_again(own_cache, compiled, damage):
    whole = scaled()
    (entry,) = entries(own_cache)
    entry.write_bytes(damage(entry.read_bytes()))
    assert scaled() == whole
    assert scaled() == whole
    assert len(compiled) == 2


def test_a_cache_that_cannot_be_written_costs_one_warning(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GPUPROBE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match="not cached.*set GPUPROBE_CACHE") as caught:
        assert scaled().data
        assert build_many([Job(SOURCE, "scaled.cu", "sm_90a", {"FACTOR": 3}, HEADERS)])[0].data
    assert len(caught) == 1


def test_a_full_disk_costs_one_warning(monkeypatch):
    def full(path: Path, data: bytes) -> None:
        raise GpuprobeError("cannot write the entry: No space left on device")

    monkeypatch.setattr(cache, "write_atomically", full)
    with pytest.warns(RuntimeWarning, match="No space left on device"):
        assert scaled().data


def test_processes_building_the_same_kernel_at_once_agree(own_cache):
    script = (
        "from gpuprobe.build import compile_cubin; import hashlib\n"
        "source = 'extern \"C\" __global__ void kernel(float* x) { x[0] = 1.0f; }'\n"
        "print(hashlib.sha256(compile_cubin(source, name='one.cu', arch='sm_80').data).hexdigest())"
    )
    command = [sys.executable, "-W", "error", "-c", script]

    def run(_: int) -> str:
        return subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout

    with ThreadPoolExecutor(3) as pool:
        outputs = set(pool.map(run, range(3)))
    source = 'extern "C" __global__ void kernel(float* x) { x[0] = 1.0f; }'
    expected = hashlib.sha256(compile_cubin(source, name="one.cu", arch="sm_80").data).hexdigest()
    assert outputs == {expected + "\n"}
    assert len(entries(own_cache)) == 1


def test_many_come_back_in_order_with_each_jobs_error(own_cache):
    sources = [f'extern "C" __global__ void kernel{n}(float* x) {{ x[0] = {n}.0f{"!" * (n == 3)}; }}' for n in range(7)]
    jobs = [Job(source, f"k{n}.cu", "sm_80") for n, source in enumerate(sources)] + [Job("", "bad.cu", "ampere")]
    results = build_many(jobs, processes=2)
    for number in (0, 1, 2, 4, 5, 6):
        assert f"kernel{number}".encode() in results[number].data
    assert "k3.cu(1): error" in results[3].message
    assert "'ampere' is no compile target" in results[7].message
    assert len(entries(own_cache)) == 6


def test_cached_jobs_neither_start_workers_nor_compile(monkeypatch, compiled):
    jobs = [Job(SOURCE, "scaled.cu", "sm_80", {"FACTOR": factor}, HEADERS) for factor in range(1, 7)]
    first = build_many(jobs, processes=2)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a worker was started"))
    assert build_many(jobs, processes=2) == first
    assert compiled == []


@pytest.fixture
def crashing(monkeypatch):
    """Units whose third, k2.cu, crashes the compiler, with stand-ins for the workers; a list of what each was given."""
    given: list[list[str]] = []

    def answers(units, workers):
        names = [unit.name for unit in units]
        given.append(names)
        done = names[: names.index("k2.cu")] if "k2.cu" in names else names
        return [name.encode() for name in done], "exit status -11"

    monkeypatch.setattr(workers, "_answers", answers)
    return given


def test_a_crash_of_the_compiler_costs_only_the_unit_in_hand(crashing):
    outcomes = workers.compile_units([nvrtc.Unit(f"k{n}.cu", "", ()) for n in range(9)], 2)
    assert [outcome for n, outcome in enumerate(outcomes) if n != 2] == [
        f"k{n}.cu".encode() for n in range(9) if n != 2
    ]
    assert outcomes[2].message == "the compiler process ended on k2.cu: exit status -11"
    assert sorted(crashing) == [
        ["k0.cu", "k2.cu", "k4.cu", "k6.cu", "k8.cu"],
        ["k1.cu", "k3.cu", "k5.cu", "k7.cu"],
        ["k4.cu", "k6.cu", "k8.cu"],
    ]


def test_workers_that_cannot_start_are_given_up(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    outcomes = workers.compile_units([nvrtc.Unit(f"k{n}.cu", "", ()) for n in range(40)], 2)
    assert {outcome.exit_code for outcome in outcomes} == {Exit.MACHINE_LACKS}
    assert "ended on k39.cu: exit status 1" in outcomes[39].message


def test_an_interrupt_kills_the_workers_and_starts_no_others():
    script = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from gpuprobe.build import nvrtc, workers\n"
        "answers = workers._answers\n"
        "workers._answers = lambda units, pool: print('begun\\n', end='', flush=True) or answers(units, pool)\n"
        "source = 'extern \"C\" __global__ void kernel(float* x) { x[0] = 1.0f; }'\n"
        "units = [nvrtc.Unit(f'k{n}.cu', source, ('--gpu-architecture=sm_80',)) for n in range(20000)]\n"
        "workers.compile_units(units, 2)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert [process.stdout.readline() for _ in range(2)] == ["begun\n"] * 2
            time.sleep(0.3)
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert output == ""
    assert "KeyboardInterrupt" in errors


def test_a_worker_that_was_being_started_as_the_others_were_stopped_ends_too():
    pool = workers._Workers()
    pool.stop()
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as late:
        pool.add(late)
        assert late.wait(timeout=30) == -signal.SIGKILL


def test_a_compile_error_names_file_line_and_cause():
    with pytest.raises(GpuprobeError, match=r'broken\.cu\(1\): error: identifier "undefined" is undefined') as caught:
        compile_cubin("__global__ void k(int* x) { *x = undefined; }", name="broken.cu", arch="sm_90a")
    assert caught.value.exit_code == Exit.WRONG_USE
    assert caught.value.hint


def test_includes_come_from_the_headers_given_and_from_nowhere_else(tmp_path, monkeypatch):
    (tmp_path / "stray.cuh").write_text("#define STRAY 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GpuprobeError, match=r"stray\.cuh"):
        compile_cubin('#include "stray.cuh"\n', name="k.cu", arch="sm_80")


@pytest.mark.parametrize("arch", ["sm90", "compute_90", "sm_90a -G", ""])
def test_unknown_targets_are_refused_before_the_compiler(arch):
    with pytest.raises(GpuprobeError, match="is no compile target"):
        scaled(arch=arch)


def test_a_target_nvrtc_does_not_know_is_an_error():
    with pytest.raises(GpuprobeError, match="sm_12"):
        scaled(arch="sm_12")


def test_macro_names_are_checked():
    with pytest.raises(GpuprobeError, match="'A B' is no macro name"):
        scaled(defines={"A B": 1})


def test_missing_nvrtc_is_exit_3_with_the_pip_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "cuda.bindings", None)
    with pytest.raises(GpuprobeError, match="pip install nvidia-cuda-nvrtc") as caught:
        scaled()
    assert caught.value.exit_code == Exit.MACHINE_LACKS


def test_workers_find_this_package_and_none_of_its_modules_by_its_bare_name(tmp_path):
    environment = workers._environment() | {"PYTHONDONTWRITEBYTECODE": "1"}
    script = "import profile, gpuprobe; print(gpuprobe.__file__, profile.__file__)"
    command = [sys.executable, "-S", "-c", script]  # -S: no site-packages, where the package may be installed as well
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    ours, profiler = map(Path, done.stdout.split())
    assert ours.parent == CHECKOUT / "gpuprobe" != profiler.parent


def test_the_compiler_is_loaded_only_to_compile():
    script = (
        "import sys, gpuprobe.build, gpuprobe.gate; sys.exit(bool({'cuda.bindings.nvrtc', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd=CHECKOUT, check=False).returncode == 0


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"GPUPROBE_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/gpuprobe"),
        ({"HOME": "/c"}, "/c/.cache/gpuprobe"),
    ],
)
def test_where_the_cache_is(monkeypatch, variables, folder):
    for name in ("GPUPROBE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_dir() == Path(folder)


def test_a_build_says_nothing_on_a_good_cache():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert scaled().data


def test_entries_are_readable_by_others(own_cache):
    scaled()
    (entry,) = entries(own_cache)
    assert entry.stat().st_mode & 0o444 == 0o444
