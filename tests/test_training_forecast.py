"""What runs are going to take: from runs that measured it, else from a probe."""

import json
import math
from pathlib import Path

import pytest
import torch

from resnet_exp.nets.footprint import training_bytes
from resnet_exp.runs.liveness import this_host
from resnet_exp.training import forecast
from resnet_exp.training.forecast import Ahead, forecasts, prepare
from resnet_exp.training.probe import Kind, make_update, probe, seconds_of
from tests.helpers import TINY, Settings, run

NET = ("model=resnet", "depth=8", "device=cpu")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for a probe longer than it must."""
    monkeypatch.setattr(forecast, "PROBE_SECONDS", 0.0)


def test_the_pace_of_a_run_that_was_trained_is_taken(settings: Settings, tmp_path: Path) -> None:
    run(settings(*TINY, *NET), tmp_path / "resnet8" / "seed0")
    file = tmp_path / "resnet8" / "seed0" / "summary.json"
    recorded = json.loads(file.read_text())
    assert recorded["host"] == this_host()
    file.write_text(json.dumps(recorded | {"images_per_second": 100.0}))
    (found, other), spent = forecasts(
        [Ahead(settings(*TINY, *NET, "seed=1")), Ahead(settings(*TINY, *NET, "seed=2"), step=3)], outputs=tmp_path
    )
    # Rows at 3 and 6 see 50 test images; the end 100 training images, as many for BN, and 50 test images.
    assert found.seconds == pytest.approx((6 * 16 + (2 * 50 + 250) / 3) / 100)
    assert other.seconds == pytest.approx((3 * 16 + (50 + 250) / 3) / 100)
    assert (found.source, spent) == ("measured", 0.0)


def test_else_small_nets_are_timed_once_for_each_kind(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Kind] = []

    def counted(config: object, kind: Kind, **options: object) -> object:
        asked.append(kind)
        return probe(config, kind, **options)

    monkeypatch.setattr(forecast, "probe", counted)
    jobs = [settings(*TINY, "device=cpu", f"model={name}") for name in ("plain20", "plain56", "resnet56")]
    found, spent = forecasts([Ahead(job) for job in jobs], outputs=tmp_path)
    assert [kind.spec.shortcut for kind in asked] == ["none", "A"]
    assert all(math.isfinite(one.seconds) and one.seconds > 0 and one.source == "probed" for one in found)
    assert found[1].seconds > found[0].seconds
    assert spent > 0
    assert not list(tmp_path.iterdir())


def test_a_probe_updates_as_a_run_does_but_for_the_learning_rate(settings: Settings) -> None:
    config = settings(*TINY, "device=cpu", "model=plain20", "amp=off")
    prepared = prepare(Ahead(config))
    update = make_update(config, prepared.kind, prepared.spec, batch_size=16, device=torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in update.state.model.named_parameters()}
    assert seconds_of(update) > 0
    assert update.state.step == 1
    assert int(update.state.totals.images) == 16
    assert math.isfinite(float(update.state.totals.loss))
    assert all(torch.equal(before[name], tensor) for name, tensor in update.state.model.named_parameters())
    assert all(tensor.grad is not None and tensor.grad.any() for tensor in update.state.model.parameters())


def test_memory_is_that_of_net_images_and_program(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forecast, "used_memory", lambda: 7_000_000)
    config = settings(*TINY, *NET, "amp=off", "train.batch_size=1000", "data.augment=false")
    spec = prepare(Ahead(config)).spec
    net = training_bytes(spec, num_classes=10, image_size=8, batch_size=1000, momentum=True, half=False)
    (found,), _ = forecasts([Ahead(config)], outputs=tmp_path)
    images = 150 * 3 * 8**2 + 100 * 3 * 10**2  # kept; the training images once more, with a border
    assert found.memory == 7_000_000 + forecast.BESIDE + net + images


def test_what_is_on_the_disk_already_is_not_counted_twice(settings: Settings, tmp_path: Path) -> None:
    config = settings(*TINY, *NET)
    (new, going_on, done), _ = forecasts(
        [Ahead(config), Ahead(config, step=3, written=10_000), Ahead(config, written=10**9)], outputs=tmp_path
    )
    assert going_on.disk == new.disk - 10_000
    assert (going_on.passing, done.disk, done.passing) == (new.passing, 0, 0)
    assert new.passing > 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["device=cuda:99"], "device=cuda:99: no such GPU"),
        (["data.train_limit=20000"], "data.train_limit=20000: that takes 20000 training images; synthetic has 10000"),
        (["data.test_limit=2001"], "data.test_limit=2001: synthetic has 2000 test images"),
        (["data.image_size=4096"], "need .* GB of memory"),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_what_a_run_would_refuse_is_refused(settings: Settings, tmp_path: Path, words: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        forecasts([Ahead(settings(*TINY, *words))], outputs=tmp_path)
