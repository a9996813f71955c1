#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/own_network.md, followed word by word: its commands and scripts run in order, in an empty
folder. The one that needs PyTorch is passed over. Exit code 77 without numpy and onnxruntime."""
import json
import os
import re
import subprocess
import sys
import tempfile

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def python_with_onnxruntime():
    candidates = [os.path.join(SOURCE, ".venv", "bin", "python"), sys.executable]
    for python in candidates:
        if subprocess.run([python, "-c", "import numpy, onnxruntime"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0:
            return python
    return None


def main():
    tessera = os.path.abspath(sys.argv[1])
    try:
        python = python_with_onnxruntime()
    except FileNotFoundError:
        python = None
    if python is None:
        print("skipped: no Python with numpy and onnxruntime (tools/make_python_env)")
        return 77
    with open(os.path.join(SOURCE, "docs", "own_network.md"), encoding="utf-8") as stream:
        blocks = re.findall(r"^```(\w+)\n(.*?)^```", stream.read(), re.S | re.M)
    environment = dict(os.environ, TESSERA_SOURCE=SOURCE,
                       PATH=os.path.dirname(tessera) + os.pathsep + os.environ["PATH"])
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in blocks:
            if "torch.onnx.export" in text:
                continue
            if kind == "yaml":
                with open(os.path.join(folder, "my_chip.yaml"), "w", encoding="utf-8") as stream:
                    stream.write(text)
                continue
            command = [python, "-c", text] if kind == "python" else ["bash", "-e", "-c", text]
            done = subprocess.run(command, cwd=folder, env=environment, text=True,
                                  capture_output=True, timeout=600, check=False)
            print(f"--- {kind}\n{text}{done.stdout}{done.stderr}")
            if done.returncode != 0:
                print(f"the walk ends here, with exit code {done.returncode}")
                return 1
        with open(os.path.join(folder, "run", "mapping.json"), encoding="utf-8") as stream:
            rows = json.load(stream)["accuracy"]
    top1 = float(re.search(r"top-1: ([\d.]+)", done.stdout)[1])
    promised = next(row["mean"] for row in rows if row["split"] == "test")
    # One of the hundred images may lie on a border between two classes.
    if abs(top1 - promised) > 0.0101 or promised < 0.9:
        print(f"the mapping promises {promised}, the file gives {top1}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
