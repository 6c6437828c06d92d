"""Tables and figure of `benchmarks/faithfulness.py` come from its json, and from nothing else."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from kikuchinet.explanation import FEATURES, Curves, Difference, HeatShare, Judgement, Trial

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "faithfulness.py"


@pytest.fixture(scope="module")
def script(benchmark_script):
    return benchmark_script("faithfulness")


@pytest.fixture(scope="module")
def trial() -> Trial:
    share = np.linspace(0.0, 1.0, 5)
    curves = {
        name: Curves(share, np.outer([1.0, 0.8], 1.0 - share) * scale, np.outer([1.0, 0.6], share) * scale)
        for name, scale in (("grad_cam", 1.0), ("guided", 0.5), ("random", 0.9), ("centre", 0.7))
    }
    better, none = Difference(-0.2, -0.3, -0.1), Difference(0.0, -0.1, 0.1)
    judgements = {
        name: Judgement(
            {"random": better, "centre": none},
            {"random": none, "centre": none},
            none,
            {
                feature: HeatShare(level, level - 0.02, level + 0.02, 0.1, 0.1, 0.11, 7)
                for feature in FEATURES
            },
        )
        for name, level in (("grad_cam", 0.3), ("guided", 0.6))
    }
    return Trial(curves, judgements, np.zeros(2, dtype=np.int64))


def test_a_redrawn_figure_shows_what_the_json_holds(script, trial, tmp_path, monkeypatch, capsys):
    found = {"model": "m", "version": "3", "patterns": 2, "right": 0.5, **script.figures(trial)}
    (tmp_path / "faithfulness.json").write_text(json.dumps(found))
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--redraw", "--out", str(tmp_path)])
    script.main()
    printed = capsys.readouterr().out
    assert "m version 3; 2 patterns, 0.500 answered rightly" in printed
    assert "| Grad-CAM | -0.200 (-0.300 to -0.100) | +0.000 (-0.100 to +0.100) |" in printed
    assert (
        "| guided Grad-CAM | bands | 0.600 (0.580 to 0.620) | 0.100 (0.110) | 0.100 | 7 | 6.00 times"
        in printed
    )
    assert f"**Grad-CAM.** {trial.judgements['grad_cam'].verdict}" in printed
    assert (tmp_path / "faithfulness.png").read_bytes().startswith(b"\x89PNG")
    deletion, insertion, shares = script.draw(json.loads((tmp_path / "faithfulness.json").read_text())).axes
    lines = {line.get_label(): line.get_ydata() for line in deletion.lines}
    np.testing.assert_allclose(lines["Grad-CAM"], 0.9 * (1.0 - np.linspace(0.0, 1.0, 5)))
    assert len(insertion.lines) == 4
    heights = [round(bar.get_height(), 3) for bar in shares.patches if bar.get_width() > 0.3]
    assert heights == [0.3, 0.3, 0.3, 0.6, 0.6, 0.6]
