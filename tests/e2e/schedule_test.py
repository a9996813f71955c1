#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loop nests from the command line: what is printed, that it loads again, mistakes."""
import json
import tempfile
import unittest

import harness

LAYER = "conv:C=64,M=64,R=3,S=3,P=56,Q=56"
UNIT = ["--hardware", "eyeriss_like_16b"]


class Schedule(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def run_ok(self, *arguments):
        code, out, err = harness.run("schedule", *arguments, cwd=self.folder)
        self.assertEqual(code, 0, err)
        return out

    def test_the_optimum_is_proven_and_its_mapping_loads_again(self):
        best = json.loads(self.run_ok(LAYER, *UNIT, "--bits", "8,4,8", "--json"))
        self.assertEqual(best["gap"], 0)
        self.assertAlmostEqual(best["edp"] / (best["energy_pj"] * best["cycles"]), 1, places=9)
        for field in ("valid", "evaluated", "seconds", "loop_nest", "levels"):
            self.assertIn(field, best)
        harness.write_text(f"{self.folder}/nest.yaml",
                           self.run_ok(LAYER, *UNIT, "--bits", "8,4,8", "--yaml"))
        again = json.loads(self.run_ok(LAYER, *UNIT, "--bits", "8,4,8", "--mapping", "nest.yaml",
                                       "--json"))
        for field in ("energy_pj", "cycles", "loop_nest"):
            self.assertEqual(best[field], again[field], field)

    def test_fewer_bits_never_cost_more(self):
        energies = [json.loads(self.run_ok(LAYER, *UNIT, "--bits", bits, "--objective", "energy",
                                           "--json"))["energy_pj"]
                    for bits in ("16,16,16", "8,8,8", "8,4,8", "4,2,4")]
        self.assertEqual(energies, sorted(energies, reverse=True))

    def test_a_network_has_a_row_for_each_layer_and_sums(self):
        network = f"{harness.SOURCE_DIR}/models/resnet8_fashion_mnist.onnx"
        found = json.loads(self.run_ok(network, *UNIT, "--bits", "8,8,8", "--json"))
        self.assertEqual(len(found["layers"]), 10)
        total = sum(layer["energy_pj"] for layer in found["layers"])
        self.assertLess(abs(total - found["totals"]["energy_pj"]), 1e-9 * total)

    def test_mistakes_are_answered(self):
        for arguments, wanted in (
                (["conv:C=64,X=3", *UNIT], ["X", "known"]),
                ([LAYER, "--hardware", "eyeris_like_16b"], ["eyeris_like_16b", "eyeriss_like_16b"]),
                ([LAYER, *UNIT, "--bits", "8,8"], ["8,8"]),
                ([LAYER, *UNIT, "--objective", "speed"], ["speed", "edp"])):
            with self.subTest(arguments):
                code, out, err = harness.run("schedule", *arguments, cwd=self.folder)
                self.assertEqual((code, out), (2, ""), err)
                for text in wanted:
                    self.assertIn(text, err)


if __name__ == "__main__":
    harness.main()
