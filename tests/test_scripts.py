"""The scripts run; what they measure is for people to read."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_the_benchmark_compares_and_records(tmp_path: Path) -> None:
    (tmp_path / "peer").mkdir()
    (tmp_path / "peer" / "resnet.py").write_text(
        "from resnet_exp.models import CifarNet\nresnet8 = lambda: CifarNet(depth=8)\n"
    )
    arguments = ["--nets", "resnet8", "plain8", "--steps", "1", "--rounds", "2", "--peer", "peer", "--json", "b.json"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "b.json").read_text())
    rates = {net: found["images_per_second"] for net, found in record["nets"].items()}
    assert {net: list(of) for net, of in rates.items()} == {
        "resnet8": ["ours", "conventional", "peer"],
        "plain8": ["ours", "conventional"],
    }
    assert all(len(of) == 2 and min(of) > 0 for found in rates.values() for of in found.values())
    assert done.stdout.count("times as fast") == 3


@pytest.mark.slow
def test_the_cost_of_a_checkpoint_is_printed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "checkpoint_cost.py", "8", "--rounds", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "% of the time" in done.stdout
    assert not list((tmp_path / "outputs").iterdir())
