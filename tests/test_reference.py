"""The recorded studies: their report, computed anew, has the numbers that were recorded."""

import csv
import itertools
import math
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from resnet_exp.cli.main import conf_dir
from resnet_exp.cli.names import NAMED
from resnet_exp.cli.sweep import expand
from resnet_exp.config import Config
from resnet_exp.runs.folder import read_config
from resnet_exp.settings import differences
from resnet_exp.why.report import write_report
from tests.helpers import ROOT, load_runs

REFERENCE = ROOT / "outputs" / "reference"
STUDIES = sorted(folder.name for folder in REFERENCE.iterdir() if folder.is_dir())


IMAGES = ("data=image_folder", "data.root=images", "data.title='CIFAR-10, JPEG q75 copy'")


def cells(file: Path) -> list[list[str]]:
    with file.open() as lines:
        return list(csv.reader(lines))


def alike(one: str, other: str) -> bool:
    """The same text, or the same number but for its last digits."""
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-9)
    except ValueError:
        return False


@pytest.mark.usefixtures("unsaved")
@pytest.mark.parametrize("study", STUDIES)
def test_a_recorded_report_is_computed_anew(study: str, tmp_path: Path) -> None:
    recorded = REFERENCE / study / "report"
    write_report(REFERENCE / study, out=tmp_path)
    assert (tmp_path / "summary.md").read_text() == (recorded / "summary.md").read_text()
    for row, again in zip(cells(recorded / "summary.csv"), cells(tmp_path / "summary.csv"), strict=True):
        assert all(map(alike, row, again)), (row, again)
        assert len(row) == len(again)


@pytest.mark.parametrize("study", STUDIES)
def test_a_record_is_whole(study: str) -> None:
    folder = REFERENCE / study
    for run in load_runs(folder):
        kept = {file.name for file in run.path.iterdir()}
        assert kept - {"diagnostics"} == {"config.yaml", "metrics.csv", "summary.json"}
        assert run.finished
        assert run.metrics["step"][-1] == run.summary["steps"] or run.summary["status"] == "diverged"
        assert run.summary["dataset"]["name"] in ("CIFAR-10, JPEG q75 copy", "synthetic shapes")
    report = {f"{name}.{suffix}" for name in ("curves", "depth") for suffix in ("pdf", "png", "svg")}
    report |= {"report.html", "summary.csv", "summary.md"}
    drawn = {file.name for file in (folder / "report").iterdir()}
    asked = {file.stem for file in folder.glob("*/*/diagnostics/*.json")}
    asked |= {"grow"} if any(run.summary.get("grown") for run in load_runs(folder)) else set()
    assert report | {f"{what}.png" for what in asked} <= drawn
    assert all(any(name.startswith(what) for what in asked) for name in drawn - report)
    machine = (folder / "MACHINE.md").read_text()
    for part in ("## Hardware", "## Versions", "## Commands", "## Wall time", "## What went wrong"):
        assert part in machine


def commands(folder: Path) -> list[list[str]]:
    """The overrides of each command that `make reference` would give on a machine with a GPU.

    Args:
        folder: an empty one.
    """
    (folder / "nvidia-smi").touch(mode=0o755)
    told = folder / "resnet-exp"
    told.write_text("#!/bin/sh\nprintf '%s\\n' resnet-exp \"$@\"\n")
    told.chmod(0o755)
    found = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "RESNET_EXP": str(told)}
    script = ROOT / "scripts" / "reference.sh"
    said = subprocess.run([script, *IMAGES], capture_output=True, text=True, check=True, env=found).stdout
    given = [words.split("\n")[:-1] for words in said.split("resnet-exp\n")[1:]]
    return [words[1:] for words in given if words[0] == "-m"]


def jobs(overrides: list[str], settings: Callable[..., Config]) -> list[Config]:
    """What a sweep of these overrides trains."""
    of_net = [override for override in overrides if not override.startswith("hydra")]
    own = DictConfig({})
    for override in of_net:
        if override.startswith("experiment="):
            file = conf_dir() / "experiment" / f"{override.partition('=')[2]}.yaml"
            own = OmegaConf.load(file).hydra.sweeper.params
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        choices = expand(of_net, DictConfig({"hydra": {"sweeper": {"params": own}}}))
    varied = [key for key, values in choices.items() if len(values) > 1 and key not in NAMED]
    named = [f"name=${{run_name:{','.join(varied)}}}"] if varied else []
    seeds = choices.pop("seed", ["0"])  # which change nothing else: a third of the time
    found = []
    for values in itertools.product(*choices.values()):
        job = settings(*named, *(f"{key}={value}" for key, value in zip(choices, values, strict=True)))
        found += [job.updated({"seed": int(seed)}) for seed in seeds]
    return found


def test_make_reference_repeats_what_was_recorded(
    settings: Callable[..., Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in ("train", "test"):
        (tmp_path / "images" / part).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bin").mkdir()
    studies: dict[str, dict[Path, Config]] = {}
    for overrides in commands(tmp_path / "bin"):
        for job in jobs(overrides, settings):
            known = studies.setdefault(job.study, {})
            if all(differences(other.to_dict(), job.to_dict()) for other in known.values()):  # else it is that run
                known[Path(job.study, job.name, f"seed{job.seed}")] = job
    assert sorted(studies) == STUDIES
    for study, repeated in studies.items():
        recorded = {file.parent.relative_to(REFERENCE): file for file in (REFERENCE / study).rglob("config.yaml")}
        assert repeated.keys() == recorded.keys()
        for path, job in repeated.items():
            of_today = study != "cpu-600"
            precision = load_runs(REFERENCE / path)[0].summary["choices"]["precision"]
            assert precision == ("bf16" if of_today else "off")  # which auto was there and then
            different = differences(read_config(recorded[path]) or {}, job.to_dict())
            assert different == ([] if of_today else ["amp: auto -> off"])
