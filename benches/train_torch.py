"""Training steps of neuro-profiler and of PyTorch in turn, on batches of the same sizes, one thread each.

    python train_torch.py ../target/release/profiler-speed

PyTorch: CPU, vectorised, tensors of every batch made beforehand, fused Adam, gradient norm clipped. The published loop asks the network
for one datapoint at a time, as the NeuRO prototype does.
"""
import json
import os
import statistics
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"
import torch
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(1)
APPS, TENANTS = 9, 9


def mlp(widths, hidden):
    layers = []
    for i in range(len(widths) - 1):
        layers.append(nn.Linear(widths[i], widths[i + 1]))
        if i + 2 < len(widths):
            layers.append(hidden())
    return nn.Sequential(*layers)


class Hydra(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(APPS, 5)
        self.phi = mlp([7, 50, 25, 5], nn.GELU)
        self.rho = mlp([12, 50, 25, 3], nn.GELU)
        self.head = mlp([7, 50, 10, 3], nn.GELU)

    def forward(self, apps, loads, other_apps, other_loads):
        members = torch.cat([self.embedding(other_apps), other_loads], -1)
        h = self.phi(members).sum(-2)
        own = torch.cat([self.embedding(apps), loads], -1)
        return self.rho(torch.cat([h, own], -1)).exp(), self.head(own)


class ServerState(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(APPS, 5)
        self.request = mlp([7, 50, 25, 11], nn.ReLU)
        self.head = mlp([8, 32, 16, 3 * APPS], nn.ReLU)

    def forward(self, apps, shares, rates):
        z = self.request(torch.cat([self.embedding(apps), rates], -1))
        h = (shares.unsqueeze(-1) * z[..., :8]).sum(1)
        f = self.head(h).view(-1, APPS, 3)
        return f.gather(1, apps.unsqueeze(-1).expand(-1, -1, 3)) + z[..., 8:]


def median_us(step, count, rounds=3):
    times = []
    for i in range(rounds + 1):
        start = time.perf_counter()
        for j in range(count):
            step(j)
        times.append(1e6 * (time.perf_counter() - start) / count)
    return statistics.median(times[1:])


def trainer(model):
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)

    def apply(loss):
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimiser.step()

    return apply


def hydra(size, count):
    model = Hydra()
    apply = trainer(model)
    batches = [
        (
            torch.randint(APPS, (size,)), torch.rand(size, 2),
            torch.randint(APPS, (size, TENANTS - 1)), torch.rand(size, TENANTS - 1, 2),
            torch.rand(size, 3), torch.rand(size, 3),
        )
        for _ in range(32)
    ]

    def step(i):
        *inputs, targets, counters = batches[i % 32]
        predicted, counted = model(*inputs)
        apply(nn.functional.mse_loss(predicted, targets) + 0.1 * nn.functional.mse_loss(counted, counters))

    return median_us(step, count)


def published_loop(count=20, size=16):
    """A batch of `size`, the network asked one datapoint at a time; microseconds a datapoint."""
    model = Hydra()
    apply = trainer(model)
    point = lambda: (
        torch.randint(APPS, ()), torch.rand(2), torch.randint(APPS, (TENANTS - 1,)), torch.rand(TENANTS - 1, 2),
        torch.rand(3), torch.rand(3),
    )
    batch = [point() for _ in range(size)]

    def step(_):
        loss = 0.0
        for *inputs, targets, counters in batch:
            predicted, counted = model(*inputs)
            loss = loss + nn.functional.mse_loss(predicted, targets) + 0.1 * nn.functional.mse_loss(counted, counters)
        apply(loss / size)

    return median_us(step, count) / size


def server_state(count=400, runs=16):
    model = ServerState()
    apply = trainer(model)
    batches = [
        (torch.randint(APPS, (runs, TENANTS)), torch.rand(runs, TENANTS), torch.rand(runs, TENANTS, 2), torch.rand(runs, TENANTS, 3))
        for _ in range(32)
    ]

    def step(i):
        *inputs, targets = batches[i % 32]
        apply(nn.functional.huber_loss(model(*inputs), targets, delta=0.05))

    return median_us(step, count)


ours, theirs = [], []
for _ in range(3):
    ours.append(json.loads(subprocess.run([sys.argv[1]], capture_output=True, check=True, text=True).stdout))
    theirs.append({
        "server_state_step_us": server_state(),
        "paper_16_step_us": hydra(16, 400),
        "paper_256_step_us": hydra(256, 100),
        "published_loop_us_per_datapoint": published_loop(),
    })
median = lambda rows: {key: round(statistics.median(row[key] for row in rows), 2) for key in rows[0]}
print("torch", torch.__version__, "threads", torch.get_num_threads())
print("neuro  ", json.dumps(median(ours)))
print("PyTorch", json.dumps(median(theirs)))
for key in ["server_state_step_us", "paper_16_step_us", "paper_256_step_us"]:
    print(key, "PyTorch / neuro:", round(median(theirs)[key] / median(ours)[key], 2))
ours_16 = 16e6 / median(ours)["paper_16_step_us"]
print("datapoints/s at batch 16:", round(ours_16), "=", round(ours_16 / (18227 / 14), 1), "x the published 18,227 in 14 CPU seconds,",
      round(ours_16 * median(theirs)["published_loop_us_per_datapoint"] / 1e6, 1), "x that loop here")
