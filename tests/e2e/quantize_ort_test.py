#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What `tessera quantize` writes, in other hands: model.onnx in ONNX Runtime, and the packed weights
as docs/strum.md describes them, read by Python. Exit code 77 without ONNX Runtime."""
import gzip
import json
import os
import sys
import tempfile
import unittest

import harness

sys.path.insert(0, os.path.join(harness.SOURCE_DIR, "tests", "support"))
import python_env  # noqa: E402

NETWORK = f"{harness.SOURCE_DIR}/models/resnet8_fashion_mnist.onnx"
DATA = "/usr/share/datasets/fashion-mnist"


class Bits:
    """Of a stream that fills each byte from its least significant bit."""

    def __init__(self, data):
        self.value, self.at = int.from_bytes(data, "little"), 0

    def take(self, width):
        self.at += width
        return self.value >> (self.at - width) & ((1 << width) - 1)


def signed(code, bits):
    return code - (1 << bits) if code >> (bits - 1) else code


def unpack(data):
    """Weights [outputs][inputs][positions] of a packed layer."""
    import numpy as np

    def number(at, size):
        return int.from_bytes(data[at:at + size], "little")

    assert data[:4] == b"STRM" and number(4, 2) == 1
    low_set, parameter, variant, shift = data[6], data[7], data[8], data[16]
    rows, columns = number(12, 2), number(14, 2)
    outputs, inputs, positions = number(20, 4), number(24, 4), number(28, 4)
    q = parameter if low_set == 1 else parameter.bit_length() + 1 if low_set == 2 else 0
    weights = np.zeros((outputs, inputs, positions), int)
    bits = Bits(data[40:40 + number(32, 8)])
    for m in range(0, outputs, rows):
        for k in range(positions):
            for c in range(0, inputs, columns):
                mask = [bits.take(1) for _ in range(rows * columns)]
                places = [(m + i // columns, c + i % columns, mask[i]) for i in range(len(mask))
                          if m + i // columns < outputs and c + i % columns < inputs]
                if low_set == 1 and variant == 3:
                    shift = bits.take(3)
                for output, channel, high in places:
                    if high:
                        weights[output, channel, k] = signed(bits.take(8), 8)
                for output, channel, high in places:
                    if high:
                        continue
                    code = bits.take(q)
                    if low_set == 1:
                        weights[output, channel, k] = signed(code, q) << shift
                    elif low_set == 2:
                        exponent = code & ((1 << (q - 1)) - 1)
                        weights[output, channel, k] = (-1 if code >> (q - 1) else 1) << exponent
    return weights


class OtherHands(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def test_runtime_and_packed_weights_agree(self):
        import numpy as np
        import onnx
        import onnx.numpy_helper
        import run_ort

        with gzip.open(f"{DATA}/t10k-images-idx3-ubyte.gz") as stream:
            pixels = np.frombuffer(stream.read()[16:], np.uint8).reshape(-1, 1, 28, 28)
        with gzip.open(f"{DATA}/t10k-labels-idx1-ubyte.gz") as stream:
            labels = np.frombuffer(stream.read()[8:], np.uint8)
        for scheme in ("strum:mip2q,p=0.5,L=5", "strum:dliq,grid=block,p=0.75",
                       "strum:sparsity,block=2x8", "int4g32/a8"):
            with self.subTest(scheme):
                code, out, err = harness.run(
                    "quantize", NETWORK, "--scheme", scheme, "--data", "fashion-mnist",
                    "--no-baselines", "--out", "q", "--json", cwd=self.folder)
                self.assertEqual(code, 0, err)
                found = json.loads(out)
                path = f"{self.folder}/q/model.onnx"
                model = onnx.load(path)
                values = {tensor.name: onnx.numpy_helper.to_array(tensor)
                          for tensor in model.graph.initializer}
                weight_of = {node.name: node.input[1] for node in model.graph.node
                             if node.op_type in ("Conv", "Gemm", "MatMul")}
                source = {node.output[0]: node.input for node in model.graph.node
                          if node.op_type in ("DequantizeLinear", "Reshape")}
                with open(f"{self.folder}/q/packed.safetensors", "rb") as stream:
                    content = stream.read()
                size = int.from_bytes(content[:8], "little")
                header = json.loads(content[8:8 + size])
                unpacked = 0
                for layer in found["layers"]:
                    inputs = source[weight_of[layer["name"]]]
                    if inputs[0] in source:  # a matrix of groups, brought into its shape
                        inputs = source[inputs[0]]
                    codes = values[inputs[0]]
                    if layer["format"] == "int4g32/a8":
                        def packed(name):
                            begin, end = header[name]["data_offsets"]
                            return content[8 + size + begin:8 + size + end]
                        np.testing.assert_array_equal(
                            np.frombuffer(packed(layer["name"] + ".weight"), np.int8),
                            codes.astype(np.int8).reshape(-1))
                        scales = values[inputs[1]]
                        self.assertEqual(header[layer["name"] + ".weight.scale"]["shape"],
                                         list(scales.shape))
                        np.testing.assert_array_equal(
                            np.frombuffer(packed(layer["name"] + ".weight.scale"), np.float32),
                            scales.reshape(-1))
                        self.assertEqual(layer["stored_bits"],
                                         4 * layer["weights"] + 32 * scales.size)
                        unpacked += 1
                        continue
                    self.assertEqual(codes.dtype, np.int8, layer["name"])
                    if layer["name"] + ".weight.strum" not in header:
                        continue
                    begin, end = header[layer["name"] + ".weight.strum"]["data_offsets"]
                    weights = unpack(content[8 + size + begin:8 + size + end])
                    np.testing.assert_array_equal(weights, codes.reshape(weights.shape))
                    unpacked += 1
                self.assertEqual(unpacked, len(found["layers"]) - 2)
                metadata = {entry.key: entry.value for entry in model.metadata_props}
                images = (pixels / np.float32(255) - np.float32(metadata["tessera.mean"])
                          ) / np.float32(metadata["tessera.std"])
                name = model.graph.input[0].name
                logits = run_ort.run(path, {name: images}).popitem()[1]
                top1 = np.mean(logits.argmax(1) == labels)
                # Images on the border between two classes, since runtimes round in their own order
                # (docs/rules/export.md).
                self.assertLessEqual(abs(top1 - found["accuracy"]["quantized"]), 0.001)
                self.assertEqual(found["accuracy"]["images"], len(labels))


if __name__ == "__main__":
    python_env.enter(os.path.join(harness.SOURCE_DIR, ".venv"))
    harness.main()
