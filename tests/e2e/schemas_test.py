#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Whatever a command writes as JSON is what its schema in docs/ says, by the package jsonschema."""
import copy
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
import python_env  # noqa: E402

DATA = "npz:data.npz?mean=0.4&std=0.25"
MAP = ["map", "net.onnx", "--hardware", "ibm_hybrid", "--data", DATA, "--batch", 50, "--tune-steps", 2,
       "--fair-steps", 2, "--ramp-steps", 2, "--rounds", 2, "--samples", 4, "--calibration-images",
       50, "--chips", 2, "--test-chips", 2, "--trained-baselines", "false"]
LAYER = ["schedule", "conv:C=8,M=8,R=3,S=3,P=8,Q=8", "--hardware", "eyeriss_like_16b"]
UNET = os.path.join(harness.SOURCE_DIR, "tests", "networks", "unet_script")


def schema(name):
    """The schema NAME of docs/, or the form of a command in commands.schema.json."""
    folder = os.path.join(harness.SOURCE_DIR, "docs")
    file = os.path.join(folder, name + ".schema.json")
    if os.path.exists(file):
        return load(file)
    commands = load(os.path.join(folder, "commands.schema.json"))
    del commands["anyOf"]
    return commands | {"$ref": "#/$defs/" + name}


def load(file):
    with open(file, encoding="utf-8") as stream:
        return json.load(stream)


class Schemas(harness.Case):
    def errors(self, name, value):
        import jsonschema

        validator = jsonschema.Draft202012Validator
        validator.check_schema(schema(name))
        return [f"{name}: {error.json_path}: {error.message[:300]}"
                for error in validator(schema(name)).iter_errors(value)]

    def check(self, name, value):
        self.assertEqual(self.errors(name, value), [])

    def prints(self, name, *arguments, code=0):
        with self.subTest(arguments=arguments):
            found, out, err = harness.run(*arguments, "--json", cwd=self.folder)
            self.assertEqual(found, code, err)
            self.check(name, json.loads(out))
            self.check("commands" if name not in ("mapping", "run", "compare") else name,
                       json.loads(out))
            return json.loads(out)

    def test_what_commands_print(self):
        for kind in "strategies", "hardware", "noise", "architectures":
            self.prints("list", "list", kind)
        self.prints("inspect", "inspect", "net.onnx")
        self.prints("inspect", "inspect", "net.onnx", "--adapt", "ibm_hybrid")
        self.prints("inspect", "inspect", os.path.join(UNET, "model.onnx"))
        self.prints("eval", "eval", "net.onnx", "--data", DATA)
        self.prints("eval_check", "eval", os.path.join(UNET, "model.onnx"), "--test-data",
                    os.path.join(UNET, "test_data_set_0"))
        self.prints("train", "train", "net.onnx", "--data", DATA, "--epochs", 1, "--batch", 100,
                    "--out", "more.onnx")
        self.prints("mapping", "cost", "net.onnx", "--hardware", "ibm_hybrid", "--format", "int8")

    def test_what_quantize_prints_and_writes(self):
        strum = "strum:mip2q,p=0.5,L=7,block=1x16"
        self.prints("quantize", "quantize", "net.onnx", "--scheme", strum)
        self.prints("quantize", "quantize", "net.onnx", "--scheme", "int8")
        self.prints("quantize", "quantize", "net.onnx", "--scheme", strum, "--search",
                    "--min-sqnr", 30)
        self.prints("quantize", "quantize", "net.onnx", "--scheme", "int4/a8", "--data", DATA,
                    "--bias-correction", "--out", "quantized")
        self.check("mapping", load(self.path("quantized", "mapping.json")))

    def test_what_schedule_prints_and_keeps(self):
        self.prints("schedule", *LAYER)
        self.prints("schedule", *LAYER, "--search", "random", "--samples", 1, code=1)
        self.prints("schedule_front", *LAYER, "--front")
        self.prints("schedule_network", "schedule", "net.onnx", *LAYER[2:], "--cache", "table.json")
        self.check("nest_table", load(self.path("table.json")))

    def test_what_map_and_compare_leave(self):
        self.prints("mapping", *MAP, "--out", "run")
        self.prints("run", "report", "run")
        self.prints("export", "export", "net.onnx", "--mapping", "run/mapping.json", "--out", "e.onnx")
        run = load(self.path("run", "run.json"))
        self.check("run", run)
        self.check("mapping", run["chosen"])
        self.check("mapping", load(self.path("run", "mapping.json")))
        code, _, err = harness.run(*MAP, "--strategy", "uniform", "--max-energy", "1pJ", "--out",
                                   "none", cwd=self.folder)
        self.assertEqual(code, 1, err)
        self.check("run", load(self.path("none", "run.json")))
        settings = [part for part in MAP[2:] if part != "false"]
        settings.remove("--trained-baselines")
        self.prints("compare", "compare", "net.onnx", *settings, "--strategies", "mps,fixed:int8",
                    "--seeds", 1, "--budget", 300, "--out", "compared")
        self.check("compare", load(self.path("compared", "compare.json")))

    def test_each_field_is_demanded(self):
        """The schemas are not so wide that anything fits: a field less, or one more, is an error."""
        for name, arguments in (("list", ["list", "noise"]), ("schedule", LAYER),
                                ("inspect", ["inspect", "net.onnx"])):
            value = json.loads(self.ok(*arguments, "--json"))
            for field in value:
                less = copy.deepcopy(value)
                del less[field]
                self.assertTrue(self.errors(name, less), (name, field))
            self.assertTrue(self.errors(name, value | {"other": 1}), name)


if __name__ == "__main__":
    python_env.enter(os.path.join(harness.SOURCE_DIR, ".venv"), "jsonschema")
    harness.main()
