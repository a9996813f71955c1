# SPDX-License-Identifier: Apache-2.0
"""Every network of tests/networks is mapped, with a budget of a few steps: images and one label
each, a label for each pixel, features, and three inputs with two answers."""
import array
import json
import os
import random

import harness

NETWORKS = os.path.join(harness.SOURCE_DIR, "tests", "networks")
TRAIN, TEST = 24, 8
STEPS = {"batch": 4, "fair-steps": 4, "ramp-steps": 4, "tune-steps": 4, "rounds": 2, "samples": 4,
         "trained-baselines": "false", "calibration-images": 8}
PIXELS = "?mean=0.5,0.5,0.5&std=0.25,0.25,0.25"


def images(count, side, draw):
    return "|u1", (count, 3, side, side), bytes(draw.randrange(256) for _ in range(count * 3 * side**2))


def labels(count, classes, draw):
    return "|u1", (count,), bytes(draw.randrange(classes) for _ in range(count))


def classified(side):
    return lambda count, draw: {"x": images(count, side, draw), "y": labels(count, 10, draw)}


def segmented(count, draw):
    """A pixel's class is whether it is bright in red."""
    kind, shape, pixels = images(count, 16, draw)
    area = 16 * 16
    bright = bytes(pixels[image * 3 * area + i] > 127 for image in range(count) for i in range(area))
    return {"x": (kind, shape, pixels), "y": ("|u1", (count, 16, 16), bright)}


def spoken(count, draw):
    features = array.array("f", (draw.gauss(0, 1) for _ in range(count * 400)))
    return {"x": ("<f4", (count, 10, 40), features.tobytes()), "y": labels(count, 12, draw)}


def asked(count, draw):
    """The answer begins at the first word and ends at the last that the mask leaves."""
    words, mask, answers = (array.array("q") for _ in range(3))
    for _ in range(count):
        length = draw.choice((4, 9))
        words.extend(draw.randrange(50) for _ in range(12))
        mask.extend(int(i < length) for i in range(12))
        answers.extend((0, length - 1))
    zeros = array.array("q", [0] * 12 * count)
    shape = (count, 12)
    return {"attention_mask": ("<i8", shape, mask.tobytes()),
            "input_ids": ("<i8", shape, words.tobytes()),
            "token_type_ids": ("<i8", shape, zeros.tobytes()),
            "y": ("<i8", (count, 2), answers.tobytes())}


# What each kind of network takes, and how its data is normalized.
KINDS = {"shufflenet": (classified(16), PIXELS), "squeezenet": (classified(33), PIXELS),
         "vit": (classified(16), PIXELS), "unet": (segmented, PIXELS), "keyword_lstm": (spoken, ""),
         "bert_qa": (asked, "")}


class Networks(harness.Case):
    @classmethod
    def setUpClass(cls):
        cls.scratch = harness.tempfile.TemporaryDirectory()
        cls.folder = cls.scratch.name
        draw = random.Random(1)
        for kind, (make, _) in KINDS.items():
            arrays = {}
            for part, count in ("train", TRAIN), ("test", TEST):
                arrays |= {f"{name}_{part}": value for name, value in make(count, draw).items()}
            harness.write_npz(os.path.join(cls.folder, kind + ".npz"), arrays)

    def mapped(self, network, out, **steps):
        kind = network.rsplit("_", 1)[0]
        data = f"npz:{kind}.npz{KINDS[kind][1]}"
        file = os.path.join(NETWORKS, network, "model.onnx")
        options = [part for key, value in (STEPS | steps).items() for part in ("--" + key, value)]
        self.ok("map", file, "--hardware", "ibm_hybrid", "--data", data, "--out", out, *options)
        with open(self.path(out, "run.json"), encoding="utf-8") as stream:
            record = json.load(stream)
        self.assertEqual(record["status"], "done")
        return file, data, record

    def test_each_is_mapped_and_measured_again(self):
        for kind in KINDS:
            for exporter in "script", "dynamo":
                network = f"{kind}_{exporter}"
                with self.subTest(network=network):
                    file, data, record = self.mapped(network, network)
                    floats = next(c for c in record["candidates"] if c["label"] == "fp32")
                    again = json.loads(self.ok("eval", file, "--data", data, "--json"))["accuracy"][0]
                    test = next(a for a in floats["accuracy"] if a["split"] == "test")
                    self.assertAlmostEqual(again["mean"], test["mean"], places=12)
                    self.assertEqual(again["images"], TEST)
                    for name in "mapping.json", "model.onnx", "report.html":
                        self.assertTrue(os.path.exists(self.path(network, name)), name)

    def test_labels_of_pixels_and_of_several_outputs_teach(self):
        for network, share in ("unet_script", 0.9), ("bert_qa_script", 0.7):  # guessed: 1 of 2 and of 12
            kind = network.rsplit("_", 1)[0]
            data = f"npz:{kind}.npz{KINDS[kind][1]}"
            self.ok("train", os.path.join(NETWORKS, network, "model.onnx"), "--data", data,
                    "--epochs", 40, "--batch", 4, "--learning-rate", 0.05, "--out", kind + ".onnx")
            result = json.loads(self.ok("eval", kind + ".onnx", "--data", data, "--json"))
            with self.subTest(network=network):
                self.assertGreater(result["accuracy"][0]["mean"], share)

    def test_export_says_what_runs_as_float(self):
        file, _, _ = self.mapped("squeezenet_script", "fixed", strategy="fixed:int4/a8")
        for opset, warns in (13, False), (21, True):
            code, _, err = harness.run(
                "export", file, "--mapping", "fixed/mapping.json", "--opset", opset, "--out",
                "exported.onnx", cwd=self.folder)
            self.assertEqual(code, 0, err)
            with self.subTest(opset=opset):
                self.assertEqual("as float, which saves size, not time" in err, warns)
                self.assertEqual("classifier" in err, warns)

    def test_says_what_data_a_network_needs(self):
        for network, data, words in (
                ("bert_qa_script", "keyword_lstm", ["input_ids, attention_mask", "NAME_train"]),
                ("keyword_lstm_script", "bert_qa", ["attention_mask, input_ids", "features"]),
                ("keyword_lstm_script", "unet", ["3x16x16", "1x10x40"]),
                ("unet_script", "vit", ["2x16x16", "one for an entry", "labels 16x16"])):
            code, _, err = harness.run(
                "map", os.path.join(NETWORKS, network, "model.onnx"), "--hardware", "ibm_hybrid",
                "--data", f"npz:{data}.npz{KINDS[data][1]}", "--dry-run", "--out", "none",
                cwd=self.folder)
            with self.subTest(network=network, data=data):
                self.assertEqual(code, 2, err)
                for word in words:
                    self.assertIn(word, err)


if __name__ == "__main__":
    harness.main()
