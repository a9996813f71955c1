#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Broken inputs of every kind: exit code 2, one message with where, what was found and what is
allowed, nothing on standard output, nothing half-written."""
import os
from concurrent.futures import ThreadPoolExecutor

import harness

PRESET = os.path.join(harness.SOURCE_DIR, "configs", "hardware", "ibm_hybrid.yaml")


def edited(old, new):
    with open(PRESET, encoding="utf-8") as stream:
        text = stream.read()
    assert text.count(old) >= 1, old
    return text.replace(old, new, 1)


class Errors(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.write_networks()
        cls.write_platforms()
        cls.write_data_sets()
        cls.write_others()

    @classmethod
    def here(cls, name):
        return os.path.join(cls.folder, name)

    @classmethod
    def write_networks(cls):
        network = harness.read_bytes(cls.here("net.onnx"))
        with open(cls.here("cut.onnx"), "wb") as stream:
            stream.write(network[:len(network) // 2])
        harness.write_text(cls.here("garbage.onnx"), "this is no network\n" * 100)

    @classmethod
    def write_platforms(cls):
        for name, old, new in (("unit", "value: 1.2 mm2", "value: 1.2"),
                               ("key", "dac_bits: 8", "dac_bit: 8"),
                               ("zero", "rows: 512", "rows: 0"),
                               ("noise", "noise_preset: pcm-lionheart", "noise_preset: pcm-lion"),
                               ("twice", "adc_bits: 8", "adc_bits: 8\n    adc_bits: 9"),
                               ("syntax", "units:\n", "units: [\n"),
                               ("version", "version: 1", "version: 9")):
            harness.write_text(cls.here(name + ".yaml"), edited(old, new))

    @classmethod
    def write_data_sets(cls):
        data = harness.read_bytes(cls.here("data.npz"))
        with open(cls.here("cut.npz"), "wb") as stream:
            stream.write(data[:len(data) // 2])
        harness.write_data(cls.here("large.npz"), train=40, test=20, side=16)
        harness.write_data(cls.here("classes.npz"), train=60, test=20, classes=6)
        harness.write_npz(cls.here("names.npz"), {"images": ("|u1", (1,), b"\0")})
        os.mkdir(cls.here("empty"))

    @classmethod
    def write_others(cls):
        harness.write_text(cls.here("settings.yaml"),
                           "version: 1\nnetwork: net.onnx\nhardware: ibm_hybrid\n"
                           "data: npz:data.npz\nfair-step: 3\n")
        harness.write_text(cls.here("broken.json"), '{\n  "tessera": 1,\n  "layers": [,]\n}\n')
        harness.write_text(cls.here("other.json"),
                           '{"tessera": 1, "network": {"file": "n", "sha256": ""},\n'
                           ' "platform": {"name": "ibm_hybrid", "sha256": ""},\n'
                           ' "layers": [{"name": "/nowhere", "parts": [{"unit": "npu",\n'
                           '  "format": "int8", "channels": [0, 4]}]}]}\n')

    def cases(self):
        """(arguments, what the message must hold)"""
        def mapped(network="net.onnx", hardware="ibm_hybrid", data="npz:data.npz", more=()):
            return ["map", network, "--hardware", hardware, "--data", data, *more,
                    "--out", "out"]

        broken = os.path.join(harness.FIXTURES, "broken")
        unknown = os.path.join(harness.FIXTURES, "unknown")
        return {
            # networks
            "no file": (mapped(network="none.onnx"), ["none.onnx", "No such file"]),
            "no network": (mapped(network="garbage.onnx"), ["garbage.onnx", "ONNX"]),
            "cut network": (mapped(network="cut.onnx"), ["cut.onnx"]),
            "cycle": (["inspect", os.path.join(broken, "cycle.onnx")], ["cycle.onnx"]),
            "shapes": (["inspect", os.path.join(broken, "conv_channels.onnx")],
                       ["conv_channels.onnx", "channels"]),
            "operator": (mapped(network=os.path.join(unknown, "operator.onnx")),
                         ["operator.onnx", "not understood"]),
            # hardware
            "unit": (mapped(hardware="unit.yaml"), ["unit.yaml:35:16", "'1.2'", "mm2"]),
            "key": (mapped(hardware="key.yaml"), ["key.yaml:", "dac_bit", "did you mean 'dac_bits'"]),
            "zero": (mapped(hardware="zero.yaml"), ["zero.yaml:31:13", "found '0'", "1 to 65536"]),
            "noise": (mapped(hardware="noise.yaml"), ["pcm-lion", "pcm-lionheart"]),
            "twice": (mapped(hardware="twice.yaml"), ["twice.yaml:", "adc_bits"]),
            "syntax": (mapped(hardware="syntax.yaml"), ["syntax.yaml:"]),
            "version": (mapped(hardware="version.yaml"), ["version.yaml:", "9", "1"]),
            "preset": (mapped(hardware="ibm_hybird"), ["ibm_hybird", "did you mean 'ibm_hybrid'"]),
            # data
            "data set": (mapped(data="fashion"), ["fashion", "fashion-mnist"]),
            "folder": (mapped(data="cifar10:empty"), ["empty", "data_batch_1.bin"]),
            "cut data": (mapped(data="npz:cut.npz"), ["cut.npz"]),
            "arrays": (mapped(data="npz:names.npz"), ["names.npz", "x_train", "images"]),
            "image size": (mapped(data="npz:large.npz"), ["1x16x16", "1x12x12"]),
            "classes": (mapped(data="npz:classes.npz"), ["6 classes"]),
            # arguments
            "command": (["mapp"], ["mapp", "did you mean 'map'"]),
            "option": (mapped(more=["--sed", 3]), ["--sed", "did you mean '--seed'"]),
            "number": (mapped(more=["--rounds", "many"]), ["--rounds: ", "'many'", "whole number"]),
            "range": (mapped(more=["--min-accuracy", 1.5]), ["--min-accuracy: found '1.5'", "0 to 1"]),
            "quantity": (mapped(more=["--max-energy", 5]), ["--max-energy: '5'", "the unit is missing", "uJ"]),
            "format": (mapped(more=["--formats", "int8,int3"]), ["int3", "int4/a8"]),
            "strategy": (mapped(more=["--strategy", "mpas"]), ["mpas", "did you mean 'mps'"]),
            "batch": (mapped(more=["--batch", 1000]), ["1000", "at most the 540"]),
            "device": (mapped(more=["--device", "tpu"]), ["tpu", "cpu", "cuda"]),
            "times": (mapped(more=["--test-times", "1s,soon"]), ["soon", "s, min, h, d"]),
            "settings": (["map", "--config", "settings.yaml", "--out", "out"],
                         ["settings.yaml:5:1", "fair-step", "did you mean 'fair-steps'"]),
            # mappings
            "broken mapping": (["cost", "net.onnx", "--hardware", "ibm_hybrid", "--mapping",
                                "broken.json"], ["broken.json:3:14"]),
            "other mapping": (["export", "net.onnx", "--mapping", "other.json", "--out", "out"],
                              ["other.json", "/nowhere"]),
            "no run": (["report", "empty"], ["empty/run.json"]),
            "cost format": (["cost", "net.onnx", "--hardware", "ibm_hybrid", "--format", "int5"],
                            ["int5", "int8"]),
        }

    def test_each_is_answered(self):
        cases = self.cases()
        self.assertGreaterEqual(len(cases), 30)
        with ThreadPoolExecutor(max_workers=2) as pool:
            results = dict(zip(cases, pool.map(
                lambda case: harness.run(*case[0], cwd=self.folder), cases.values())))
        for name, (code, out, err) in results.items():
            with self.subTest(name):
                self.assertEqual(code, 2, err)
                self.assertEqual(out, "")
                self.assertTrue(err.startswith("tessera: error: "), err)
                for wanted in cases[name][1]:
                    self.assertIn(wanted, err)
        self.assertFalse(os.path.exists(self.path("out")), "something was written")


if __name__ == "__main__":
    harness.main()
