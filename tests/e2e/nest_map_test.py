#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Widths and loop nests together, from end to end: a front on an array, its files, resuming."""
import csv
import json
import os
import random
import time

import harness

DATA = "npz:data.npz"
# Few steps and two widths far apart, so that widths are worth trading on so easy a task.
SETTINGS = {"--strategy": "nsga2", "--objectives": "accuracy,energy",
            "--formats": "int8,int8/a2,int2/a8,int2", "--fixed-ends": "false", "--batch": 50,
            "--supernet-steps": 2, "--population": 12, "--evaluations": 60,
            "--selection-images": 60, "--tune-steps": 6, "--front-size": 3,
            "--calibration-images": 200, "--threads": 2, "--nest-cache": "nests.json",
            "--warm-programs": 3, "--hessian-images": 50, "--hessian-probes": 2}


def front_of(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return [(float(row["accuracy"]), float(row["energy_pj"]), row["formats"])
                for row in csv.DictReader(stream)]


class NestMap(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, cls.printed, err = harness.run(*cls.command("run"), cwd=cls.folder)
        assert code == 0, err

    @staticmethod
    def command(out, more=None, hardware="eyeriss_like"):
        options = [text for pair in (SETTINGS | (more or {})).items() for text in pair]
        return ["map", "net.onnx", "--hardware", hardware, "--data", DATA, *options, "--out", out]

    def assert_same_run(self, folder):
        names = ["mapping.json", "run.json"]
        names += [f"front/{k}/mapping.json" for k in os.listdir(self.path("run", "front"))]
        for name in names:
            self.assertEqual(harness.stable(self.path("run", name)),
                             harness.stable(self.path(folder, name)), name)
        for name in ("model.onnx", "model.safetensors", "pareto.csv", "front.csv"):
            self.assertEqual(harness.read_bytes(self.path("run", name)),
                             harness.read_bytes(self.path(folder, name)), name)

    def test_the_front_is_one(self):
        front = front_of(self.path("run", "front.csv"))
        self.assertGreater(len(front), 1)
        for a in front:
            for b in front:
                dominates = a[0] >= b[0] and a[1] <= b[1] and a[:2] != b[:2]
                self.assertFalse(dominates, (a, b))

    def test_members_are_whole_mappings_with_their_nests(self):
        found = len(front_of(self.path("run", "front.csv")))
        members = [str(k + 1) for k in range(min(3, found))]
        self.assertEqual(sorted(os.listdir(self.path("run", "front"))), members)
        for k in members:
            self.assertEqual(sorted(os.listdir(self.path("run", "front", k))),
                             ["mapping.json", "model.onnx", "model.safetensors"])
            mapping = harness.stable(self.path("run", "front", k, "mapping.json"))
            for layer in mapping["layers"]:
                nest = layer["loop_nest"]
                self.assertEqual(nest["gap"], 0, "proven")
                self.assertIn("mapping:", nest["mapping"])
                self.assertEqual(nest["levels"][0]["name"], "mac")
                self.assertIn(f"tessera.loop_nest.{layer['name']}".encode(),
                              harness.read_bytes(self.path("run", "front", k, "model.onnx")))
            self.assertEqual({row["split"] for row in mapping["accuracy"]}, {"validation", "test"})
            out = self.ok("cost", "net.onnx", "--hardware", "eyeriss_like", "--mapping",
                          f"run/front/{k}/mapping.json", "--json")
            self.assertEqual(json.loads(out)["totals"], mapping["totals"])
            out = self.ok("eval", "net.onnx", "--data", DATA, "--mapping",
                          f"run/front/{k}/mapping.json", "--threads", 2, "--json")
            rows = [row for row in mapping["accuracy"] if row["split"] == "test"]
            self.assertEqual([row["mean"] for row in json.loads(out)["accuracy"]],
                             [row["mean"] for row in rows])

    def test_a_layers_nest_is_a_mapping_that_schedule_takes(self):
        layer = harness.stable(self.path("run", "mapping.json"))["layers"][-1]
        harness.write_text(self.path("nest.yaml"), layer["loop_nest"]["mapping"])
        channels = layer["parts"][0]["channels"][1]
        out = self.ok("schedule", f"conv:C={layer['params'] // channels},M={channels}",
                      "--hardware", "eyeriss_like_16b", "--mapping", "nest.yaml", "--bits", "8,8,8",
                      "--json")
        self.assertEqual(json.loads(out)["cycles"], layer["loop_nest"]["cycles"])

    def test_narrower_members_cost_less(self):
        run = harness.stable(self.path("run", "run.json"))
        rows = {row["label"]: row for row in run["candidates"]}
        self.assertLess(rows["int4"]["totals"]["energy_pj"], rows["int8"]["totals"]["energy_pj"])
        levels = {level["name"]: level["energy_pj"] for level in rows["int8"]["levels"]}
        self.assertTrue({"mac", "DRAM", "shared_glb", "other"} <= levels.keys())
        self.assertLess(abs(sum(levels.values()) - rows["int8"]["totals"]["energy_pj"]), 1)

    def test_one_width_everywhere_is_trained_as_the_front_is(self):
        run = harness.stable(self.path("run", "run.json"))
        rows = {row["label"]: row for row in run["candidates"]}
        self.assertEqual([label for label in rows if label.endswith(", trained")],
                         ["int2, trained", "int8, trained"])
        for width in ("int2", "int8"):
            trained = rows[f"{width}, trained"]
            self.assertEqual(trained["totals"], rows[width]["totals"])
            self.assertEqual({row["split"] for row in trained["accuracy"]}, {"validation", "test"})
        self.assertFalse([label for label in rows if "analog" in label], "there is no such unit")

    def test_killed_at_any_moment_its_front_is_one_and_it_resumes_to_the_same_end(self):
        generator = random.Random(4)
        for _ in range(4):
            process = harness.start(*self.command("killed"), cwd=self.folder)
            time.sleep(generator.uniform(3, 8))
            process.kill()
            process.communicate()
            if os.path.exists(self.path("killed", "front.csv")):
                self.assertGreater(len(front_of(self.path("killed", "front.csv"))), 0)
            if os.path.exists(self.path("killed", "mapping.json")):
                self.ok("eval", "net.onnx", "--data", DATA, "--mapping", "killed/mapping.json",
                        "--images", 20)
        self.ok(*self.command("killed"))
        self.assert_same_run("killed")

    def test_one_supernetwork_serves_both_machines(self):
        shared = {"--supernet-file": "shared.safetensors", "--evaluations": 12}
        self.ok(*self.command("first", shared))
        before = os.stat(self.path("shared.safetensors")).st_mtime_ns
        self.ok(*self.command("second", shared, hardware="simba_like"))
        self.assertEqual(os.stat(self.path("shared.safetensors")).st_mtime_ns, before)
        code, _, err = harness.run(*self.command("third", shared | {"--supernet-steps": 9}),
                                   cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("holds no shared weights of this network", err)

    def test_all_ways_to_search_and_to_measure(self):
        for more in ({"--strategy": "random"}, {"--strategy": "two-step"}, {"--strategy": "hawq"},
                     {"--tie-shapes": "true"}, {"--fixed-ends": "true"},
                     {"--accuracy-by": "calibrated"}, {"--operators": "klhufek"},
                     {"--accuracy-by": "short-training", "--short-steps": 2},
                     {"--objectives": "accuracy,edp,memory"}):
            out = "-".join(["ways", *(name + str(more[name]) for name in more)]).replace(",", "-")
            self.ok(*self.command(out, more | {"--evaluations": 12, "--front-size": 1,
                                               "--trained-baselines": "false"}))
            self.assertEqual(harness.stable(self.path(out, "run.json"))["status"], "done")

    def test_ways_to_measure_are_compared(self):
        self.ok(*self.command("ranks", {"--evaluations": 12, "--front-size": 1,
                                        "--compare-ways": 6, "--short-steps": 2}))
        trace = [row for row in harness.stable(self.path("ranks", "run.json"))["trace"]
                 if row["phase"] == "ranks"]
        taus = [row for row in trace if row["quantity"].startswith("kendall")]
        self.assertEqual(len(taus), 3)
        self.assertEqual(len(trace), 3 * 6 + 3)
        for row in taus:
            self.assertTrue(-1 <= row["value"] <= 1)

    def test_limits_that_no_mapping_keeps_are_answered_with_what_comes_nearest(self):
        code, out, _ = harness.run(*self.command("clash", {"--max-energy": "1 pJ"}), cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertRegex(out, "energy at most 1.000 pJ: best of all mappings seen is")
        self.assertEqual(harness.stable(self.path("clash", "run.json"))["status"], "infeasible")

    def test_mistakes_are_named(self):
        for option, value, message in (("--objectives", "accuracy,speed", "speed"),
                                       ("--objectives", "energy", "two or more"),
                                       ("--accuracy-by", "guess", "guess"),
                                       ("--operators", "odd", "odd"),
                                       ("--population", 3, "an even number"),
                                       ("--strategy", "exhaustive", "allowed: at most 60"),
                                       ("--nest-objective", "speed", "speed"),
                                       ("--formats", "fp16", "fp16")):
            code, _, err = harness.run(*self.command("mistake", {option: value}), cwd=self.folder)
            self.assertEqual(code, 2, (option, value))
            self.assertIn(message, err)


if __name__ == "__main__":
    harness.main()
