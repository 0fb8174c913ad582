"""What trace_record.py times: small torch.mm, steps and layers of Llama-1B, the steps as a CUDA graph, a stand-in."""

import ctypes
import os
import time

UNITS = {
    **{"mm": 500, "launches": 500, "loop": 20_000, "fake": 500, "fakeloop": 500},
    **{"decode": 1, "layers": 1, "tokens": 8, "graph": 4},
}
"""Launches, steps or layers of a piece."""


class Programs:
    """What is timed: ``turn`` runs a piece, ``prime`` a little of it, ``wait`` waits for the GPU."""

    def __init__(self, name):
        self.units = UNITS[name]
        kind = {"loop": "mm", "launches": "mm", "tokens": "decode", "fakeloop": "fake"}.get(name, name)
        getattr(self, f"_{kind}")()

    def _mm(self):
        import torch

        matrix = torch.randn(64, 64, device="cuda")

        def turn(launches=self.units):
            for _ in range(launches):
                torch.mm(matrix, matrix)

        self.turn, self.prime, self.wait = turn, lambda: turn(100), torch.cuda.synchronize

    def _decode(self, mode="eager"):
        import torch

        from gpuprobe.gpu.llm.model import build
        from gpuprobe.gpu.llm.plan import Point
        from gpuprobe.gpu.llm.steps import step_of

        torch.set_grad_enabled(False)
        model = build("llama-1b", "cuda")
        self.layers = model.model.layers
        step = step_of(model, Point("llama-1b", "decode", 1, 512, mode), "cuda", 2048)
        matrix = torch.randn(64, 64, device="cuda")

        def turn():
            for _ in range(self.units):
                step()

        def prime():
            for _ in range(100):
                torch.mm(matrix, matrix)

        self.turn, self.prime, self.wait = turn, prime if mode == "eager" else step, torch.cuda.synchronize

    def _layers(self):
        self._decode()

    def pairs_of_layers(self, on, tokens):
        """Seconds of neighbouring layers of a token, one of them recorded: which, changes from token to token."""
        states, times = [], []

        def begin(*_):
            if states[len(times)]:
                self.recording = on()
                self.recording.__enter__()
            times.append(time.perf_counter())

        def end(*_):
            times[-1] = time.perf_counter() - times[-1]
            if states[len(times) - 1]:
                self.recording.__exit__(None, None, None)

        hooks = [
            hook
            for layer in self.layers
            for hook in (layer.register_forward_pre_hook(begin), layer.register_forward_hook(end))
        ]
        found = []
        for token in range(tokens):
            states[:] = [(number + token) % 2 == 0 for number in range(len(self.layers))]
            times.clear()
            self.turn()
            self.wait()
            for first in range(0, len(times) - 1, 2):
                pair = times[first : first + 2]
                found.append(pair[::-1] if states[first] else pair)
        for hook in hooks:
            hook.remove()
        return found

    def _graph(self):
        self._decode("graph")

    def _fake(self):
        cuda = ctypes.CDLL(os.environ["GPUPROBE_CUPTI"])
        if recorder := os.environ.get("CUDA_INJECTION64_PATH"):
            ctypes.CDLL(recorder).InitializeInjection()
        self.turn, self.prime = lambda: cuda.fake_run(self.units), lambda: cuda.fake_run(10)
        self.wait = lambda: cuda.cuptiActivityFlushAll(0)
