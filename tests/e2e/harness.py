# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: running tessera, and small inputs made on the spot.

Each test file is called as FILE.py TESSERA BINARY_DIR; standard Python alone.
"""
import io
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
import unittest
import zipfile

TESSERA = BINARY_DIR = None
SOURCE_DIR = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = None
SIDE = 12  # of an image, in pixels
CLASSES = 4


def main():
    global TESSERA, BINARY_DIR, FIXTURES
    TESSERA, BINARY_DIR = sys.argv[1:3]
    FIXTURES = os.path.join(BINARY_DIR, "tests", "onnx", "fixtures")
    unittest.main(module="__main__", argv=[sys.argv[0], *sys.argv[3:]], verbosity=2)


def start(*arguments, cwd):
    return subprocess.Popen([TESSERA, *map(str, arguments)], cwd=cwd, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, cwd):
    """(exit code, standard output, standard error)"""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def npy(kind, shape, data):
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def write_npz(path, arrays):
    """arrays: {name: (numpy type, shape, bytes)}"""
    with zipfile.ZipFile(path, "w") as archive:
        for name, (kind, shape, data) in arrays.items():
            archive.writestr(name + ".npy", npy(kind, shape, data))


def split_arrays(split, count, generator, side=SIDE, classes=CLASSES):
    """Images whose class shows as a bright quarter, under noise."""
    images, labels = bytearray(), bytearray()
    for index in range(count):
        label = index % classes
        labels.append(label)
        for y in range(side):
            for x in range(side):
                bright = (y >= side // 2) * 2 + (x >= side // 2) == label
                images.append(min(255, max(0, int(generator.gauss(140 if bright else 90, 50)))))
    return {f"x_{split}": ("|u1", (count, 1, side, side), bytes(images)),
            f"y_{split}": ("|u1", (count,), bytes(labels))}


def write_data(path, train=600, test=200, **options):
    generator = random.Random(1)
    arrays = split_arrays("train", train, generator, **options)
    write_npz(path, arrays | split_arrays("test", test, generator, **options))


# The fields of records that may differ between equal runs.
UNSTABLE = ("timing", "command")


def stable(path):
    with open(path, encoding="utf-8") as stream:
        value = json.load(stream)
    for holder in (value, value.get("chosen") or {}):
        for field in UNSTABLE:
            holder.pop(field, None)
    return value


class Case(unittest.TestCase):
    """A folder with small data (data.npz) and a network trained on it (net.onnx)."""

    @classmethod
    def setUpClass(cls):
        cls.scratch = tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        write_data(os.path.join(cls.folder, "data.npz"))
        code, _, err = run("train", "resnet8", "--data", "npz:data.npz?mean=0.4&std=0.25",
                           "--epochs", 6, "--batch", 50, "--out", "net.onnx", cwd=cls.folder)
        assert code == 0, err

    @classmethod
    def tearDownClass(cls):
        cls.scratch.cleanup()

    def path(self, *parts):
        return os.path.join(self.folder, *parts)

    def ok(self, *arguments):
        code, out, err = run(*arguments, cwd=self.folder)
        self.assertEqual(code, 0, err)
        return out


def write_text(path, text):
    with io.open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


def read_bytes(path):
    with open(path, "rb") as stream:
        return stream.read()
