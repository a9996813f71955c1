#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PEs of tools/strum_pe, synthesised and simulated gate by gate, compute what integers say.

Called as FILE.py with a Python that has NumPy; without Yosys or NumPy it says so and is skipped.
"""
import importlib.machinery
import importlib.util
import pathlib
import shutil
import sys
import unittest

SKIPPED = 77
TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "strum_pe" / "measure"


def load_tool():
    loader = importlib.machinery.SourceFileLoader("measure", str(TOOL))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("measure", loader))
    loader.exec_module(module)
    return module


def random_operands(kind, cycles, rng):
    operands = {f"{kind}_x": rng.integers(-128, 128, (cycles, 8)), f"{kind}_clear": rng.random(cycles) < .2}
    if kind == "int8":
        return operands | {"int8_w": rng.integers(-128, 128, (cycles, 8))}
    operands[f"{kind}_w"] = rng.integers(-128, 128, (cycles, 4))
    if kind == "dliq":
        code = rng.integers(0, 16, (cycles, 4))
        grid = rng.integers(0, 5, cycles)
        value = np.where(code > 7, code - 16, code) << grid[:, None]
        return operands | {"dliq_code": code, "dliq_value": value, "dliq_grid": grid}
    exponent = rng.integers(0, (8 if kind == "mip2q7" else 6), (cycles, 4))
    sign = rng.integers(0, 2, (cycles, 4))
    return operands | {f"{kind}_code": exponent | sign << 3,
                       f"{kind}_value": np.where(sign == 1, -(1 << exponent), 1 << exponent)}


class Gates(unittest.TestCase):
    def test_every_pe_computes_its_dot_products(self):
        tool = load_tool()
        for seed, (name, module, parameter, kind) in enumerate(tool.PES):
            with self.subTest(name):
                operands = random_operands(kind, 1000, np.random.default_rng(seed))
                netlist, area = tool.synthesise(module, parameter)
                self.assertGreater(area, 0)
                stimulus = tool.stimulus(kind, module, operands)
                tool.Netlist(netlist).run(*stimulus)  # raises where a register differs
                inputs, accumulator, cycles = stimulus
                wrong = accumulator.copy()
                wrong[500, 0] ^= 1
                with self.assertRaises(RuntimeError):
                    tool.Netlist(netlist).run(inputs, wrong, cycles)


if __name__ == "__main__":
    try:
        import numpy as np
    except ImportError:
        print("skipped: no NumPy")
        sys.exit(SKIPPED)
    if shutil.which("yosys") is None:
        print("skipped: no Yosys (Debian's yosys)")
        sys.exit(SKIPPED)
    unittest.main()
