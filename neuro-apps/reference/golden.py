"""Writes the golden outputs of the tests: what the originals answer with weights and inputs from a formula.

    python golden.py ../tests/golden
"""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from originals import INPUTS, INTEGERS, ORIGINALS, original


def fnv1a(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


def integers(name, count):
    """Element i is the (i + 1)th output of SplitMix64 from the state FNV-1a(name)."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a(name)) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def uniform(name, count):
    """In [0, 1), 24 bits."""
    return (integers(name, count) >> np.uint64(40)).astype(np.float64) / 2**24


def weight(name, shape):
    """Variance 1 / inputs for matrices and kernels; norms about 1, biases and means about 0."""
    u = uniform(name, int(np.prod(shape)))
    if len(shape) > 1:
        values = (u - 0.5) * np.sqrt(12 / np.prod(shape[1:]))
    elif name.endswith("running_var") or name.endswith("weight"):
        values = 0.5 + u
    else:
        values = 0.2 * (u - 0.5)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def tensor(name, shape):
    """An input: white noise of variance 1, or integers."""
    if name in INTEGERS:
        numbers = integers(f"input.{name}", int(np.prod(shape))) % np.uint64(INTEGERS[name])
        return torch.from_numpy(numbers.astype(np.int64).reshape(shape))
    u = uniform(f"input.{name}", int(np.prod(shape)))
    return torch.from_numpy(((u - 0.5) * np.sqrt(12)).astype(np.float32).reshape(shape))


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for app in ORIGINALS:
        module, state = original(app)
        for name, values in state.items():
            if values.dtype == torch.float32:
                values.copy_(weight(name, tuple(values.shape)))
        inputs = {name: tensor(name, shape) for name, shape in INPUTS[app].items()}
        with torch.inference_mode():
            output = module(**inputs).clone()
        save_file({"output": output.contiguous()}, folder / f"{app}.safetensors")
        parameters = sum(p.numel() for p in module.parameters())
        print(f"{app:11} {parameters:>11,} parameters, output {tuple(output.shape)}, largest {output.abs().max():.3g}")


if __name__ == "__main__":
    main()
