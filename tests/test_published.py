import copy
import re
import tomllib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

import resnet_exp
from resnet_exp.config import Config, check_depth, run_name
from resnet_exp.data.sets import Dataset, Split
from resnet_exp.runs.origin import Origin
from resnet_exp.study.published import CHECKS, FILE, load_published, obstacles, published_for, recorded
from resnet_exp.training.device import Precision
from resnet_exp.training.facts import known_before
from tests.conftest import ROOT

# Transcribed from what the sources report, by hand and not from the file: net, data set, source, error, sd, seeds.
P1, P2, NB = "1512.03385", "1603.05027", "nabla0001/resnet"
REPORTED = [
    ("resnet20", "CIFAR-10", P1, 8.75, None, None),
    ("resnet32", "CIFAR-10", P1, 7.51, None, None),
    ("resnet44", "CIFAR-10", P1, 7.17, None, None),
    ("resnet56", "CIFAR-10", P1, 6.97, None, None),
    ("resnet110", "CIFAR-10", P1, 6.43, None, 5),
    ("resnet110", "CIFAR-10", P1, 6.61, 0.16, 5),
    ("resnet1202", "CIFAR-10", P1, 7.93, None, None),
    ("plain110", "CIFAR-10", P1, None, None, None),
    ("plain20", "CIFAR-10", NB, 9.78, 0.13, 5),
    ("plain56", "CIFAR-10", NB, 12.95, 0.22, 5),
    ("resnet20", "CIFAR-10", NB, 8.51, None, None),
    ("resnet56", "CIFAR-10", NB, 7.40, None, None),
    ("resnet110", "CIFAR-10", NB, 7.14, None, None),
    ("resnet110", "CIFAR-10", P2, 6.61, None, None),
    ("preact110", "CIFAR-10", P2, 6.37, None, None),
    ("resnet110-C", "CIFAR-10", P2, 12.22, None, None),
    ("bottleneck164", "CIFAR-10", P2, 5.93, None, None),
    ("bottleneck164", "CIFAR-100", P2, 25.16, None, None),
    ("preact_bottleneck164", "CIFAR-10", P2, 5.46, None, None),
    ("preact_bottleneck164", "CIFAR-100", P2, 24.33, None, None),
    ("bottleneck1001", "CIFAR-10", P2, 7.61, None, None),
    ("bottleneck1001", "CIFAR-100", P2, 27.82, None, None),
    ("preact_bottleneck1001", "CIFAR-10", P2, 4.92, None, None),
    ("preact_bottleneck1001", "CIFAR-10", P2, 4.89, 0.14, None),
    ("preact_bottleneck1001", "CIFAR-100", P2, 22.71, None, None),
    ("resnet56", "CIFAR-10", "akamaster", 6.89, None, 6),
    ("resnet56", "CIFAR-10", "akamaster", 8.42, None, 6),
]
FAMILIES = {  # block, shortcut, bottleneck
    "plain": ("v1", "none", False),
    "resnet": ("v1", "A", False),
    "preact": ("v2", "A", False),
    "bottleneck": ("v1", "B", True),
    "preact_bottleneck": ("v2", "B", True),
}
FAITHFUL: dict[str, Any] = {
    "steps": 64_000,
    "width": 16,
    "n_train": 50_000,
    "dataset": {"name": "CIFAR-10", "image_size": 32},
    "choices": {
        "batch_size": 128,
        "lr": 0.1,
        "milestones": [32_000, 48_000],
        "momentum": 0.9,
        "weight_decay": 1e-4,
        "augmentation": "random crop of the padded image and random flip, per image",
    },
}


def deviating(key: str, value: object) -> dict[str, Any]:
    """A faithful summary but for one value, or, with None, without it."""
    summary = copy.deepcopy(FAITHFUL)
    *path, last = key.split(".")
    holder = summary[path[0]] if path else summary
    del holder[last]
    if value is not None:
        holder[last] = value
    return summary


def test_every_row_says_who_reports_it_and_on_what() -> None:
    for row in load_published():
        assert re.search(r"arXiv \d{4}\.\d{5}$|^[\w-]+/[\w-]+", row.source), row
        assert row.dataset in ("CIFAR-10", "CIFAR-100"), row
        assert row.metric == "test_error", row
        assert row.value is not None or row.note, row


@pytest.mark.parametrize(("net", "dataset", "source", "value", "sd", "seeds"), REPORTED)
def test_the_reported_numbers_are_there(
    net: str, dataset: str, source: str, value: float | None, sd: float | None, seeds: int | None
) -> None:
    rows = published_for(net, dataset=dataset)
    assert [(row.value, row.sd, row.seeds) for row in rows if source in row.source].count((value, sd, seeds)) == 1


def test_no_other_number_is_there() -> None:
    assert len(load_published()) == len(REPORTED)


def test_what_is_no_plain_number_says_so() -> None:
    assert [row.note for row in published_for("plain110")] == ['above 60 %, "not displayed"']
    assert [row.note for row in published_for("resnet1202")] == ["training error below 0.1 %"]
    first, second, *_ = published_for("resnet110")
    assert (first.note, second.note) == ("best of 5", "mean ± standard deviation")


def test_a_net_nobody_reported_has_no_rows() -> None:
    assert published_for("resnet26") == []
    assert published_for("resnet20", dataset="CIFAR-100") == []


@pytest.mark.parametrize("net", sorted({row.net for row in load_published()}))
def test_the_runner_can_make_every_net_and_calls_it_so(net: str) -> None:
    parts = re.fullmatch(r"([a-z_]+)(\d+)(?:-(C))?", net)
    assert parts
    block, shortcut, bottleneck = FAMILIES[parts[1]]
    depth = int(parts[2])
    check_depth(depth, bottleneck=bottleneck)
    root = {"depth": depth, "block": block, "shortcut": parts[3] or shortcut, "bottleneck": bottleneck}
    assert run_name(root=OmegaConf.create(root)) == net


@pytest.mark.parametrize(
    ("key", "value"),
    [("dataset.name", "CIFAR-100"), ("n_train", 45_000), ("steps", 64_001), ("steps", 64_000)],
)
def test_a_faithful_run_meets_no_obstacle(key: str, value: object) -> None:
    assert obstacles(deviating(key, value)) == []


@pytest.mark.parametrize(
    ("key", "value", "obstacle"),
    [
        ("dataset.name", "CIFAR-10, JPEG q75 copy", "another data set (CIFAR-10, JPEG q75 copy)"),
        ("dataset.image_size", 16, "image size 16 instead of 32"),
        ("steps", 600, "600 of 64,000 steps"),
        ("steps", 63_999, "63,999 of 64,000 steps"),
        ("width", 8, "width 8 instead of 16"),
        ("n_train", 44_999, "44,999 training images instead of at least 45,000"),
        ("choices.augmentation", "none", "no augmentation"),
        ("choices.batch_size", 64, "batch size 64 instead of 128"),
        ("choices.lr", 0.05, "learning rate 0.05 instead of 0.1"),
        ("choices.milestones", [300, 450], "milestones [300, 450] instead of [32000, 48000]"),
        ("choices.momentum", 0.0, "momentum 0.0 instead of 0.9"),
        ("choices.weight_decay", 5e-4, "weight decay 0.0005 instead of 0.0001"),
    ],
)
def test_one_deviation_is_one_obstacle(key: str, value: object, obstacle: str) -> None:
    assert obstacles(deviating(key, value)) == [obstacle]


@pytest.mark.parametrize("key", [check.key for check in CHECKS])
def test_only_data_set_and_steps_must_be_recorded(key: str) -> None:
    expected = {"dataset.name": ["data set not recorded"], "steps": ["steps not recorded"]}
    assert obstacles(deviating(key, None)) == expected.get(key, [])


def test_the_gravest_obstacle_comes_first() -> None:
    summary = deviating("steps", 600) | {"dataset": {"name": "synthetic shapes"}, "width": 4}
    assert obstacles(summary) == [
        "another data set (synthetic shapes)",
        "600 of 64,000 steps",
        "width 4 instead of 16",
    ]
    assert obstacles({}) == obstacles({"dataset": "CIFAR-10"}) == ["data set not recorded", "steps not recorded"]


@pytest.mark.parametrize(("override", "expected"), [("seed=0", []), ("data.augment=false", ["no augmentation"])])
def test_our_own_runs_record_all_that_is_checked(
    override: str, expected: list[str], settings: Callable[..., Config], shapes: Dataset
) -> None:
    summary = known_before(
        settings(override),
        replace(shapes, train=Split(torch.empty(50_000, 0), torch.empty(50_000))),
        origin=Origin(settings={}, images="", environment={"compile": False}),
        costs=[],
        precision=Precision("off", "cpu"),
        device=torch.device("cpu"),
    )
    # A missing key is forgiven: one renamed in summary.py would silence its check.
    assert [check.key for check in CHECKS if recorded(summary, check.key) is None] == []
    assert obstacles(summary) == expected


def test_the_file_ships_with_the_package() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert FILE.parent.name in wheel["packages"]
    assert FILE.is_file()
    assert [str(FILE.parent)] == list(resnet_exp.__path__)
