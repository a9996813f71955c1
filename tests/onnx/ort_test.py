#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares exported networks with the files they came from, in ONNX Runtime.

ort_test.py EXPORT_SAMPLES VENV FILE...: skips itself (77) when VENV has no ONNX Runtime.
"""
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import python_env  # noqa: E402


def random_inputs(network, generator, np):
    inputs = {}
    for value in network.get_inputs():
        shape = [3 if i == 0 and not isinstance(size, int) else size
                 for i, size in enumerate(value.shape)]
        inputs[value.name] = generator.uniform(-2, 2, shape).astype(np.float32)
    return inputs


def compare(original, folder):
    """A line for each way in which the exported files differ from the original."""
    import numpy as np
    import run_ort

    name = os.path.splitext(os.path.basename(original))[0]
    network = run_ort.session(original)
    inputs = random_inputs(network, np.random.default_rng(1), np)
    expected = run_ort.run(original, inputs)
    found = []
    # Folding BatchNorm and bias rounds anew; quantised layers are checked for sense alone, their
    # exact arithmetic elsewhere.
    for suffix, tolerance in (("", 1e-5), (".int8", 0.05), (".int4", 0.6)):
        outputs = run_ort.run(os.path.join(folder, name + suffix + ".onnx"), inputs)
        if list(outputs) != list(expected):
            found.append(f"{name}{suffix}: outputs {list(outputs)}, expected {list(expected)}")
            continue
        for key, wanted in expected.items():
            spread = max(float(np.ptp(wanted)), 1.0)
            error = float(np.max(np.abs(outputs[key] - wanted))) / spread
            if not error <= tolerance:
                found.append(f"{name}{suffix}: output {key} is off by {error:.2e} of its range")
    return found


def main(tool, venv, *files):
    python_env.enter(venv)
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        subprocess.check_call([tool, folder, *files])
        found = [line for file in files for line in compare(file, folder)]
    print("\n".join(found) or
          f"{len(files)} networks agree with ONNX Runtime {onnxruntime.__version__}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
