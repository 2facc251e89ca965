"""Growing as users type it: a run's net, or that of the study, which is trained first where it is missing."""

import json
import signal
import time
from pathlib import Path

import pytest

from resnet_exp.grammar import settings_in, spelled_out
from resnet_exp.runs.folder import RunFolder
from tests.helpers import TINY, Command, assert_one_message, assert_same, finish, rows, start, wait_until

NET = (*TINY, "model=plain", "amp=off", "study=mine")


def summary_of(path: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((path / "summary.json").read_text())
    return found


def test_a_runs_net_grows_and_trains_on_at_the_lr_that_is_said(command: Command, tmp_path: Path) -> None:
    assert command(*NET, "depth=8").returncode == 0
    done = command("task=grow", "from=outputs/mine/plain8/seed0", "depth=14", "optim.lr=0.01")
    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert "plain14-grown8-lr0.01 grown from outputs/mine/plain8/seed0" in said
    assert "lr 0.01" in said
    assert "train images: error" in said
    assert "logits differ by up to" in said
    path = tmp_path / "outputs/mine/plain14-grown8-lr0.01/seed0"
    summary = summary_of(path)
    assert summary["status"] == "completed"
    assert summary["choices"]["initial_weights"] == "grown from depth=8 optim.lr=0.1"
    assert (summary["grown"]["name"], summary["grown"]["from"]) == ("plain8", "../../plain8/seed0")
    assert summary["depth"] == 14
    again = command("task=grow", "from=outputs/mine/plain8/seed0", "depth=14", "optim.lr=0.01")
    assert "already completed" in again.stdout + again.stderr


def test_a_sweep_of_grown_nets_names_them_as_one_would_and_draws_them(command: Command, tmp_path: Path) -> None:
    assert command(*NET, "depth=8").returncode == 0
    words = ("-m", "task=grow", "from=outputs/mine/plain8/seed0", "depth=14", "optim.lr=0.1,0.01")
    done = command(*words)
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "mine"
    names = {path.name for path in study.iterdir() if path.name.startswith("plain")}
    assert names == {"plain8", "plain14-grown8", "plain14-grown8-lr0.01"}
    assert [summary_of(study / name / "seed0")["depth"] for name in sorted(names)] == [14, 14, 8]
    assert (study / "report" / "grow.png").exists()
    assert "comparison: outputs/mine/report/report.html" in done.stdout


def test_what_a_killed_save_left_is_no_checkpoint_to_go_on_from(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "outputs" / "mine" / "plain14-grown8" / "seed0"
    path.mkdir(parents=True)
    (path / "..checkpoint.pt.new.1-abc.tmp").touch()
    assert command(*NET, "depth=14", "grow_from=[depth=8]").returncode == 0
    summary = summary_of(path)
    assert summary["choices"]["initial_weights"] == "grown from depth=8"
    assert summary["grown"]["name"] == "plain8"


def test_the_shallower_run_is_trained_first_where_it_is_missing(command: Command, tmp_path: Path) -> None:
    done = command(*NET, "depth=14", "grow_from=[depth=8]")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "outputs" / "mine"
    assert sorted(path.name for path in study.iterdir()) == ["plain14-grown8", "plain8"]
    assert summary_of(study / "plain8" / "seed0")["status"] == "completed"
    before = (study / "plain8" / "seed0" / "checkpoint.pt").read_bytes()
    other = command(*NET, "depth=20", "grow_from=[depth=8]")  # and taken where it is
    assert other.returncode == 0, other.stderr
    assert (study / "plain8" / "seed0" / "checkpoint.pt").read_bytes() == before


def test_a_stopped_grown_run_ends_with_the_same_bytes(command: Command, tmp_path: Path) -> None:
    words = (*NET, "depth=14", "grow_from=[depth=8]", "train.steps=40", "train.eval_every=10", "train.save_every=10")
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
        assert command(*NET, "depth=8", "train.steps=40", "train.eval_every=10", "train.save_every=10", cwd=folder)
    process = start(parts, *words)
    path = parts / "outputs/mine/plain14-grown8/seed0"
    wait_until(lambda: (path / "metrics.csv").exists() and len(rows(path)) >= 1, "a first row")
    process.send_signal(signal.SIGTERM)
    code, _, _ = finish(process)
    assert code in (0, 143)
    for folder in (parts, whole):
        code, _, err = finish(start(folder, *words))
        assert code == 0, err
    assert_same(path, whole / "outputs/mine/plain14-grown8/seed0")


def test_side_by_side_one_trains_the_shallower_net_and_the_other_waits(command: Command, tmp_path: Path) -> None:
    """Or comes when it is done."""
    words = ("experiment=grow", "arm=grown,shallow", "model=plain", "seed=0", *TINY)
    done = command("-m", *words, "hydra/launcher=parallel", "hydra.launcher.n_jobs=2")
    assert done.returncode == 0, done.stderr
    assert summary_of(tmp_path / "outputs/grow/plain20/seed0")["status"] == "completed"


def test_it_waits_for_whoever_trains_the_shallower_net(tmp_path: Path) -> None:
    path = tmp_path / "outputs/mine/plain8/seed0"
    with RunFolder(path):  # somebody has it
        process = start(tmp_path, *NET, "depth=14", "grow_from=[depth=8]")
        time.sleep(4)
        assert not (tmp_path / "outputs/mine/plain14-grown8/seed0/metrics.csv").exists()
    code, out, err = finish(process)
    assert code == 0, err
    assert "waiting for plain8/seed0, which another process is training" in out + err
    assert summary_of(tmp_path / "outputs/mine/plain14-grown8/seed0")["status"] == "completed"


def test_impossible_growth_is_refused_with_one_message(command: Command) -> None:
    assert command(*NET, "depth=8").returncode == 0
    source = "from=outputs/mine/plain8/seed0"
    for words, parts in (
        (("task=grow", "depth=14"), ("say from=RUN",)),
        (("task=grow", "from=outputs/none", "depth=14"), ("no run folder",)),
        (("task=grow", source), ("say how deep the net shall be, like depth=44",)),
        (("task=grow", source, "depth=14", "width=8"), ("differ in more than their blocks",)),
        (("task=grow", source, "depth=14", "model=resnet"), ("model=: task=grow keeps the kind of net",)),
        ((*NET, "depth=8", "grow_from=[depth=14]"), ("depth=8: less than the 14 layers",)),
        ((*NET, "depth=14", "grow_from=[depth=fast]"), ("grow_from=[depth=fast]: a value of the wrong kind",)),
        ((*NET, "depth=14", "grow_from=[dept=8]"), ("dept is no setting that makes another run",)),
        ((*NET, "depth=14", "grow_from=[depth]"), ("depth: not of the form key=value",)),
        ((*NET, "depth=14", "grow_from=[depth=8]", "init_from=outputs"), ("init_from= and grow_from=: give one",)),
    ):
        done = command(*words)
        assert_one_message(done.returncode, done.stderr, *parts)


def test_how_settings_stand_in_a_list() -> None:
    assert spelled_out("grow_from=[depth=20,optim.lr=0.1]") == "grow_from=['depth=20','optim.lr=0.1']"
    assert spelled_out("grow_from=[blocks=[3,3],depth=8]") == "grow_from=['blocks=[3,3]','depth=8']"
    assert settings_in(["depth=20", "optim.lr=0.1", "blocks=[3,3]", "norm=none"]) == {
        **{"depth": 20, "optim.lr": 0.1, "blocks": [3, 3], "norm": "none"},
    }
    with pytest.raises(ValueError, match="not of the form key=value"):
        settings_in(["depth"])
