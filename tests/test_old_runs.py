"""What version 0.1 wrote is read, what it left unfinished goes on, and what it computed is computed still.

The fixtures are its runs: `finished`, `stopped` (at step 5 of 8, before a milestone), `expected` (the same ones never
stopped), and `hashes.json`, of ten nets. Their bytes are those of x86-64 with the instructions limited to AVX2, which
every such machine has; so one process with that limit does all that is compared.
"""

import hashlib
import json
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from resnet_exp.cli.main import run
from resnet_exp.config import Config
from tests.helpers import ROOT, rows

Settings = Callable[..., Config]
OLD = ROOT / "tests" / "fixtures" / "version-0.1"
RECORDED = json.loads((OLD / "hashes.json").read_text())
PORTABLE = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "COMPATIBLE"}
SMALL = (
    *("data=synthetic", "threads=1", "device=cpu", "data.image_size=8", "width=2", "data.train_limit=100"),
    *("data.test_limit=50", "train.batch_size=16", "train.steps=8", "train.eval_every=3", "train.save_every=4"),
    "optim.milestones=[6]",
)
LARGER = (
    *("data=synthetic", "threads=1", "device=cpu", "data.image_size=16", "width=8", "data.train_limit=200"),
    *("data.test_limit=50", "train.batch_size=32", "train.steps=12", "train.eval_every=4", "train.save_every=6"),
    *("optim.milestones=[8]", "optim.warmup_steps=2", "data.border=black"),
)
STOPPED = {
    "plain8": ("model=plain", "depth=8"),
    "resnet8-C": ("model=resnet", "depth=8", "shortcut=C", "amp=fp16"),
    "preact_bottleneck11": ("model=preact_bottleneck", "depth=11"),
}
NETS = {
    "plain20": ("model=plain20",),
    "resnet20": ("model=resnet20",),
    "resnet20-B": ("model=resnet20", "shortcut=B"),
    "preact20": ("model=preact20",),
    "bottleneck11": ("model=bottleneck", "depth=11"),
}
FAST = [*(("off", net) for net in NETS), ("bf16", "plain20"), ("bf16", "preact20")]
SLOW = [("bf16", net) for net in NETS if ("bf16", net) not in FAST]  # emulated, three times as long
same_libraries = pytest.mark.skipif(
    platform.machine() != "x86_64"
    or (version("torch").split("+")[0], version("numpy")) != (RECORDED["torch"], RECORDED["numpy"]),
    reason="the bytes were recorded with another torch or numpy",
)

# Goes on with the stopped runs, then trains the nets that are asked for; prints the hashes of what comes out.
TRAIN = """
import json, sys
from pathlib import Path
from hydra import compose, initialize_config_dir
from resnet_exp.cli.compose import register, to_config
from resnet_exp.cli.main import run
from resnet_exp.cli.names import named_in
from resnet_exp.config import conf_dir
register()
for overrides in json.loads(sys.stdin.read()):
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = to_config(compose("config", overrides=overrides))
    run(config, Path("outputs", config.study, config.name, "seed0"), given=named_in(overrides))
"""


def train(cwd: Path, jobs: list[list[str]], nets: list[tuple[str, str]]) -> Path:
    """Trains the jobs and the nets, each in a precision; returns the folder of the studies."""
    jobs = [*jobs, *([*LARGER, *NETS[net], f"amp={amp}", f"study={amp}"] for amp, net in nets)]
    subprocess.run(
        [sys.executable, "-c", TRAIN], cwd=cwd, env=os.environ | PORTABLE, input=json.dumps(jobs), text=True, check=True
    )
    return cwd / "outputs"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which everything that is compared was trained, but for the slow nets."""
    cwd = tmp_path_factory.mktemp("old")
    shutil.copytree(OLD / "stopped", cwd / "outputs" / "stopped")
    return train(cwd, [[*SMALL, *net, "study=stopped"] for net in STOPPED.values()], FAST)


def hashes(run_folder: Path) -> dict[str, str]:
    """Of the journal, and of the weights whatever they are called."""
    from resnet_exp.files import read_sealed

    def digest(tensors: object) -> str:
        each = [hashlib.sha256(str(tuple(t.shape)).encode() + t.contiguous().numpy().tobytes()) for t in tensors]
        return hashlib.sha256("".join(sorted(one.hexdigest() for one in each)).encode()).hexdigest()[:16]

    state = read_sealed(run_folder / "checkpoint.pt")["state"]
    return {
        "metrics": hashlib.sha256((run_folder / "metrics.csv").read_bytes()).hexdigest()[:16],
        "weights": digest(state["model"].values()),
    }


@same_libraries
@pytest.mark.parametrize(("amp", "net"), FAST)
def test_a_net_computes_what_it_computed(trained: Path, amp: str, net: str) -> None:
    assert hashes(trained / amp / net / "seed0") == recorded(amp, net)


@same_libraries
@pytest.mark.slow
def test_so_does_a_slow_one(tmp_path: Path) -> None:
    outputs = train(tmp_path, [], SLOW)
    assert len(SLOW) == 3
    for amp, net in SLOW:
        assert hashes(outputs / amp / net / "seed0") == recorded(amp, net)


def recorded(amp: str, net: str) -> dict[str, str]:
    """Its hashes but for that of the momentum, which a complete run keeps no more."""
    return {key: RECORDED["runs"][f"{amp} {net}"][key] for key in ("metrics", "weights")}


@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_run_goes_on_as_it_began(trained: Path, name: str) -> None:
    """Under the names of its time, with a black border, and, being v2, without the warm-up that is usual now."""
    folder, expected = trained / "stopped" / name / "seed0", OLD / "expected" / name / "seed0"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["status"] == "completed"
    assert (summary["choices"]["border"], summary["choices"]["warmup_steps"]) == ("black", 0)
    for row, once in zip(rows(folder), rows(expected), strict=True):
        assert row == pytest.approx(once, rel=0.05)


@same_libraries
@pytest.mark.parametrize("name", STOPPED)
def test_a_stopped_run_ends_with_the_same_bytes(trained: Path, name: str) -> None:
    assert hashes(trained / "stopped" / name / "seed0") == hashes(OLD / "expected" / name / "seed0")


@pytest.mark.parametrize("given", [(), ("data.border=black",)])
def test_a_finished_run_stays_finished(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, given: tuple[str, ...]
) -> None:
    folder = tmp_path / "seed0"
    shutil.copytree(OLD / "finished" / "resnet8" / "seed0", folder)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    config = settings(*SMALL, "model=resnet", "depth=8", "study=finished", *given)
    with caplog.at_level(logging.INFO):
        run(config, folder, given={key.partition("=")[0] for key in given})
    assert "already completed" in caplog.text
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_a_setting_that_the_user_names_is_not_overruled(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "seed0"
    shutil.copytree(OLD / "finished" / "resnet8" / "seed0", folder)
    config = settings(*SMALL, "model=resnet", "depth=8", "study=finished", "data.border=mean")
    with pytest.raises(ValueError, match=r"data\.border: black -> mean"):
        run(config, folder, given={"data.border"})
