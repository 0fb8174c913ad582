"""Importing and analysing need nothing that only POSIX has: Windows and macOS can read, compare, predict and report.

A fresh interpreter loses those modules and functions before gpuprobe is imported. What runs a GPU, records a program or
judges a kernel stays Linux's business.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

WITHOUT = """
import sys, os, signal
import asyncio, ctypes, multiprocessing, numpy, selectors, socket, subprocess, tempfile, uuid
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "crypt", "readline", "cuda"):
    sys.modules[name] = None
for name in ("fork", "forkpty", "getuid", "geteuid", "getgid", "setsid", "killpg", "getpgid", "setpgid", "uname",
             "sched_getaffinity", "sched_setaffinity", "sched_getscheduler", "getpriority", "mkfifo", "getloadavg",
             "posix_spawn", "wait4", "chown", "fchmod", "O_DIRECTORY", "O_NOFOLLOW", "sysconf"):
    if hasattr(os, name):
        delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1", "SIGUSR2", "SIGCHLD", "SIGPIPE", "SIGQUIT", "SIGSTOP",
             "SIGCONT", "setitimer", "alarm", "pthread_sigmask", "sigwait"):
    if hasattr(signal, name):
        delattr(signal, name)
"""

ANALYSE = """
import tempfile
from pathlib import Path
import gpuprobe
for name in gpuprobe.__all__:
    getattr(gpuprobe, name)
run = gpuprobe.load(gpuprobe.recording("h100-sxm"))
quick = sorted(gpuprobe.recording("h100-sxm").parent.glob("aa/*.json.gz"))
assert gpuprobe.compare(*map(gpuprobe.load, quick)).rows
profile = gpuprobe.load_profile(run)
gpuprobe.draw_roofline(profile, gemms=[(16, 4096, 4096)])
assert gpuprobe.predict.gemm(1, 4096, 4096, gpu="h100-sxm").cold.value > 0
assert gpuprobe.rank("h100-sxm", 512, 512, 512, [(64, 64, 64, 8, 4, 3), (128, 128, 64, 8, 4, 3)])
assert gpuprobe.analyze(gpuprobe.recorded_trace())["verdict"]["bound"] == "cpu"
from gpuprobe.cli import main
with tempfile.TemporaryDirectory() as folder:
    page = str(Path(folder) / "page.html")
    for words in (["report", str(quick[0]), str(gpuprobe.recorded_trace()), "-o", page], ["profile", "a100-sxm-80gb"],
                  ["roofline", "-o", page], ["compare", *map(str, quick)], ["explain", "ffma_latency"],
                  ["trace", "analyze", str(gpuprobe.recorded_trace())], ["doctor"], ["microbench", "--list"]):
        assert main(words) == 0, words
print("analysed")
"""

MODULES = """
import importlib, pkgutil
import gpuprobe
skipped = ("gpuprobe.gpu", "gpuprobe.trace.record", "gpuprobe.kernel_eval")
for module in pkgutil.walk_packages(gpuprobe.__path__, "gpuprobe."):
    if not module.name.startswith(skipped) and "_hook" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print("imported")
"""


def without_posix(code):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.splitlines()[-1]


def test_runs_traces_and_models_are_analysed_without_posix():
    assert without_posix(ANALYSE) == "analysed"


def test_every_module_but_those_that_run_programs_is_imported_without_posix():
    assert without_posix(MODULES) == "imported"


def test_what_is_missing_would_be_noticed():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT + "import os, fcntl"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "fcntl" in done.stderr
