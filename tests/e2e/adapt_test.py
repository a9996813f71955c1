#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MPAAS from end to end: a mapping of an adapted network is a mapping like any other."""
import json
import os
import random
import time

import harness
from harness import stable

DATA = "npz:data.npz"
SETTINGS = ["--strategy", "mpaas", "--networks", 1, "--extra-latency", 0.2, "--batch", 50,
            "--fair-steps", 4, "--ramp-steps", 8, "--rounds", 2, "--samples", 6, "--tune-steps", 6,
            "--chips", 2, "--test-chips", 2, "--test-times", "1s,1d", "--calibration-images", 200,
            "--threads", 2]
NETWORK = "run/adapted.1.onnx"


class Adapt(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, cls.printed, err = harness.run(*cls.command("run"), cwd=cls.folder)
        assert code == 0, err

    @staticmethod
    def command(out, *more):
        return ["map", "net.onnx", "--hardware", "ibm_hybrid", "--data", DATA, *SETTINGS, *more,
                "--out", out]

    def test_leaves_the_network_that_the_mapping_names(self):
        self.assertIn(NETWORK, self.printed)
        mapping = stable(self.path("run", "mapping.json"))
        self.assertEqual(mapping["network"]["file"], "adapted.1.onnx")
        self.assertEqual(
            sorted(os.listdir(self.path("run"))),
            ["adapted.1.onnx", "checkpoint", "events.out.tfevents.0.tessera", "mapping.json",
             "model.onnx", "model.safetensors", "pareto.csv", "report.html", "resolved.yaml",
             "run.json"])

    def test_the_adapted_network_computes_what_the_network_did(self):
        def accuracy(network):
            return json.loads(self.ok("eval", network, "--data", DATA, "--json"))["accuracy"]
        self.assertEqual(accuracy(NETWORK), accuracy("net.onnx"))

    def test_inspect_says_what_it_widens_to(self):
        def inspect(network, *more):
            return json.loads(self.ok("inspect", network, "--json", *more))
        chain = inspect("net.onnx", "--adapt", "ibm_hybrid", "--extra-latency",
                        0.2)["adaptation"]["chain"]
        self.assertGreater(chain[-1]["params"], chain[0]["params"])
        self.assertEqual(inspect(NETWORK)["totals"]["params"], chain[-1]["params"])
        self.assertEqual(chain[-1]["tiles"], chain[0]["tiles"])

    def test_cost_eval_and_export_take_the_mapping(self):
        mapping = stable(self.path("run", "mapping.json"))
        cost = self.ok("cost", NETWORK, "--hardware", "ibm_hybrid", "--mapping",
                       "run/mapping.json", "--json")
        self.assertEqual(json.loads(cost)["totals"], mapping["totals"])
        measured = self.ok("eval", NETWORK, "--data", DATA, "--mapping", "run/mapping.json",
                           "--chips", 2, "--times", "1s,1d", "--threads", 2, "--json")
        self.assertEqual(json.loads(measured)["accuracy"],
                         [row for row in mapping["accuracy"] if row["split"] == "test"])
        self.ok("export", NETWORK, "--mapping", "run/mapping.json", "--out", "again.onnx")
        self.assertEqual(harness.read_bytes(self.path("again.onnx")),
                         harness.read_bytes(self.path("run", "model.onnx")))

    def test_the_network_that_came_does_not_fit_the_mapping(self):
        code, _, err = harness.run("cost", "net.onnx", "--hardware", "ibm_hybrid", "--mapping",
                                   "run/mapping.json", cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertRegex(err, r"parts cover \d+ channels, the layer has \d+")

    def test_the_widened_network_in_fp32_is_a_baseline(self):
        record = stable(self.path("run", "run.json"))
        labels = {row["label"] for row in record["candidates"]}
        self.assertIn("fp32, widened, trained", labels)
        self.assertIn("analog, trained", labels)
        self.assertRegex("\n".join(record["notes"]), r"Network 1: parameters \d+ to \d+; ")

    def test_killed_it_resumes_to_the_same_end(self):
        self.check_killed("run", "killed")

    def test_float_training_of_the_widened_network_comes_first(self):
        more = ["--widened-steps", 40, "--widened-rate", 0.02, "--test-baselines", "true"]
        self.ok(*self.command("trained", *more))
        record = stable(self.path("trained", "run.json"))
        baseline = [c for c in record["candidates"] if c["label"] == "fp32, widened"]
        measured = json.loads(self.ok("eval", "trained/adapted.1.onnx", "--data", DATA,
                                      "--json"))["accuracy"]
        self.assertEqual([row["mean"] for row in baseline[0]["accuracy"] if row["split"] == "test"],
                         [row["mean"] for row in measured])
        self.assertEqual(record["chosen"]["search"]["training_samples"],
                         stable(self.path("run", "run.json"))["chosen"]["search"]
                         ["training_samples"] + 40 * 50)
        self.check_killed("trained", "trained_killed", *more)

    def check_killed(self, whole, killed, *more):
        generator = random.Random(4)
        for _ in range(3):
            process = harness.start(*self.command(killed, *more), cwd=self.folder)
            time.sleep(generator.uniform(2, 6))
            process.kill()
            process.communicate()
            if os.path.exists(self.path(killed, "mapping.json")):
                self.ok("eval", f"{killed}/adapted.1.onnx", "--data", DATA, "--mapping",
                        f"{killed}/mapping.json", "--chips", 1, "--images", 20)
        self.ok(*self.command(killed, *more))
        for name in ("mapping.json", "run.json"):
            self.assertEqual(stable(self.path(whole, name)), stable(self.path(killed, name)), name)
        for name in ("adapted.1.onnx", "model.onnx", "model.safetensors", "pareto.csv"):
            self.assertEqual(harness.read_bytes(self.path(whole, name)),
                             harness.read_bytes(self.path(killed, name)), name)


if __name__ == "__main__":
    harness.main()
