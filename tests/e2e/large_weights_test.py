#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Networks whose weights lie in a file of more than 2 GB beside them. The files are sparse, but not
every file system has such: runs with TESSERA_LARGE_FILES=1 alone (exit code 77 without)."""
import json
import os
import struct
import sys
import tempfile
import unittest

import harness

LIMIT = 1 << 31
LAYERS = 3
SIZE = 16384
BYTES = 4 * SIZE * SIZE  # of a layer: the second ends at 2^31, the third lies behind


def varint(value):
    out = bytearray()
    while value > 0x7f:
        out.append(value & 0x7f | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value)


def message(field, content):
    content = content.encode() if isinstance(content, str) else content
    return varint(field << 3 | 2) + varint(len(content)) + content


def value_info(name, sizes):
    """ValueInfoProto: float32, sizes are numbers or a name."""
    dims = b"".join(message(1, message(2, size) if isinstance(size, str) else number(1, size))
                    for size in sizes)
    return message(1, name) + message(2, message(1, number(1, 1) + message(2, dims)))


def external_tensor(name, size, offset):
    """TensorProto: float32, size x size, in weights.bin."""
    entries = {"location": "weights.bin", "offset": str(offset), "length": str(4 * size * size)}
    return (number(1, size) * 2 + number(2, 1) + message(8, name) +
            b"".join(message(13, message(1, key) + message(2, text))
                     for key, text in entries.items()) + number(14, 1))


def model(size, offsets):
    """Products by rows, one after the other, whose weights lie at these offsets."""
    graph = b""
    for i in range(len(offsets)):
        attribute = message(1, "transB") + number(3, 1) + number(20, 2)
        graph += message(1, message(1, f"x{i}") + message(1, f"w{i}") + message(2, f"x{i + 1}") +
                         message(3, f"fc{i}") + message(4, "Gemm") + message(5, attribute))
    graph += message(2, "large")
    for i, offset in enumerate(offsets):
        graph += message(5, external_tensor(f"w{i}", size, offset))
    graph += message(11, value_info("x0", ["N", size]))
    graph += message(12, value_info(f"x{len(offsets)}", ["N", size]))
    return number(1, 8) + message(7, graph) + message(8, message(1, "") + number(2, 13))


class LargeWeights(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def write(self, size, offsets, length):
        """net.onnx, and weights.bin of zeros."""
        with open(f"{self.folder}/net.onnx", "wb") as stream:
            stream.write(model(size, offsets))
        with open(f"{self.folder}/weights.bin", "wb") as stream:
            stream.truncate(length)

    def ok(self, *arguments):
        code, out, err = harness.run(*arguments, "--json", cwd=self.folder)
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def test_more_than_2_gb_of_weights_are_inspected_and_costed(self):
        offsets = [i * BYTES for i in range(LAYERS)]
        self.write(SIZE, offsets, LAYERS * BYTES)
        self.assertGreater(LAYERS * BYTES, LIMIT)
        weights = LAYERS * SIZE * SIZE
        shown = self.ok("inspect", "net.onnx")
        self.assertEqual([layer["weights"] for layer in shown["layers"]], [SIZE * SIZE] * LAYERS)
        totals = self.ok("cost", "net.onnx", "--hardware", "flexnn", "--format", "int8")["totals"]
        self.assertEqual(totals["params"], weights)
        self.assertEqual(totals["digital_weight_bytes"], weights)

        with open(f"{self.folder}/weights.bin", "r+b") as stream:
            stream.truncate(LAYERS * BYTES - 1)
        code, _, err = harness.run("inspect", "net.onnx", cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn(f"external data file 'weights.bin' has {LAYERS * BYTES - 1} bytes, needed are "
                      f"{BYTES} from {offsets[-1]}", err)

    def test_weights_behind_2_gb_are_read(self):
        size = 64
        offsets = [0, LIMIT - 8 * size, 3 * LIMIT // 2]  # before, across and behind
        self.write(size, offsets, 2 * LIMIT)
        # INT4 codes over 16: a scale of 1/16 has no error.
        codes = [[(i * 7 + k * 3 + k // 15) % 15 - 7 for k in range(size * size)]
                 for i in range(len(offsets))]
        with open(f"{self.folder}/weights.bin", "r+b") as stream:
            for offset, layer in zip(offsets, codes):
                stream.seek(offset)
                stream.write(struct.pack(f"<{len(layer)}f", *(code / 16 for code in layer)))
        self.ok("quantize", "net.onnx", "--scheme", "int4/a8", "--keep", "none", "--out", "q")
        content = harness.read_bytes(f"{self.folder}/q/packed.safetensors")
        begin = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:begin])

        def tensor(name, kind):
            first, last = header[name]["data_offsets"]
            return list(memoryview(content[begin + first:begin + last]).cast(kind))

        for i, layer in enumerate(codes):
            self.assertEqual(tensor(f"fc{i}.weight", "b"), layer)
            self.assertEqual(tensor(f"fc{i}.weight.scale", "f"), [1 / 16] * size)


if __name__ == "__main__":
    if os.environ.get("TESSERA_LARGE_FILES") != "1":
        print("skipped: TESSERA_LARGE_FILES=1 asks for files of more than 2 GB")
        sys.exit(77)
    harness.main()
