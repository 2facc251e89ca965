"""`task=diagnose` as users type it."""

import json
import shutil
from pathlib import Path

import pytest

from resnet_exp.grammar import spelled_out
from resnet_exp.runs.diagnostics import read_diagnosis
from tests.helpers import TINY, Command, assert_one_message, finish, start

NETS = (*TINY, "train.steps=4", "train.eval_every=2", "study=mine", "seed=1")  # none that is the default


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    cwd = tmp_path_factory.mktemp("trained")
    assert finish(start(cwd, "-m", *NETS, "model=plain,resnet", "depth=8"))[0] == 0
    return cwd / "outputs"


@pytest.fixture
def trained(once: Path, tmp_path: Path) -> Path:
    """The study of two trained nets, in a folder of the test's own."""
    shutil.copytree(once, tmp_path / "outputs")
    return tmp_path / "outputs" / "mine"


def test_every_run_of_a_study_is_asked_and_the_report_says_why(trained: Path, command: Command) -> None:
    before = {file: file.read_bytes() for file in trained.rglob("seed1/*") if file.is_file()}
    done = command("task=diagnose", "from=outputs/mine", "what=responses")
    assert done.returncode == 0, done.stderr
    assert "resnet8 responds 1.0" in done.stdout
    for name in ("plain8", "resnet8"):
        found = read_diagnosis(trained / name / "seed1", "responses")
        assert found is not None
        assert found.complete
    assert "heading-why" in (trained / "report" / "report.html").read_text()
    after = {file: file.read_bytes() for file in before}
    assert after == before  # checkpoints and records are read alone


def test_a_sweep_of_diagnoses_is_one_too(trained: Path, command: Command) -> None:
    done = command("-m", *NETS, "model=plain,resnet", "depth=8", "task=diagnose", "what=responses")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Do layers of residual nets respond less?") == 1
    assert "resnet8 responds 1.0" in done.stdout


def test_several_runs_of_a_study_are_asked_at_once(trained: Path, command: Command, tmp_path: Path) -> None:
    study = trained.rename(tmp_path / "moved [study], one")
    words = ("task=diagnose", "from='moved [study], one'", "what=responses,gradients")
    done = command("-m", "hydra/launcher=parallel", "hydra.launcher.n_jobs=2", *words)
    assert done.returncode == 0, done.stderr
    for name in ("plain8", "resnet8"):
        for what in ("responses", "gradients"):
            found = read_diagnosis(study / name / "seed1", what)
            assert found is not None
            assert found.complete
            assert found.subject.name == name, "its own, not that of the job"
        assert f"\n{name}/seed1: moved [study], one/{name}/seed1\n" in done.stdout
    assert done.stdout.count("Do layers of residual nets respond less?") == 1
    assert "heading-why" in (study / "report" / "report.html").read_text()
    assert not (tmp_path / "outputs" / "mine").exists()


def test_a_study_and_its_copy_are_two(trained: Path, command: Command) -> None:
    shutil.copytree(trained, trained.with_name("copy"))
    done = command("-m", "task=diagnose", "from=outputs", "what=responses")
    assert done.returncode == 0, done.stderr
    assert len(list(trained.parent.rglob("responses.csv"))) == 4


def test_one_run_is_named_by_its_folder_or_its_settings(trained: Path, command: Command) -> None:
    """Not by what its own command said of itself: that it was to begin anew, and with how many threads."""
    file = trained / "plain8/seed1/config.yaml"
    file.write_text(file.read_text().replace("fresh: false", "fresh: true"))
    for words in ((*NETS, "model=plain", "depth=8"), ("from=outputs/mine/plain8/seed1",)):
        done = command("task=diagnose", *words, "what=responses")
        assert done.returncode == 0, done.stderr
        assert "(plain8)" in done.stdout
        assert "resnet8 responds" not in done.stdout
        assert sorted(folder.parent.name for folder in trained.rglob("report")) == ["mine"]
    assert "responses is known; fresh=true measures it again" in done.stdout


def test_a_net_that_nobody_trained_is_asked_at_initialisation(command: Command, tmp_path: Path) -> None:
    done = command("task=diagnose", *TINY, "model=plain", "depth=32", "what=responses")
    assert done.returncode == 0, done.stderr
    assert "Before the first step it was 1.000 in every layer" in done.stdout
    assert not (tmp_path / "outputs/default/plain32/seed0/config.yaml").exists()
    assert (tmp_path / "outputs/default/report/why.md").exists()
    trained = command(*TINY, "model=plain", "depth=32")  # and then somebody does
    assert trained.returncode == 0, trained.stderr
    summary = json.loads((tmp_path / "outputs/default/plain32/seed0/summary.json").read_text())
    assert summary["status"] == "completed"


def test_a_question_that_does_not_fit_a_net_is_passed_over_among_others(trained: Path, command: Command) -> None:
    for words in (
        ("task=diagnose", "from=outputs/mine", "what=branches"),
        ("task=diagnose", "from=outputs/mine/plain8/seed1", "what=all"),
        ("-m", "task=diagnose", "from=outputs/mine", "what=branches", "fresh=true"),
    ):
        done = command(*words)
        assert done.returncode == 0, done.stderr
        assert "what=branches: plain8 has no shortcut beside which its layers are a branch" in done.stdout
    assert (trained / "resnet8" / "seed1" / "diagnostics" / "branches.csv").exists()
    assert (trained / "plain8" / "seed1" / "diagnostics" / "responses.csv").exists()
    assert not (trained / "plain8" / "seed1" / "diagnostics" / "branches.json").exists()
    done = command("task=diagnose", "from=outputs/mine/plain8/seed1", "what=branches")
    assert_one_message(done.returncode, done.stderr, "plain8 has no shortcut", "ask it of a residual net")


def test_impossible_commands_are_refused_with_one_message(trained: Path, command: Command) -> None:
    for words, parts in (
        (("task=diagnose", "from=outputs/none"), ("from=outputs/none: no run folder",)),
        (("task=diagnose", "from=outputs/mine", "what=respones"), ("what=respones: choose responses,", "all")),
        (("task=diagnose", "from=outputs/mine", "depth=14"), ("other settings: depth: 8 -> 14",)),
        (("what=responses", *TINY), ("what=[responses]: goes with task=diagnose",)),
    ):
        done = command(*words)
        assert_one_message(done.returncode, done.stderr, *parts)
        assert "fresh=true" not in done.stderr, "which would train the run anew"


def test_a_sweep_whose_report_cannot_be_written_fails(trained: Path, command: Command) -> None:
    shutil.rmtree(trained / "report")
    (trained / "report").write_text("somebody's")
    done = command("-m", "task=diagnose", "from=outputs/mine", "what=responses")
    assert_one_message(done.returncode, done.stderr, "report")


def test_what_is_written_without_brackets() -> None:
    assert spelled_out("what=responses,gradients") == "what=[responses,gradients]"
    assert spelled_out("what=all") == "what=[all]"
    assert spelled_out("what=[lesion]") == "what=[lesion]"
    assert spelled_out("somewhat=a,b") == "somewhat=a,b"
