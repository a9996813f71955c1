#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A machine that runs out of something: a full disk, a folder that cannot be written, no GPU. Each is
answered with exit code 2 and one line that names the place and the reason; nothing is left half-written.
File systems are mounted for it, which takes root: without, those tests are skipped."""
import contextlib
import os
import subprocess
import unittest

import harness

NETWORK = os.path.join(harness.SOURCE_DIR, "models", "resnet8_fashion_mnist.onnx")


@contextlib.contextmanager
def mounted(folder, options):
    os.makedirs(folder, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder],
                          capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise unittest.SkipTest(f"cannot mount: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


class Machine(harness.Case):
    def refuse(self, says, *arguments):
        code, out, err = harness.run(*arguments, cwd=self.folder)
        self.assertEqual(code, 2, err)
        self.assertEqual(out, "")
        self.assertRegex(err, says)
        self.assertEqual(err.count("error:"), 1, err)

    def map_into(self, folder):
        return ("map", "net.onnx", "--hardware", "ibm_hybrid", "--data", "npz:data.npz",
                "--strategy", "uniform", "--trained-baselines", "false", "--test-chips", 1,
                "--tune-steps", 1, "--calibration-images", 50, "--out", folder)

    def test_a_full_disk(self):
        with mounted(self.path("full"), "size=64k"):
            self.refuse("full/.*No space left on device", *self.map_into("full/run"))
            left = [name for name in os.listdir(self.path("full", "run")) if ".tmp" in name]
            self.assertEqual(left, [])

    def test_a_read_only_folder(self):
        with mounted(self.path("fixed"), "ro,size=64k"):
            self.refuse("fixed.*Read-only file system", *self.map_into("fixed/run"))

    def test_a_file_where_a_folder_should_be(self):
        harness.write_text(self.path("taken"), "")
        self.refuse("taken", *self.map_into("taken"))

    def test_no_gpu(self):
        if os.path.exists("/dev/nvidia0"):
            raise unittest.SkipTest("there is a GPU")
        self.refuse("device 'cuda'.*", "eval", NETWORK, "--data", "fashion-mnist", "--device",
                    "cuda")


if __name__ == "__main__":
    harness.main()
