"""The scripts run; what they measure is for people to read."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from resnet_exp.cores import count_cores
from tests.helpers import ROOT

PEER = """
from resnet_exp.config import NetConfig
from resnet_exp.nets.network import Network
from resnet_exp.nets.table import net_spec

resnet8 = lambda: Network(net_spec(NetConfig(8, "v1", "A", False, 16)))
"""


def bench(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "bench.py", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """Where the benchmark of two tiny nets ran, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "peer").mkdir()
    (folder / "peer" / "resnet.py").write_text(PEER)
    arguments = ["--nets", "resnet8", "plain8", "--steps", "1", "--rounds", "2", "--peer", "peer", "--together", "2"]
    done = bench(folder, *arguments, "--ours", "auto", "float32", "--busy", "1", "--json", "b.json")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


@pytest.mark.slow
def test_the_benchmark_compares_and_records(measured: tuple[Path, str]) -> None:
    folder, printed = measured
    record: dict[str, Any] = json.loads((folder / "b.json").read_text())
    assert {net: list(found["contenders"]) for net, found in record["nets"].items()} == {
        "resnet8": ["auto", "float32", "conventional", "peer"],
        "plain8": ["auto", "float32", "conventional"],
    }
    for found in record["nets"].values():
        assert found["contenders"]["float32"]["precision"] == found["contenders"]["conventional"]["precision"] == "off"
        assert found["busy"]["processes"] == 1
        beside = found["busy"]["contenders"]
        assert beside.keys() == found["contenders"].keys()
        assert beside["conventional"]["threads"] == count_cores()
        assert beside["auto"]["threads"] == max(1, count_cores() - 1)
        assert len(found["costliest"]) == 5
        assert len(found["together"]["2 processes"]) == 2
        for of_one in found["contenders"].values():
            assert len(of_one["images_per_second"]) == 2
            assert min(*of_one["images_per_second"], of_one["peak_memory_bytes"], *of_one["start_up"].values()) > 0
    assert printed.count("times as fast") == 2 * 5
    assert printed.count("beside 1 busy process:") == 2
    assert record["processor"]


@pytest.mark.slow
def test_the_cost_of_a_checkpoint_is_printed(measured: tuple[Path, str]) -> None:
    folder, printed = measured
    assert printed.count("% of the time") == 2
    assert not list((folder / "outputs").iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--peer", "nowhere"), "--peer nowhere: no resnet.py there"),
        (("--nets", "vgg16"), "--nets vgg16: plain or"),
        (("--nets", "resnet9"), "near are 8 and 14"),
    ],
)
def test_wrong_arguments_of_the_benchmark_are_named(tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert message in done.stderr


@pytest.fixture
def borrowed(tmp_path: Path) -> Callable[..., str]:
    """Runs `gpu_record.sh` in a copy of its own, with an interpreter that does nothing but note and take its time."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "gpu_record.sh", tmp_path / "scripts")
    python = tmp_path / "python"
    python.write_text(
        f"""#!/bin/sh
echo "$@" >> {tmp_path}/said
case "$*" in
    *pytest*) echo "3 passed"; exit "${{TESTS:-0}}" ;;
    *bench*) echo "fast" ;;
    *resnet_exp*seed=0)
        mkdir -p outputs/degradation/plain20/seed0
        cd outputs/degradation/plain20/seed0
        touch config.yaml metrics.csv summary.json checkpoint.pt
        sleep "${{SLOW:-0}}" & wait ;;
esac
"""
    )
    python.chmod(0o755)

    def run(*words: str, **environment: str) -> str:
        done = subprocess.run(
            [tmp_path / "scripts" / "gpu_record.sh", *words],
            env=os.environ | {"PYTHON": str(python), "SEEDS": "0 1", **environment}, capture_output=True, text=True,
        )  # fmt: skip
        (tmp_path / "code").write_text(str(done.returncode))
        return done.stdout

    return run


def test_what_a_gpu_is_borrowed_for_is_done_once_and_goes_on(borrowed: Callable[..., str], tmp_path: Path) -> None:
    record = tmp_path / "outputs" / "gpu-record"
    said = borrowed("data=synthetic", SECONDS_LEFT="6", SAVING="1", SLOW="300")
    assert said.endswith("out of time before the end of seed 0: the same command goes on from there\n")
    assert (record / "tests.txt").read_text() == "3 passed\n"
    assert (record / "bench.txt").read_text() == "fast\n"
    kept = record / "degradation" / "plain20" / "seed0"
    assert sorted(file.name for file in kept.iterdir()) == ["config.yaml", "metrics.csv", "summary.json"]
    (tmp_path / "said").unlink()
    assert borrowed("data=synthetic").endswith("complete: outputs/gpu-record\n")
    of_study = [line for line in (tmp_path / "said").read_text().splitlines() if line.startswith("-m")]
    assert [line.split()[-2:] for line in of_study] == [["data=synthetic", "seed=0"], ["data=synthetic", "seed=1"]]
    assert "pytest" not in "".join(of_study)


def test_failed_tests_are_a_record_and_broken_ones_are_none(borrowed: Callable[..., str], tmp_path: Path) -> None:
    tests = tmp_path / "outputs" / "gpu-record" / "tests.txt"
    borrowed(TESTS="2")  # pytest could not collect them
    assert (tmp_path / "code").read_text() == "2"
    assert not tests.exists()
    borrowed(TESTS="1")
    assert tests.exists()
    assert borrowed(SECONDS_LEFT="59").endswith("out of time before seed 0: the same command goes on from there\n")
