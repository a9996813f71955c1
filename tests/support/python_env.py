# SPDX-License-Identifier: Apache-2.0
"""Lets a test run with Python packages, which live in a virtual environment of their own."""
import importlib.util
import os
import sys

SKIP = 77


def enter(folder, package="onnxruntime"):
    """Goes on in the environment's Python; skips the test when there is none with the package."""
    python = os.path.join(folder, "bin", "python")
    if not os.path.exists(python):
        print(f"skipped: no virtual environment in {folder} (make test prepares it)")
        sys.exit(SKIP)
    if os.path.realpath(sys.prefix) != os.path.realpath(folder):
        sys.stdout.flush()
        os.execv(python, [python, *sys.argv])
    if importlib.util.find_spec(package) is None:
        print(f"skipped: {folder} has no {package}")
        sys.exit(SKIP)
