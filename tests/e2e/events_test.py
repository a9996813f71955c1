#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What training leaves for TensorBoard, read by TensorBoard's own reader, which checks checksums."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
import harness  # noqa: E402
import python_env  # noqa: E402

DATA = "npz:data.npz?mean=0.4&std=0.25"


def scalars(folder):
    """[(tag, step, value)] of the only event file in a folder."""
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    files = [name for name in os.listdir(folder) if "tfevents" in name]
    assert len(files) == 1, files
    events = list(LegacyEventFileLoader(os.path.join(folder, files[0])).Load())
    assert events[0].file_version == "brain.Event:2", events[0]
    return [(value.tag, event.step, value.simple_value)
            for event in events[1:] for value in event.summary.value]


class Events(harness.Case):
    def test_train_leaves_its_losses(self):
        self.ok("train", "resnet8", "--data", DATA, "--epochs", 20, "--batch", 50, "--out", "t.onnx")
        found = scalars(self.path("t.onnx.checkpoint"))
        self.assertEqual([(tag, step) for tag, step, _ in found],
                         [("train/loss", step) for step in range(50, 201, 50)])  # 540 images
        self.assertLess(found[-1][2], found[0][2])

    def test_map_leaves_its_trace(self):
        self.ok("map", "net.onnx", "--hardware", "ibm_hybrid", "--data", DATA, "--batch", 50,
                "--fair-steps", 4, "--ramp-steps", 4, "--tune-steps", 20, "--rounds", 2, "--samples",
                4, "--calibration-images", 50, "--chips", 2, "--test-chips", 2,
                "--trained-baselines", "false", "--out", "run")
        with open(self.path("run", "run.json"), encoding="utf-8") as stream:
            trace = json.load(stream)["trace"]
        found = scalars(self.path("run"))
        self.assertTrue(trace)
        self.assertEqual([(tag, step) for tag, step, _ in found],
                         [(f"{point['phase']}/{point['quantity']}", point["step"])
                          for point in trace])
        for (_, _, value), point in zip(found, trace):
            self.assertAlmostEqual(value, point["value"], delta=1e-6 * max(abs(point["value"]), 1))


if __name__ == "__main__":
    python_env.enter(os.path.join(harness.SOURCE_DIR, ".venv"), "tensorboard")
    harness.main()
