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
        "from resnet_exp.nets.models import CifarNet\nresnet8 = lambda: CifarNet(depth=8)\n"
    )
    arguments = ["--nets", "resnet8", "plain8", "--steps", "1", "--rounds", "2", "--peer", "peer", "--together", "2"]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *arguments, "--ours", "auto", "eager", "--json", "b.json"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "b.json").read_text())
    assert {net: list(found["contenders"]) for net, found in record["nets"].items()} == {
        "resnet8": ["auto", "eager", "conventional", "peer"],
        "plain8": ["auto", "eager", "conventional"],
    }
    for found in record["nets"].values():
        assert len(found["costliest"]) == 5
        assert len(found["together"]["2 processes"]) == 2
        for of_one in found["contenders"].values():
            assert len(of_one["images_per_second"]) == 2
            assert min(*of_one["images_per_second"], of_one["peak_memory_bytes"], *of_one["start_up"].values()) > 0
    assert done.stdout.count("times as fast") == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("--peer", "nowhere"), "--peer nowhere: no resnet.py there"), (("--nets", "vgg16"), "--nets vgg16: plain or")],
)
def test_wrong_arguments_of_the_benchmark_are_named(tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "bench.py", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert message in done.stderr


@pytest.mark.slow
def test_the_cost_of_a_checkpoint_is_printed(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "checkpoint_cost.py", "8", "--rounds", "1"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "% of the time" in done.stdout
    assert not list((tmp_path / "outputs").iterdir())
