"""A program for the recorder's tests: loads the recorder as the CUDA driver would, then launches on fake_cupti."""

import ctypes
import os
import sys
import time


def initialise_cuda():
    recorder = ctypes.CDLL(os.environ["CUDA_INJECTION64_PATH"])
    if "FAKE_NO_NVTX" not in os.environ:
        assert recorder.InitializeInjectionNvtx2(None) == 1
    assert recorder.InitializeInjection() == 1
    return ctypes.CDLL(os.environ["GPUPROBE_CUPTI"])


def main(what, launches):
    if what == "fork":
        if os.fork() == 0:
            initialise_cuda().fake_run(launches)
            os._exit(0)
        assert os.wait()[1] == 0
        return 0
    cuda = initialise_cuda()
    if what in ONCE:
        ONCE[what](cuda, launches)
        return 5
    cuda.fake_run(launches)
    if what == "kill":
        wait_until(lambda: not cuda.fake_pending())
        cuda.fake_die()
    if what == "wait":
        cuda.fake_release()
        wait_until(cuda.fake_windows)
        cuda.fake_run(launches)
    if what == "delay":
        cuda.fake_release()
        wait_until(cuda.fake_recording)
        cuda.fake_run(launches)
    if what == "twice":
        cuda.fake_run(launches)
    return 5


def wait_until(true):
    """Wait for the recorder, however busy the machine is; a recorder that never answers fails the test."""
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def profiler(cuda, launches):
    """Two windows of at least 10 ms, launches before and after them too."""
    for begins in (1, 0, 1, 0):
        cuda.fake_run(launches)
        cuda.fake_profiler(begins)
        time.sleep(0.01)


def between(cuda, launches):
    """Launches before any window, in one, after it, and twice between empty ones."""
    for inside in (launches, 0, 0):
        cuda.fake_run(launches)
        cuda.cuptiActivityFlushAll(0)
        time.sleep(0.005)  # the last of these calls is over
        cuda.fake_profiler(1)
        cuda.fake_run(inside)
        cuda.fake_profiler(0)


def borders(cuda, launches):
    """Two windows."""
    for _ in range(2):
        cuda.fake_run(launches)
        time.sleep(0.005)  # the last of these calls is over
        cuda.fake_profiler(1)
        cuda.fake_run(launches)
        cuda.cuptiActivityFlushAll(0)
        cuda.fake_profiler(0)


def sample(cuda, launches):
    """Launch until six windows of a sampling recorder have ended."""

    def go_on():
        cuda.fake_run(launches)
        return cuda.fake_windows() >= 6

    wait_until(go_on)


ONCE = {
    "profiler": profiler,
    "between": between,
    "borders": borders,
    "sample": sample,
    "graph": lambda cuda, launches: cuda.fake_graph(),
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
