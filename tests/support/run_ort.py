#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a network in ONNX Runtime, at its default optimisation level where not told otherwise.

run_ort.py FILE.onnx IN.npz OUT.npz: IN has in_NAME for each input (or NAME), OUT gets out_NAME for
each output. On processors without VNNI, ONNX Runtime's fast signed-by-unsigned products saturate at
16 bits; the slower exact ones are asked for there, and standard error says so.
"""
import sys

import numpy as np
import onnxruntime as ort


def has_vnni():
    try:
        with open("/proc/cpuinfo") as info:
            return "vnni" in info.read()
    except OSError:
        return False


def session(path, optimized=True):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if not has_vnni():
        options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run(path, inputs, optimized=True):
    """Outputs by name. `inputs`: arrays by name."""
    network = session(path, optimized)
    names = [output.name for output in network.get_outputs()]
    return dict(zip(names, network.run(names, inputs)))


def main(arguments):
    if len(arguments) != 3:
        sys.exit(__doc__)
    path, source, target = arguments
    stored = np.load(source)
    network_inputs = [value.name for value in session(path).get_inputs()]
    inputs = {}
    for name in network_inputs:
        key = "in_" + name if "in_" + name in stored else name
        if key not in stored:
            sys.exit(f"{source}: no array in_{name} or {name}; there are {', '.join(stored)}")
        inputs[name] = stored[key]
    np.savez(target, **{"out_" + name: value for name, value in run(path, inputs).items()})
    if not has_vnni():
        print("no VNNI here: exact integer kernels were asked for", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1:])
