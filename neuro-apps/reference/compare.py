"""Compares the services with their Python originals.

    python compare.py outputs ../../target/release/neuro-app     # random weights, through checkpoints
    python compare.py times   ../../target/release/neuro-app     # milliseconds per inference, one thread and two
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from originals import ORIGINALS, original, random_inputs

ROUNDS, REPEATS = 5, 4


def randomise(module, seed):
    """Norms and biases that all matter, over the originals' own initial weights."""
    generator = torch.Generator().manual_seed(seed)
    for name, values in module.state_dict().items():
        if values.dtype != torch.float32 or values.dim() != 1:
            continue
        noise = torch.rand(values.shape, generator=generator)
        scale = name.endswith("weight") or name.endswith("running_var")
        values.copy_(0.5 + noise if scale else 0.2 * (noise - 0.5))


def outputs(binary):
    """The largest difference of the outputs, relative to the largest output."""
    worst = 0.0
    for app in ORIGINALS:
        torch.manual_seed(1)
        module, state = original(app)
        randomise(module, 2)
        inputs = random_inputs(app, 3)
        with torch.inference_mode():
            expected = module(**inputs)
        with tempfile.TemporaryDirectory() as folder:
            weights, given, answer = (Path(folder) / f"{part}.safetensors" for part in ("weights", "input", "output"))
            save_file({name: values.contiguous() for name, values in state.items()}, weights)
            save_file(inputs, given)
            command = [binary, "infer", "--app", app, "--weights", weights, "--input", given, "--output", answer]
            subprocess.run(command, check=True)
            found = load_file(answer)["output"]
        found = found.reshape(expected.shape)
        difference = ((found - expected).abs().max() / expected.abs().max()).item()
        worst = max(worst, difference)
        print(f"{app:11} output {str(tuple(expected.shape)):10} relative difference {difference:.1e}", flush=True)
    if worst >= 1e-3:
        sys.exit(f"the largest relative difference is {worst:.1e}")


class Service:
    """A running service; `time` gives the service times of some inferences, in seconds."""

    def __init__(self, binary, app, threads):
        environment = dict(os.environ, RAYON_NUM_THREADS=str(threads))
        command = [binary, "--app", app, "--port", "0", "--threads", str(threads), "--exit-with-parent"]
        started = time.perf_counter()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        self.url = "http://" + json.loads(self.process.stdout.readline())["listening"]
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/healthz").read()
                break
            except urllib.error.HTTPError:
                time.sleep(0.01)
        self.startup_s = time.perf_counter() - started

    def time(self, repeats):
        request = urllib.request.Request(f"{self.url}/request-static", data=b"{}", method="POST")
        return [json.loads(urllib.request.urlopen(request).read())["service_s"] for _ in range(repeats)]

    def peak_mb(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6

    def stop(self):
        self.process.kill()
        self.process.wait()


def forest():
    """scikit-learn's forest of the same size as that of `tclf-rf`, on data of the same kind."""
    from sklearn.ensemble import RandomForestClassifier

    generator = np.random.default_rng(0)
    centres = generator.standard_normal((10, 784))
    labels = np.arange(200) % 10
    items = (centres[labels] + 2 * generator.standard_normal((200, 784))).astype(np.float32)
    model = RandomForestClassifier(100, max_depth=10, random_state=0).fit(items, labels)
    return lambda: model.predict(items[:16])


def original_call(app):
    if app == "tclf-rf":
        return forest()
    module, _ = original(app)
    inputs = random_inputs(app, 0)
    return lambda: module(**inputs)


def times(binary):
    """Ours and the original in turn, so that both see the same machine: the shortest of 20 each, in milliseconds, which leaves out
    what other programs and a hypervisor add."""
    print("| id | ours, 1 thread | PyTorch, 1 thread | ratio | ours, 2 threads | PyTorch, 2 threads | ratio | start-up, s | peak, MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for app in sorted([*ORIGINALS, "tclf-rf"]):
        call = original_call(app)
        cells = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            service = Service(binary, app, threads)
            ours, theirs = [], []
            with torch.inference_mode():
                service.time(2)
                call(), call()
                for _ in range(ROUNDS):
                    ours += service.time(REPEATS)
                    for _ in range(REPEATS):
                        begin = time.perf_counter()
                        call()
                        theirs.append(time.perf_counter() - begin)
            ours, theirs = (1e3 * min(values) for values in (ours, theirs))
            cells += [f"{ours:.3g}", f"{theirs:.3g}", f"{ours / theirs:.2f}"]
            if threads == 1:
                resources = [f"{service.startup_s:.2f}", f"{service.peak_mb():.0f}"]
            service.stop()
        print("| " + " | ".join([f"`{app}`", *cells, *resources]) + " |", flush=True)


if __name__ == "__main__":
    {"outputs": outputs, "times": times}[sys.argv[1]](sys.argv[2])
