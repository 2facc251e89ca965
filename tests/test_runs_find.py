from pathlib import Path

import pytest

from resnet_exp.cli.diagnose import runs_below
from resnet_exp.runs.diagnostics import Diagnosis, Subject, write_diagnosis
from resnet_exp.runs.find import run_folders, study_of, walk
from resnet_exp.why.measured import gather

FOUND = Diagnosis("responses", Subject("plain20", 0, {}, "shapes", 100, 8, 6), {}, [{"step": 0}])


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A study whose second run lies elsewhere, with a link back up in it, and another program's settings."""
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere" / "seed1"
    for run in (study / "plain20" / "seed0", elsewhere):
        (run / "evaluation").mkdir(parents=True)
        (run / "summary.json").write_text("{}")
        (run / "config.yaml").write_text("{}")
    (study / "plain20" / "seed1").symlink_to(elsewhere)
    (study / "plain20" / "up").symlink_to(study)
    (study / "config").mkdir()
    (study / "config" / "config.yaml").write_text("{}")
    return study


def test_links_are_followed_and_each_folder_comes_once(linked: Path) -> None:
    runs = [linked / "plain20" / "seed0", linked / "plain20" / "seed1"]
    assert run_folders(linked) == run_folders(linked, linked.parent / "elsewhere") == runs
    assert runs_below(linked) == runs
    inside = [path for path, _ in walk(linked) if path.name == "evaluation"]
    assert inside == [], "what a run folder holds"
    assert runs_below(runs[0]) == runs_below(linked / "none") == []
    with pytest.raises(ValueError, match="none: no such folder"):
        run_folders(linked, linked / "none")


def test_a_run_is_named_from_wherever_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = tmp_path / "study" / "plain20" / "seed3"
    run.mkdir(parents=True)
    assert study_of(run, seed=3) == tmp_path / "study"
    for where, named in ((tmp_path, "study/plain20/seed3"), (run.parent, "seed3"), (run, "."), (run, "../seed3")):
        monkeypatch.chdir(where)
        assert study_of(Path(named), seed=3).resolve() == tmp_path / "study", named
    monkeypatch.chdir(tmp_path)
    assert study_of(Path("study/plain20/seed3"), seed=3) == Path("study"), "as short as it was named"
    assert study_of(Path("study/plain20/seed3"), seed=0) == Path("study/plain20/seed3"), "called by no seed: alone"


def test_diagnoses_of_linked_runs_are_gathered(linked: Path) -> None:
    for run in run_folders(linked):
        write_diagnosis(run, FOUND)
    assert gather([linked], "responses") == ([FOUND, FOUND], [])
