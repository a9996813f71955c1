#!/usr/bin/env python3
"""Makes the small networks of this folder: one for each kind, by both of PyTorch's exporters, with
an input and what ONNX Runtime makes of it, as ONNX's own test cases have them.

    python3 make_networks.py

needs torch, torchvision, onnx, onnxscript and onnxruntime (the files here: torch 2.6.0, torchvision
0.21.0, onnx 1.17.0). Tests use the files alone.
"""

import pathlib

import numpy
import onnx
import onnx.numpy_helper
import onnxruntime
import torch
import torchvision
from torch import nn

HERE = pathlib.Path(__file__).resolve().parent


class UNet(nn.Module):
    """Two levels; up once by a transposed convolution and once by interpolation; skips joined."""

    def __init__(self):
        super().__init__()

        def block(inputs, outputs):
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU())

        self.down1, self.down2, self.bottom = block(3, 8), block(8, 12), block(12, 16)
        self.up2 = nn.ConvTranspose2d(16, 12, 2, stride=2)
        self.join2, self.join1 = block(24, 12), block(20, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, image):
        a = self.down1(image)
        b = self.down2(nn.functional.max_pool2d(a, 2))
        c = self.bottom(nn.functional.max_pool2d(b, 2))
        b = self.join2(torch.cat([self.up2(c), b], 1))
        b = nn.functional.interpolate(b, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.head(self.join1(torch.cat([b, a], 1)))


class ShuffleUnit(nn.Module):
    def __init__(self, channels):
        super().__init__()
        half = channels // 2
        self.branch = nn.Sequential(
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False), nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())

    def forward(self, x):
        left, right = x.chunk(2, 1)
        x = torch.cat([left, self.branch(right)], 1)
        n, c, h, w = x.shape
        return x.reshape(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


class ShuffleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.units = nn.Sequential(ShuffleUnit(16), ShuffleUnit(16))
        self.classify = nn.Linear(16, 10)

    def forward(self, image):
        return self.classify(self.units(self.stem(image)).mean([2, 3]))


class SqueezeNet(nn.Module):
    def __init__(self):
        super().__init__()
        fire = torchvision.models.squeezenet.Fire
        self.features = nn.Sequential(
            nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True),
            fire(16, 4, 12, 12), fire(24, 4, 12, 12))
        self.classifier = nn.Sequential(
            nn.Dropout(), nn.Conv2d(24, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())

    def forward(self, image):
        return self.classifier(self.features(image))


def vit():
    return torchvision.models.VisionTransformer(
        image_size=16, patch_size=4, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32,
        num_classes=10)


class BertQa(nn.Module):
    """Embeddings, two encoder layers with masked attention, start and end logits."""

    def __init__(self, width=16, heads=2, length=12):
        super().__init__()
        self.heads = heads
        self.words, self.places = nn.Embedding(50, width), nn.Embedding(length, width)
        self.kinds, self.norm = nn.Embedding(2, width), nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleDict({
                "q": nn.Linear(width, width), "k": nn.Linear(width, width),
                "v": nn.Linear(width, width), "o": nn.Linear(width, width),
                "norm1": nn.LayerNorm(width), "up": nn.Linear(width, 2 * width),
                "down": nn.Linear(2 * width, width), "norm2": nn.LayerNorm(width)})
            for _ in range(2))
        self.answer = nn.Linear(width, 2)

    def forward(self, input_ids, attention_mask, token_type_ids):
        places = torch.arange(input_ids.shape[1]).unsqueeze(0)
        x = self.norm(
            self.words(input_ids) + self.places(places) + self.kinds(token_type_ids))
        mask = (1.0 - attention_mask[:, None, None, :].to(x.dtype)) * -10000.0

        def split(y):
            return y.view(y.shape[0], y.shape[1], self.heads, -1).permute(0, 2, 1, 3)

        for layer in self.layers:
            q, k, v = (split(layer[name](x)) for name in "qkv")
            weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask).softmax(-1)
            y = (weights @ v).permute(0, 2, 1, 3).flatten(2)
            x = layer["norm1"](x + layer["o"](y))
            x = layer["norm2"](x + layer["down"](nn.functional.gelu(layer["up"](x))))
        start, end = self.answer(x).split(1, -1)
        return start.squeeze(-1), end.squeeze(-1)


class Keyword(nn.Module):
    """40 frames of 10 coefficients through a convolution in time and an LSTM."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(10, 16, 3, stride=2, padding=1)
        self.lstm = nn.LSTM(16, 20, batch_first=True)
        self.classify = nn.Linear(20, 12)

    def forward(self, features):
        x = nn.functional.relu(self.conv(features)).transpose(1, 2)
        return self.classify(self.lstm(x)[0][:, -1])


def networks():
    image = torch.rand(1, 3, 16, 16)
    words = torch.randint(0, 50, (1, 12))
    mask = torch.ones(1, 12, dtype=torch.long)
    mask[:, 9:] = 0
    return {
        "unet": (UNet(), {"image": image}),
        "shufflenet": (ShuffleNet(), {"image": image}),
        "squeezenet": (SqueezeNet(), {"image": torch.rand(1, 3, 33, 33)}),
        "vit": (vit(), {"image": image}),
        "bert_qa": (BertQa(), {
            "input_ids": words, "attention_mask": mask,
            "token_type_ids": torch.zeros(1, 12, dtype=torch.long)}),
        "keyword_lstm": (Keyword(), {"features": torch.rand(1, 10, 40)}),
    }


def write_tensor(path, array, name):
    path.write_bytes(onnx.numpy_helper.from_array(numpy.asarray(array), name).SerializeToString())


def write(name, exporter, module, inputs):
    folder = HERE / f"{name}_{exporter}"
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    arguments = tuple(inputs.values())
    if exporter == "script":
        torch.onnx.export(
            module, arguments, file, input_names=list(inputs), opset_version=17, dynamo=False,
            dynamic_axes={key: {0: "batch"} for key in inputs})
    else:
        torch.onnx.export(
            module, arguments, file, input_names=list(inputs), dynamo=True, external_data=False,
            optimize=True)
    model = onnx.load(file)
    del model.graph.value_info[:]
    for node in model.graph.node:  # stack traces of this script
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_inputs()]
    arrays = [value.numpy() for value in inputs.values()]
    for i, (key, array) in enumerate(zip(names, arrays)):
        write_tensor(data / f"input_{i}.pb", array, key)
    for i, array in enumerate(session.run(None, dict(zip(names, arrays)))):
        write_tensor(data / f"output_{i}.pb", array, session.get_outputs()[i].name)


def main():
    torch.manual_seed(7)
    torch.backends.mha.set_fastpath_enabled(False)  # which has no ONNX form
    for name, (module, inputs) in networks().items():
        module.eval()
        # Statistics that differ from the start's, so that folding them shows.
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.uniform_(-0.2, 0.2)
                part.running_var.uniform_(0.5, 1.5)
            if isinstance(part, torchvision.models.VisionTransformer):
                nn.init.normal_(part.heads.head.weight)
        for exporter in "script", "dynamo":
            with torch.no_grad():
                write(name, exporter, module, inputs)


if __name__ == "__main__":
    main()
