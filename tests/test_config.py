"""The settings themselves: which of them make another experiment, and that each is explained where its default is."""

from resnet_exp.config import all_keys, conf_dir
from resnet_exp.settings import differences
from tests.helpers import Settings


def test_only_what_changes_the_numbers_counts_as_a_difference(settings: Settings) -> None:
    stored = settings("model=plain56").to_dict()
    free = ("device=cpu", "threads=1", "data.root=/x", "train.save_every=7", "study=s", "compile=false", "fresh=true")
    assert differences(stored, settings("model=plain56", *free).to_dict()) == []
    assert differences(stored, settings("model=plain56", "optim.lr=0.2", "seed=3").to_dict()) == [
        "optim.lr: 0.1 -> 0.2",
        "seed: 0 -> 3",
    ]


def test_every_setting_has_its_comment_in_the_yaml() -> None:
    text = "\n".join(file.read_text() for file in (conf_dir() / "config.yaml", conf_dir() / "data" / "cifar10.yaml"))
    for key in all_keys():
        leaf = key.rpartition(".")[2]
        lines = [line for line in text.splitlines() if line.strip().startswith(f"{leaf}:")]
        assert lines, key
        plain = {"name", "lr", "momentum", "weight_decay", "bottleneck"}
        assert leaf in plain or any("#" in line for line in lines), key
