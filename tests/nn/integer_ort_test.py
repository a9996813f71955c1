#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Tessera's integer executor with exported files in ONNX Runtime.

integer_ort_test.py INTEGER_SAMPLES VENV FILE...: skips itself (77) when VENV has no ONNX Runtime.
Scales that are powers of two: every output is equal bit for bit. Calibrated scales: a runtime may
multiply scales in another order, so a code that lies on a rounding border may move by one step; no
output may be off by more than 1 % of their range.

These files then are networks that came quantised: import and export give the same nodes and constants
again, and with the constants folded the same outputs. The latter run unoptimized: at its default level
ONNX Runtime would quantise the folded weights anew, with one scale for a tensor.
"""
import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import python_env  # noqa: E402


def contents(file):
    """The nodes, with types and values in place of constants' names."""
    import onnx

    def value(tensor):
        array = onnx.numpy_helper.to_array(tensor)
        return tensor.data_type, array.shape, array.tobytes()

    graph = onnx.load(file).graph
    constants = {tensor.name: value(tensor) for tensor in graph.initializer}
    return [(node.op_type, node.name, [constants.get(name, name) for name in node.input],
             list(node.output), sorted(str(attribute) for attribute in node.attribute))
            for node in graph.node]


def compare(sample, suffix):
    """(values, values that differ in any bit, largest difference over the outputs' range)"""
    import numpy as np
    import run_ort

    stored = np.load(sample + ".npz")
    inputs = {name[3:]: stored[name] for name in stored if name.startswith("in_")}
    values, unequal, largest = 0, 0, 0.0
    for name, found in run_ort.run(sample + suffix + ".onnx", inputs, optimized=not suffix).items():
        expected = stored["out_" + name]
        assert found.shape == expected.shape, (sample, name, found.shape, expected.shape)
        difference = np.abs(found.astype(np.float64) - expected) / float(np.ptp(expected))
        values += found.size
        unequal += int(np.sum(found != expected))
        largest = max(largest, float(np.max(difference)))
    return values, unequal, largest


def main(tool, venv, *files):
    python_env.enter(venv)
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([tool, folder, *files])
        for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
            name = os.path.basename(path)[:-4]
            exact = ".calibrated." not in name
            for suffix in "", ".folded":
                values, unequal, largest = compare(path[:-4], suffix)
                print(f"{name}{suffix}: {unequal} of {values} not bit-equal, "
                      f"largest difference {largest:.1e}")
                if exact and unequal or not largest <= 0.01:
                    failures.append(name + suffix)
            if contents(path[:-4] + ".onnx") != contents(path[:-4] + ".same.onnx"):
                failures.append(name + ".same")
    print("differ: " + ", ".join(failures) if failures else "all agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
