# SPDX-License-Identifier: Apache-2.0
"""Lets a test run with ONNX Runtime, which lives in a virtual environment of its own."""
import os
import sys

SKIP = 77


def enter(folder):
    """Goes on in the environment's Python; skips the test when there is none with onnxruntime."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        print(f"skipped: no virtual environment in {folder} (make test prepares it)")
        sys.exit(SKIP)
    if os.path.realpath(sys.prefix) != os.path.realpath(folder):
        sys.stdout.flush()
        os.execv(python, [python, *sys.argv])
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        print(f"skipped: {folder} has no onnxruntime")
        sys.exit(SKIP)
