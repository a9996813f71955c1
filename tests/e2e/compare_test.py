#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Several strategies on one problem: what a comparison leaves, and that it survives being killed."""
import csv
import json
import os
import random
import time

import harness

SETTINGS = ["--data", "npz:data.npz", "--hardware", "ibm_hybrid", "--formats", "int8,analog",
            "--batch", 50, "--fair-steps", 2, "--ramp-steps", 6, "--rounds", 2, "--samples", 6,
            "--tune-steps", 6, "--chips", 2, "--test-chips", 2, "--test-times", "1d",
            "--calibration-images", 200, "--threads", 2]
STRATEGIES = "mps,lionheart,fixed:int8"


def rows(path):
    with open(path, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class Compare(harness.Case):
    @staticmethod
    def command(out, *more, strategies=STRATEGIES, budget=1000):
        return ["compare", "net.onnx", "--strategies", strategies, "--seeds", 2, *SETTINGS,
                "--budget", budget, "--out", out, *more]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        code, cls.printed, err = harness.run(*cls.command("whole"), cwd=cls.folder)
        assert code == 0, err

    def test_table_and_files_hold_every_run(self):
        for name in STRATEGIES.split(","):
            self.assertIn(name + " × 2", self.printed)
        runs = rows(self.path("whole", "summary.csv"))
        self.assertEqual([(r["strategy"], r["seed"]) for r in runs],
                         [(s, str(k)) for k in (1, 2) for s in STRATEGIES.split(",")])
        for run in runs:
            self.assertLessEqual(int(run["training_samples"]), 1000)
            self.assertGreater(float(run["hypervolume"]), 0)
            self.assertNotEqual(run["test_mean"], "")
        # A rule spends its budget on the one mapping it has.
        self.assertEqual({r["training_samples"] for r in runs if r["strategy"] == "fixed:int8"},
                         {"1000"})
        self.assertEqual({r["training_samples"] for r in runs if r["strategy"] == "mps"}, {"1000"})

    def test_every_mapping_is_one_of_its_run(self):
        mappings = rows(self.path("whole", "compare.csv"))
        with open(self.path("whole", "lionheart", "seed-2", "run.json"), encoding="utf-8") as stream:
            record = json.load(stream)
        energies = {c["label"]: c["totals"]["energy_pj"] for c in record["candidates"]
                    if c["kind"] != "baseline"}
        own = {m["label"]: float(m["energy_pj"]) for m in mappings
               if m["strategy"] == "lionheart" and m["seed"] == "2"}
        self.assertEqual(own, energies)

    def test_json_is_what_the_files_say(self):
        found = json.loads(self.ok(*self.command("whole", "--json")))
        self.assertEqual(len(found["runs"]), 6)
        self.assertEqual([run["hypervolume"] for run in found["runs"]],
                         [float(r["hypervolume"]) for r in rows(self.path("whole", "summary.csv"))])

    def test_another_strategy_joins_without_running_the_others_again(self):
        before = os.stat(self.path("whole", "mps", "seed-1", "run.json")).st_mtime_ns
        self.ok(*self.command("whole", strategies="mps,uniform"))
        self.assertEqual(before, os.stat(self.path("whole", "mps", "seed-1", "run.json")).st_mtime_ns)
        self.assertEqual(len(rows(self.path("whole", "summary.csv"))), 4)
        self.ok(*self.command("whole"))  # as it was, for the other tests

    def test_killed_it_loads_and_resumes_to_the_same_bytes(self):
        generator = random.Random(5)
        for _ in range(4):
            process = harness.start(*self.command("killed"), cwd=self.folder)
            time.sleep(generator.uniform(2, 6))
            process.kill()
            process.communicate()
            if os.path.exists(self.path("killed", "compare.csv")):
                rows(self.path("killed", "compare.csv"))
                harness.stable(self.path("killed", "compare.json"))
        self.ok(*self.command("killed"))
        self.assertEqual(harness.read_bytes(self.path("whole", "compare.csv")),
                         harness.read_bytes(self.path("killed", "compare.csv")))

    def test_dry_run_shows_how_each_spends_the_budget(self):
        out = self.ok(*self.command("dry", "--dry-run"))
        self.assertIn("# lionheart\n", out)
        # 20 steps: of 2, 6 and 6 in 22, 1 and 5 strict-fair ones on two paths; 8 are left.
        self.assertIn("search-steps: 12", out)
        self.assertFalse(os.path.exists(self.path("dry")))

    def test_a_budget_too_small_for_a_step(self):
        code, _, err = harness.run(*self.command("small", budget=60), cwd=self.folder)
        self.assertEqual(code, 2)
        self.assertIn("budget: found 60 images; allowed: at least 100", err)


if __name__ == "__main__":
    harness.main()
