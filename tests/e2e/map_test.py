#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The main job from end to end: what a run leaves, that other commands read it, that it repeats
and survives being killed."""
import json
import os
import random
import shutil
import signal
import time

import harness
from harness import stable

DATA = "npz:data.npz"
SETTINGS = ["--strategy", "mps", "--batch", 50, "--fair-steps", 4, "--ramp-steps", 12,
            "--rounds", 3, "--samples", 8, "--tune-steps", 10, "--chips", 2, "--test-chips", 2,
            "--test-times", "1s,1d", "--calibration-images", 200, "--threads", 2]
# More of them by hand: TESSERA_KILLS=50.
KILLS = int(os.environ.get("TESSERA_KILLS", "2"))


class Map(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        start = time.monotonic()
        code, cls.printed, err = harness.run(*cls.command("run"), cwd=cls.folder)
        cls.seconds = time.monotonic() - start
        assert code == 0, err

    @staticmethod
    def command(out):
        return ["map", "net.onnx", "--hardware", "ibm_hybrid", "--data", DATA, *SETTINGS,
                "--out", out]

    def assert_same_run(self, folder):
        for name in ("mapping.json", "run.json"):
            self.assertEqual(stable(self.path("run", name)), stable(self.path(folder, name)), name)
        for name in ("model.onnx", "model.safetensors", "pareto.csv", "resolved.yaml"):
            self.assertEqual(harness.read_bytes(self.path("run", name)),
                             harness.read_bytes(self.path(folder, name)), name)

    def assert_loads(self, folder):
        """Whatever a folder holds at this moment is whole and fits together."""
        for name in ("run.json", "mapping.json"):
            if os.path.exists(self.path(folder, name)):
                stable(self.path(folder, name))
        if os.path.exists(self.path(folder, "mapping.json")):
            out = self.ok("eval", "net.onnx", "--data", DATA, "--mapping",
                          f"{folder}/mapping.json", "--chips", 1, "--images", 20)
            self.assertIn("top-1", out)

    def kill(self, folder, after):
        """A run that ends by force after so many seconds; what it leaves is whole."""
        process = harness.start(*self.command(folder), cwd=self.folder)
        time.sleep(after)
        process.kill()
        process.communicate()
        self.assert_loads(folder)

    def test_leaves_a_whole_folder(self):
        self.assertEqual(
            sorted(os.listdir(self.path("run"))),
            ["checkpoint", "events.out.tfevents.0.tessera", "mapping.json", "model.onnx",
             "model.safetensors", "pareto.csv", "report.html", "resolved.yaml", "run.json"])
        self.assertIn("run/mapping.json", self.printed)

    def test_totals_are_the_sums_of_their_rows(self):
        mapping = stable(self.path("run", "mapping.json"))
        for field in ("energy_pj", "latency_ns"):
            rows = mapping["layers"] + mapping["glue"] + mapping["links"]
            total = mapping["totals"][field]
            self.assertLess(abs(sum(row[field] for row in rows) - total), 1e-9 * total)
        macs = sum(layer["macs"] for layer in mapping["layers"])
        self.assertEqual(mapping["totals"]["macs"], macs)

    def test_the_table_has_every_baseline(self):
        labels = {row["label"] for row in stable(self.path("run", "run.json"))["candidates"]}
        for label in ("fp32", "fp16", "int8", "int4/a8", "analog, untrained", "analog, trained",
                      "ends digital", "chosen"):
            self.assertIn(label, labels)

    def test_cost_prices_the_mapping_alike(self):
        out = self.ok("cost", "net.onnx", "--hardware", "ibm_hybrid", "--mapping",
                      "run/mapping.json", "--json")
        self.assertEqual(json.loads(out)["totals"],
                         stable(self.path("run", "mapping.json"))["totals"])

    def test_other_paths_cost_what_the_report_says_they_would(self):
        record = stable(self.path("run", "run.json"))
        self.assertEqual({row["layer"] for row in record["alternatives"]},
                         {layer["name"] for layer in record["chosen"]["layers"]})
        for row in record["alternatives"][::3]:
            mapping = stable(self.path("run", "mapping.json"))
            layer = next(layer for layer in mapping["layers"] if layer["name"] == row["layer"])
            unit, number_format = row["path"].split(" ")
            layer["parts"] = [{"unit": unit, "format": number_format, "tiles": 0,
                               "channels": [0, layer["parts"][-1]["channels"][1]]}]
            harness.write_text(self.path("other.json"), json.dumps(mapping))
            out = self.ok("cost", "net.onnx", "--hardware", "ibm_hybrid", "--mapping",
                          "other.json", "--json")
            for field in ("energy_pj", "latency_ns"):
                was, now = mapping["totals"][field], json.loads(out)["totals"][field]
                self.assertLess(abs(now - was - row[field]), 1e-9 * was, row)

    def test_eval_measures_the_mapping_alike(self):
        out = self.ok("eval", "net.onnx", "--data", DATA, "--mapping", "run/mapping.json",
                      "--chips", 2, "--times", "1s,1d", "--threads", 2, "--json")
        rows = [row for row in stable(self.path("run", "mapping.json"))["accuracy"]
                if row["split"] == "test"]
        self.assertEqual(json.loads(out)["accuracy"], rows)

    def test_export_and_report_repeat_the_files(self):
        self.ok("export", "net.onnx", "--mapping", "run/mapping.json", "--out", "again.onnx")
        self.assertEqual(harness.read_bytes(self.path("again.onnx")),
                         harness.read_bytes(self.path("run", "model.onnx")))
        self.ok("report", "run", "--html", "again.html")
        self.assertEqual(harness.read_bytes(self.path("again.html")),
                         harness.read_bytes(self.path("run", "report.html")))

    def test_resolved_settings_give_the_same_run(self):
        self.ok("map", "--config", "run/resolved.yaml", "--out", "from_settings")
        self.assert_same_run("from_settings")

    def test_a_finished_run_is_read_not_run(self):
        before = {name: os.stat(self.path("run", name)).st_mtime_ns
                  for name in os.listdir(self.path("run"))}
        self.assertEqual(self.ok(*self.command("run")), self.printed)
        after = {name: os.stat(self.path("run", name)).st_mtime_ns
                 for name in os.listdir(self.path("run"))}
        self.assertEqual(before, after)

    def test_killed_at_any_moment_it_loads_and_resumes_to_the_same_end(self):
        generator = random.Random(3)
        for _ in range(5):
            self.kill("killed", generator.uniform(1.5, 5))
        self.ok(*self.command("killed"))
        self.assert_same_run("killed")

    def test_killed_once_at_any_moment_each_folder_resumes_to_the_same_end(self):
        generator = random.Random(4)
        for _ in range(KILLS):
            after = generator.uniform(0.5, self.seconds)
            with self.subTest(after=after):
                self.kill("once", after)
                self.ok(*self.command("once"))
                self.assert_same_run("once")
            shutil.rmtree(self.path("once"))

    def test_interrupted_it_keeps_the_best_so_far_and_resumes(self):
        process = harness.start(*self.command("interrupted"), cwd=self.folder)
        run_json = self.path("interrupted", "run.json")
        while not os.path.exists(run_json) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, err)
        self.assertEqual(stable(run_json)["status"], "interrupted")
        self.assertIn("mapping.json", out)
        self.assert_loads("interrupted")
        self.ok(*self.command("interrupted"))
        self.assert_same_run("interrupted")

    def test_masks_that_are_kept_survive_an_interruption(self):
        def command(out, mask_steps=7):
            words = self.command(out)
            words[words.index("ibm_hybrid")] = "flexnn"
            return [*words, "--formats", "int8,strum:mip2q,p=0.5,L=7", "--mask-steps", mask_steps]
        self.ok(*command("masks"))
        process = harness.start(*command("masks_resumed"), cwd=self.folder)
        while not os.path.exists(self.path("masks_resumed", "run.json")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 130, err)
        self.ok(*command("masks_resumed"))
        weights = harness.read_bytes(self.path("masks", "model.safetensors"))
        self.assertEqual(weights, harness.read_bytes(self.path("masks_resumed",
                                                               "model.safetensors")))
        self.ok(*command("masks_always", mask_steps=1))
        self.assertNotEqual(weights, harness.read_bytes(self.path("masks_always",
                                                                  "model.safetensors")))

    def test_learned_steps_stay_with_their_mapping(self):
        def command(out, learned):
            words = self.command(out)
            words[words.index("mps")] = "fixed:int4/a8"
            return [*words, "--trained-baselines", "false", "--learned-steps", learned]
        self.ok(*command("following", "false"))
        self.ok(*command("learned", "true"))
        learned = stable(self.path("learned", "mapping.json"))
        following = stable(self.path("following", "mapping.json"))
        for layer, codes in learned["numerics"].items():
            for part in "weights", "input":
                self.assertNotEqual(codes[part]["scales"],
                                    following["numerics"][layer][part]["scales"])
        out = self.ok("eval", "net.onnx", "--data", DATA, "--mapping", "learned/mapping.json",
                      "--times", "1s,1d", "--threads", 2, "--json")
        self.assertEqual(json.loads(out)["accuracy"],
                         [row for row in learned["accuracy"] if row["split"] == "test"])
        self.ok("export", "net.onnx", "--mapping", "learned/mapping.json", "--out", "again.onnx")
        self.assertEqual(harness.read_bytes(self.path("again.onnx")),
                         harness.read_bytes(self.path("learned", "model.onnx")))

    def test_limits_that_clash_are_answered_with_what_comes_nearest(self):
        code, out, _ = harness.run(*self.command("clash"), "--max-energy", "1 pJ", "--min-accuracy",
                                   "0.99", cwd=self.folder)
        self.assertEqual(code, 1)
        self.assertRegex(out, "energy at most 1.000 pJ: best of all mappings seen is")
        self.assertEqual(stable(self.path("clash", "run.json"))["status"], "infeasible")

    def test_uniform_finds_one_mapping_for_each_format(self):
        command = self.command("uniform")
        command[command.index("mps")] = "uniform"
        self.ok(*command, "--trained-baselines", "false", "--formats", "int8,analog")
        front = [row for row in stable(self.path("uniform", "run.json"))["candidates"]
                 if row["kind"] == "front"]
        self.assertEqual(len(front), 2)

    def test_other_settings_do_not_mix_with_a_folder(self):
        code, _, err = harness.run(*self.command("run"), "--seed", 2, cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("holds a run with other settings", err)


if __name__ == "__main__":
    harness.main()
