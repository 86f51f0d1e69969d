"""The Python originals of the services: their modules, inputs and batches."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torchvision
from torch import nn
from torch_geometric.nn import GCN2Conv
from transformers import BertConfig, BertForSequenceClassification, MobileViTConfig, MobileViTForImageClassification


class Logits(nn.Module):
    """A Hugging Face model that answers with its logits alone; the state dict is the model's own."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, **inputs):
        return self.model(**inputs).logits


class Images(nn.Module):
    """A torchvision classifier called by keyword."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model(pixel_values)


class Gcn2(nn.Module):
    """GCNII as in the paper's Cora experiment, with the mean node classified."""

    def __init__(self, layers=64, hidden=64, alpha=0.1, theta=0.5):
        super().__init__()
        self.lins = nn.ModuleList([nn.Linear(784, hidden), nn.Linear(hidden, 10)])
        self.convs = nn.ModuleList(GCN2Conv(hidden, alpha, theta, layer + 1) for layer in range(layers))

    def forward(self, features, edges):
        answers = []
        for x, edge_index in zip(features, edges.long()):
            x = initial = self.lins[0](x).relu()
            for conv in self.convs:
                x = conv(x, initial, edge_index).relu()
            answers.append(self.lins[1](x.mean(0)))
        return torch.stack(answers)


class Lstm(nn.Module):
    """Two LSTM layers and three dense ones; `lstm.*`, `dense.0` to `dense.2`."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(100, 50, 2)
        self.dense = nn.ModuleList([nn.Linear(50, 10), nn.Linear(10, 10), nn.Linear(10, 1)])

    def forward(self, series):
        x = self.lstm(series)[0][-1]
        return self.dense[2](self.dense[1](self.dense[0](x).relu()).relu()).squeeze(1)


class Kalman(nn.Module):
    """KalmanNet on the linear system of `kalman-gru`: a step for each observation, at most 100 of them."""

    def __init__(self):
        super().__init__()
        self.input = nn.Linear(4, 320)
        self.gru = nn.GRU(320, 80)
        self.output = nn.ModuleList([nn.Linear(80, 16), nn.Linear(16, 4)])
        self.transition = torch.tensor([[0.93623, -0.28961], [0.28961, 0.93623]])
        self.observation = torch.tensor([[1.0, 0.5], [0.0, 1.0]])

    def forward(self, observations):
        x = before = torch.tensor([1.0, 0.0])
        hidden, estimates = torch.zeros(1, 1, 80), []
        unit = nn.functional.normalize
        for y in observations:
            prior = self.transition @ x
            innovation = y - self.observation @ prior
            features = torch.cat([unit(innovation, dim=0), unit(x - before, dim=0)])
            inner, hidden = self.gru(self.input(features).relu().view(1, 1, -1), hidden)
            gain = self.output[1](self.output[0](inner.flatten()).relu()).view(2, 2)
            x, before = prior + gain @ innovation, prior
            estimates.append(x)
        return torch.stack(estimates)


def tiny_bert():
    return BertConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=512, num_labels=1
    )


ORIGINALS = {
    "iclf-efnet": lambda: Images(torchvision.models.efficientnet_v2_l()),
    "iclf-mnet": lambda: Images(torchvision.models.mobilenet_v3_large()),
    "iclf-mvit": lambda: Logits(MobileViTForImageClassification(MobileViTConfig(num_labels=1000))),
    "kalman-gru": Kalman,
    "tclf-gcn": Gcn2,
    "text-bert": lambda: Logits(BertForSequenceClassification(BertConfig(num_labels=2))),
    "text-tbert": lambda: Logits(BertForSequenceClassification(tiny_bert())),
    "tstr-lstm": Lstm,
}

# Shapes of the inputs at the service's default batch, and the dimension that counts the items.
INPUTS = {
    "iclf-efnet": {"pixel_values": (1, 3, 224, 224)},
    "iclf-mnet": {"pixel_values": (8, 3, 224, 224)},
    "iclf-mvit": {"pixel_values": (2, 3, 256, 256)},
    "kalman-gru": {"observations": (16, 2)},
    "tclf-gcn": {"features": (1, 1000, 784), "edges": (1, 2, 20000)},
    "text-bert": {"input_ids": (1, 130), "token_type_ids": (1, 130)},
    "text-tbert": {"input_ids": (1, 128), "token_type_ids": (1, 128)},
    "tstr-lstm": {"series": (784, 16, 100)},
}

# The integers below these are drawn for inputs that are no real numbers.
INTEGERS = {"input_ids": 30522, "token_type_ids": 2, "edges": 1000}


def original(app):
    """The original of a service in evaluation mode, and its state dict under its own names."""
    module = ORIGINALS[app]().eval()
    return module, (module.model if isinstance(module, (Logits, Images)) else module).state_dict()


def random_inputs(app, seed):
    """Inputs at the default batch from torch's generator."""
    generator = torch.Generator().manual_seed(seed)

    def draw(name, shape):
        if name in INTEGERS:
            return torch.randint(0, INTEGERS[name], shape, generator=generator)
        return torch.randn(shape, generator=generator)

    return {name: draw(name, shape) for name, shape in INPUTS[app].items()}
