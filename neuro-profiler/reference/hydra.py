"""Makes the golden values of tests/torch.rs: the published network with random weights, saved as the NeuRO prototype saves it, and what
PyTorch predicts with it.

    pip install torch==2.15.0 && python hydra.py ../tests/golden/hydra
"""
import json
import pathlib
import sys

import torch
from torch import nn

APPS = ["tclf-gcn", "tclf-rf", "tstr-lstm", "kalman-gru", "iclf-mnet", "text-bert", "iclf-efnet", "text-tbert", "iclf-mvit"]

torch.manual_seed(20260101)
out = pathlib.Path(sys.argv[1])
out.mkdir(parents=True, exist_ok=True)


def mlp(*widths):
    layers = []
    for i in range(len(widths) - 1):
        layers.append(nn.Linear(widths[i], widths[i + 1]))
        if i + 2 < len(widths):
            layers.append(nn.GELU())
    return nn.Sequential(*layers)


embedding, phi, rho, head = nn.Embedding(9, 5), mlp(7, 50, 25, 5), mlp(12, 50, 25, 3), mlp(7, 50, 10, 3)
for name, module in [("embedding", embedding), ("feature_extractor", phi), ("regressor", rho), ("embedding_lm_head", head)]:
    torch.save(module.state_dict(), out / f"weights_{name}.pth")

scale = {app: [round(0.1 * (i + 1), 3), round(0.13 * (i + 1), 3), round(0.2 * (i + 1), 3)] for i, app in enumerate(APPS)}
(out / "sts_server1.json").write_text(json.dumps({"min": {app: [0.0] * 3 for app in APPS}, "max": scale}) + "\n")
(out / "norma.json").write_text(json.dumps({"low_metrics": {"cpu-clock": 1e9, "cache-misses": 5e6, "page-faults": 100.0}}) + "\n")

generator = torch.Generator().manual_seed(7)
draw = lambda low, high: low + (high - low) * torch.rand((), generator=generator).item()
lines = []
with torch.no_grad():
    for i in range(40):
        entry = lambda app: {"app": APPS[app], "instances": round(draw(0.5, 16), 2), "rate": round(draw(0.1, 50), 2)}
        target, others = i % 9, torch.randperm(9, generator=generator)[: i % 9].tolist()
        question = entry(target) | {"context": [entry(app) for app in others]}
        row = lambda e: torch.cat([embedding.weight[APPS.index(e["app"])].double(), torch.tensor([e["instances"] / 16, e["rate"] / 10], dtype=torch.double)])
        h = sum((phi.double()(row(e)) for e in question["context"]), torch.zeros(5).double())
        times = rho.double()(torch.cat([h, row(question)])).exp() * torch.tensor(scale[APPS[target]], dtype=torch.double)
        lines.append(json.dumps({"question": question, "times_s": times.tolist()}))
(out / "golden.jsonl").write_text("\n".join(lines) + "\n")
