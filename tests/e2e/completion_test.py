#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shell completion and the manual page hold what --help shows."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

import harness

COMMANDS = ("map", "train", "schedule", "quantize", "inspect")


def printed(*arguments):
    code, out, err = harness.run(*arguments, cwd="/")
    assert code == 0, err
    return out


def options_of(command):
    """The long options that --help lists, and their summaries' first words."""
    return re.findall(r"^\s+(?:-\w,\s*)?--([a-z][a-z0-9-]*)", printed(command, "--help"), re.M)


class Completion(unittest.TestCase):
    def complete(self, *words):
        """What bash offers for the last of these words."""
        line = " ".join(f"'{word}'" for word in ("tessera", *words))
        script = (printed("completion", "bash") +
                  f"COMP_WORDS=({line}); COMP_CWORD={len(words)}; _tessera; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"\n")
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True,
                              check=True).stdout.split()

    def test_bash_offers_commands_options_and_files(self):
        self.assertEqual(self.complete("qua"), ["quantize"])
        self.assertTrue(set(COMMANDS) < set(self.complete("")))
        for command in COMMANDS:
            with self.subTest(command=command):
                options = options_of(command)
                self.assertGreater(len(options), 3)
                self.assertLessEqual({"--" + name for name in options},
                                     set(self.complete(command, "--")))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "network.onnx")
            harness.write_text(path, "")
            self.assertEqual(self.complete("map", path[:-6]), [path])

    def test_fish_has_a_line_for_each_option(self):
        lines = printed("completion", "fish").splitlines()
        for command in COMMANDS:
            for option in options_of(command):
                wanted = f"complete -c tessera -n '__fish_seen_subcommand_from {command}' -l {option} "
                self.assertTrue(any(line.startswith(wanted) for line in lines), (command, option))

    @unittest.skipUnless(shutil.which("groff"), "no groff")
    def test_the_manual_page_shows_each_option_without_a_warning(self):
        page = subprocess.run(["groff", "-k", "-man", "-Tutf8", "-P-c", "-ww", "-rLL=80n"],
                              input=printed("completion", "man"), capture_output=True, text=True,
                              check=True)
        self.assertEqual(page.stderr, "")
        text = re.sub(".\b", "", page.stdout)  # bold by overstriking
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        for command in COMMANDS:
            section = text.split(f"\n   {command}\n")[1]
            for option in options_of(command):
                self.assertRegex(section, rf"(?m)^ +(-\w, )?--{option}\b", command)


if __name__ == "__main__":
    harness.main()
