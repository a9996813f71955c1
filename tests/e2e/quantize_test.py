#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Weights in fewer bits without training: what is printed and written, searches, mistakes."""
import json
import math
import os
import struct
import tempfile
import unittest

import harness

NETWORK = f"{harness.SOURCE_DIR}/models/resnet8_fashion_mnist.onnx"
MIP2Q = "strum:mip2q,p=0.5,L=7,block=1x16"


class Quantize(unittest.TestCase):
    def setUp(self):
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = scratch.name

    def run_json(self, *arguments):
        code, out, err = harness.run("quantize", NETWORK, *arguments, "--json", cwd=self.folder)
        self.assertEqual(code, 0, err)
        return json.loads(out)

    def test_layers_sizes_and_savings(self):
        found = self.run_json("--scheme", MIP2Q)
        formats = [layer["format"] for layer in found["layers"]]
        self.assertEqual((formats[0], formats[-1]), ("int8", "int8"))
        self.assertEqual(set(formats[1:-1]), {MIP2Q + "/a8"})
        self.assertEqual(found["changed_compression"], 0.875)
        self.assertIsNone(found["accuracy"])
        self.assertLess(found["energy_pj"], found["int8_energy_pj"])
        self.assertAlmostEqual(found["strum_pe"]["static"]["pe_power_saved"]["value"], 0.31, 3)
        self.assertEqual(found["strum_pe"]["static"]["int8_rate"], 0.5)

    def test_packed_weights_and_mapping_are_written_and_read_again(self):
        found = self.run_json("--scheme", MIP2Q, "--out", "q")
        self.assertEqual(sorted(os.listdir(f"{self.folder}/q")),
                         ["mapping.json", "packed.safetensors", "platform.yaml"])
        with open(f"{self.folder}/q/packed.safetensors", "rb") as stream:
            header = json.loads(stream.read(struct.unpack("<Q", stream.read(8))[0]))
        for layer in found["layers"][1:-1]:
            begin, end = header[layer["name"] + ".weight.strum"]["data_offsets"]
            self.assertEqual(end - begin, 40 + layer["stored_bits"] // 8)
        code, out, err = harness.run("cost", NETWORK, "--hardware", "q/platform.yaml", "--mapping",
                                     "q/mapping.json", "--json", cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["totals"]["energy_pj"], found["energy_pj"])

    def test_changed_weights_are_written_with_their_mapping(self):
        found = self.run_json("--scheme", "int4/a8", "--equalize", "--out", "q")
        self.assertGreater(found["equalized_pairs"], 0)
        code, out, err = harness.run("cost", "q/network.onnx", "--hardware", "q/platform.yaml",
                                     "--mapping", "q/mapping.json", "--json", cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["totals"]["energy_pj"], found["energy_pj"])
        code, out, err = harness.run("quantize", NETWORK, "--scheme", "int4/a8",
                                     "--bias-correction", cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("--bias-correction needs --data", err)
        code, out, err = harness.run("quantize", NETWORK, "--scheme", "int4/a8", "--ranges",
                                     "entropi", cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("entropy", err)

    def test_searches_keep_their_targets(self):
        whole = self.run_json("--scheme", MIP2Q)
        exact = self.run_json("--scheme", MIP2Q, "--search", "--min-sqnr", "35")
        self.assertGreaterEqual(exact["sqnr_db"], 35)
        self.assertGreater(exact["sqnr_db"], whole["sqnr_db"])
        budget = (whole["energy_pj"] + exact["energy_pj"]) / 2
        cheap = self.run_json("--scheme", MIP2Q, "--search", "--max-energy", f"{budget}pJ")
        self.assertLessEqual(cheap["energy_pj"], budget)
        code, out, err = harness.run("quantize", NETWORK, "--scheme", MIP2Q, "--search",
                                     "--max-energy", "1pJ", cwd=self.folder)
        self.assertEqual(code, 1, err)
        self.assertIn("the cheapest formats take", out)

    def test_a_search_for_accuracy_takes_the_cheapest_formats_that_keep_it(self):
        harness.write_data(f"{self.folder}/data.npz", train=300, test=100, side=28, classes=10)
        data = ["--data", "npz:data.npz?mean=0.5&std=0.25", "--no-baselines"]

        def search(loss):
            return self.run_json("--scheme", MIP2Q, *data, "--search", "--max-accuracy-loss", loss)
        anything = search("100%")
        self.assertEqual(anything["search"]["evaluations"], 1)
        everything = {layer["format"] for layer in anything["layers"][1:-1]}
        self.assertEqual(everything, {"strum:mip2q,p=0.75,L=3,block=1x16/a8"})
        strict = search("0%")
        self.assertGreaterEqual(strict["energy_pj"], anything["energy_pj"])
        self.assertGreaterEqual(strict["sqnr_db"] or math.inf, anything["sqnr_db"])

    def test_data_gives_accuracy_and_an_onnx_file(self):
        harness.write_data(f"{self.folder}/data.npz", train=300, test=100, side=28, classes=10)
        data = ["--data", "npz:data.npz?mean=0.5&std=0.25"]
        found = self.run_json("--scheme", MIP2Q, *data, "--out", "q", "--calibration-images", "100")
        self.assertEqual(found["accuracy"]["images"], 100)
        self.assertIn("int8", found["accuracy"])
        self.assertTrue(os.path.exists(f"{self.folder}/q/model.onnx"))
        code, out, err = harness.run("eval", NETWORK, "--mapping", "q/mapping.json", "--hardware",
                                     "q/platform.yaml", *data, "--json", cwd=self.folder)
        self.assertEqual(code, 0, err)
        self.assertEqual(json.loads(out)["accuracy"][0]["mean"], found["accuracy"]["quantized"])

    def test_mistakes_are_answered(self):
        for arguments, wanted in (
                (["--scheme", "strum:mip3q"], ["mip3q", "sparsity, dliq or mip2q"]),
                (["--scheme", "strum:mip2q,L=9"], ["'L' is '9'", "L=0…7"]),
                (["--scheme", "analog:pcm-lionheart"], ["is analog", "allowed"]),
                (["--scheme", "fp16"], ["no unit of flexnn runs int8 and fp16"]),
                (["--scheme", f"int4/a8,{MIP2Q}"], ["2 formats", "--search"]),
                (["--scheme", MIP2Q, "--search"], ["--search with 0 targets"]),
                (["--scheme", MIP2Q, "--min-sqnr", "30"], ["no --search with 1 targets"]),
                (["--scheme", MIP2Q, "--search", "--max-accuracy-loss", "1%"], ["needs --data"]),
                (["--scheme", MIP2Q, "--keep", "frist"], ["frist", "first"]),
                (["--scheme", MIP2Q, "--hardware", "hermes"], ["no unit of hermes runs int8"])):
            with self.subTest(arguments):
                code, out, err = harness.run("quantize", NETWORK, *arguments, cwd=self.folder)
                self.assertEqual((code, out), (2, ""), err)
                for text in wanted:
                    self.assertIn(text, err)


if __name__ == "__main__":
    harness.main()
