#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every strategy through the main job: it spends its budget, and killed it resumes to the same end."""
import json
import random
import time

import harness

DATA = "npz:data.npz"
SETTINGS = ["--batch", 50, "--search-steps", 40, "--tune-steps", 6, "--chips", 2, "--test-chips", 2,
            "--test-times", "1d", "--calibration-images", 200, "--trained-baselines", "false",
            "--formats", "int8,analog", "--threads", 2]


class Strategies(harness.Case):
    def command(self, strategy, out):
        return ["map", "net.onnx", "--hardware", "ibm_hybrid", "--data", DATA, "--strategy", strategy,
                *SETTINGS, "--out", out]

    def check(self, strategy, most_samples):
        whole, killed = "whole_" + strategy, "killed_" + strategy
        self.ok(*self.command(strategy, whole))
        record = harness.stable(self.path(whole, "run.json"))
        search = record["chosen"]["search"]
        self.assertEqual(search["strategy"], strategy)
        self.assertLessEqual(search["training_samples"], most_samples)
        generator = random.Random(3)
        for _ in range(3):
            process = harness.start(*self.command(strategy, killed), cwd=self.folder)
            time.sleep(generator.uniform(1.5, 4))
            process.kill()
            process.communicate()
        self.ok(*self.command(strategy, killed))
        self.assertEqual(record, harness.stable(self.path(killed, "run.json")))
        for name in ("model.onnx", "model.safetensors", "pareto.csv"):
            self.assertEqual(harness.read_bytes(self.path(whole, name)),
                             harness.read_bytes(self.path(killed, name)), name)
        return record

    def test_lionheart(self):
        record = self.check("lionheart", 40 * 50)
        self.assertGreaterEqual(len([c for c in record["candidates"] if c["kind"] == "front"]), 2)

    def check_split(self, strategy):
        """Layers in several parts are written, priced, exported and read back like others."""
        record = self.check(strategy, 40 * 50)
        mapping = f"whole_{strategy}/mapping.json"
        out = self.ok("eval", "net.onnx", "--data", DATA, "--mapping", mapping, "--chips", 2,
                      "--times", "1d", "--threads", 2, "--json")
        rows = [row for row in record["chosen"]["accuracy"] if row["split"] == "test"]
        self.assertEqual(json.loads(out)["accuracy"], rows)
        out = self.ok("cost", "net.onnx", "--hardware", "ibm_hybrid", "--mapping", mapping, "--json")
        self.assertEqual(json.loads(out)["totals"], record["chosen"]["totals"])
        self.ok("export", "net.onnx", "--mapping", mapping, "--out", "again.onnx")
        self.assertEqual(harness.read_bytes(self.path("again.onnx")),
                         harness.read_bytes(self.path("whole_" + strategy, "model.onnx")))
        split = [c for c in record["candidates"] if c["kind"] == "front"
                 for layer in c["layers"] if len(layer["parts"]) > 1]
        self.assertTrue(split, "no layer of any front member is in parts")

    def test_harmonica(self):
        self.check_split("harmonica")

    def test_odimo(self):
        self.check_split("odimo")

    def test_fixed(self):
        record = self.check("fixed:ends-digital", 0)
        units = [layer["parts"][0]["unit"] for layer in record["chosen"]["layers"]]
        self.assertEqual((units[0], units[-1]), ("npu", "npu"))
        self.assertEqual(set(units[1:-1]), {"pcm"})

    def test_a_format_that_the_platform_lacks(self):
        code, _, err = harness.run(*self.command("fixed:int5", "none"), cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("fixed:int8", err)


if __name__ == "__main__":
    harness.main()
