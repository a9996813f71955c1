#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares Tessera's integer executor with exported files in ONNX Runtime.

integer_ort_test.py INTEGER_SAMPLES VENV FILE...: skips itself (77) when VENV has no ONNX Runtime.
Scales that are powers of two: every output is equal bit for bit. Calibrated scales: a runtime may
multiply scales in another order, so a code that lies on a rounding border may move by one step; no
output may be off by more than 1 % of their range.
"""
import glob
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import ort_env  # noqa: E402


def compare(sample):
    """(values, values that differ in any bit, largest difference over the outputs' range)"""
    import numpy as np
    import run_ort

    stored = np.load(sample + ".npz")
    inputs = {name[3:]: stored[name] for name in stored if name.startswith("in_")}
    values, unequal, largest = 0, 0, 0.0
    for name, found in run_ort.run(sample + ".onnx", inputs).items():
        expected = stored["out_" + name]
        assert found.shape == expected.shape, (sample, name, found.shape, expected.shape)
        difference = np.abs(found.astype(np.float64) - expected) / float(np.ptp(expected))
        values += found.size
        unequal += int(np.sum(found != expected))
        largest = max(largest, float(np.max(difference)))
    return values, unequal, largest


def main(tool, venv, *files):
    ort_env.enter(venv)
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([tool, folder, *files])
        for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
            name = os.path.basename(path)[:-4]
            values, unequal, largest = compare(path[:-4])
            exact = ".calibrated." not in name
            print(f"{name}: {unequal} of {values} not bit-equal, largest difference {largest:.1e}")
            if exact and unequal or not largest <= 0.01:
                failures.append(name)
    print("differ: " + ", ".join(failures) if failures else "all agree")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
