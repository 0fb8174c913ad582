"""A program for the recorder's tests: loads the recorder as the CUDA driver would, then launches on fake_cupti."""

import ctypes
import os
import signal
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
    if what == "profiler":
        for begins in (1, 0, 1, 0):
            cuda.fake_run(launches)
            cuda.fake_profiler(begins)
            time.sleep(0.01)
        return 5
    if what == "settle":  # launches before any window, in one, and long after it: twice, the second time settled
        cuda.fake_run(launches)
        time.sleep(0.1)
        cuda.fake_profiler(1)
        cuda.fake_run(launches)
        cuda.fake_profiler(0)
        for _ in range(3):
            time.sleep(0.5)
            cuda.fake_run(launches)
            cuda.fake_profiler(1)
            cuda.fake_profiler(0)
        return 5
    if what == "graph":
        cuda.fake_graph()
        return 5
    if what == "sample":
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            cuda.fake_run(launches)
            time.sleep(0.002)
        return 5
    cuda.fake_run(launches)
    if what == "kill":
        time.sleep(0.5)  # more than the recorder's flush period
        cuda.fake_run(1)
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "wait":
        time.sleep(0.5)
        cuda.fake_run(launches)
    return 5


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
