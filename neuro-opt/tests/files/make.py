"""Writes the networks of this folder and what PyTorch answers: `python make.py` with torch, onnx and safetensors."""

import json
import pathlib

import torch
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(1)
relu = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
sigmoid = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Sigmoid()).eval()
x = torch.tensor([[0.5, -1.0, 0.25]])


class MatMulAdd(torch.nn.Module):
    """Weights in × out and a bias of their own, as exporters of other frameworks write it."""

    def __init__(self):
        super().__init__()
        self.w, self.b = torch.nn.Parameter(torch.randn(3, 4)), torch.nn.Parameter(torch.randn(4))

    def forward(self, x):
        return torch.relu(x @ self.w + self.b)


export = dict(input_names=["x"], output_names=["y"], dynamo=False)
torch.onnx.export(relu, x, here / "relu.onnx", **export)
torch.onnx.export(MatMulAdd().eval(), x, here / "matmul.onnx", **export)
torch.onnx.export(sigmoid, x, here / "sigmoid.onnx", **export)
answers = {}
import onnxruntime

for name in ("relu", "matmul"):
    session = onnxruntime.InferenceSession(here / f"{name}.onnx")
    answers[name] = session.run(None, {"x": x.numpy()})[0][0].tolist()
save_file({name: tensor.contiguous() for name, tensor in relu.state_dict().items()}, here / "relu.safetensors")
layers = [{"weight": f"{i}.weight", "bias": f"{i}.bias", "activation": "relu" if i < 4 else "identity"} for i in (0, 2, 4)]
(here / "relu.json").write_text(json.dumps({"layers": layers}))
(here / "answers.json").write_text(json.dumps({"x": x[0].tolist(), **answers}))
