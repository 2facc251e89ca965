"""Weights with what must be known to use them: of a run, of an export, of another repository's file."""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_exp.config import net_config
from resnet_exp.files import is_sealed, read_sealed
from resnet_exp.nets.foreign import Fitted, fit_weights, read_weights
from resnet_exp.nets.names import net_name
from resnet_exp.nets.network import Network
from resnet_exp.nets.spec import NetSpec
from resnet_exp.nets.table import net_spec
from resnet_exp.runs.checkpoint import NAME, SPARE, load_checkpoint
from resnet_exp.runs.folder import RunFolder
from resnet_exp.runs.schema import SCHEMA, NewerError, schema_of, upgrade_checkpoint
from resnet_exp.runs.snapshots import FOLDER as SNAPSHOTS
from resnet_exp.runs.snapshots import read_snapshot
from resnet_exp.settings import flatten

CHECKPOINTS = (NAME, SPARE)
RECORD, TENSORS = "config.json", "model.safetensors"  # of an export
TOLD = (  # of a run's summary
    *("seed", "status", "steps", "train_error", "train_error_clean", "test_error", "test_error_recomputed_bn"),
    *("n_train", "dataset", "choices", "versions"),
)
HEADS = ("fc.weight", "linear.weight")  # the last layer's, as any layout calls it

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Record:
    """What the numbers alone do not say; `config.json` of an export holds it.

    Args:
        name: of the run.
        net: its description.
        image_size: pixels a side that it sees.
        crop: how images are brought to that size, see `data.crops`.
        mean: of red, green and blue in 0 .. 1, by which images are normalised; None: not recorded.
        std: likewise.
        classes: their names; empty: not recorded.
        training: what the run's summary says of it.
    """

    name: str
    net: NetSpec
    image_size: int
    crop: str
    mean: list[float] | None
    std: list[float] | None
    classes: list[str]
    training: dict[str, Any]

    def to_json(self) -> str:
        values = {"schema": SCHEMA} | asdict(self) | {"net": self.net.to_dict()}
        return json.dumps(values, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, *, path: Path) -> "Record | None":
        """None if it is another program's: Hugging Face's weights have a `config.json` beside them, too.

        Raises:
            ValueError: it is damaged, or a newer version's.
        """
        try:
            values = dict(json.loads(text))
            if values and not {"schema", "net"} & {*values}:
                return None
            schema_of(values, path=path)
            values["net"] = NetSpec.from_dict(values["net"])
            return cls(**{key: value for key, value in values.items() if key != "schema"})
        except NewerError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not the record of an export ({error})") from error


@dataclass(frozen=True)
class Weights:
    """Tensors by name, where they are from, and what is recorded with them."""

    tensors: Mapping[str, Tensor]
    source: Path
    record: Record | None

    @property
    def digest(self) -> str:
        """The beginning of a SHA-256 over every tensor."""
        digest = hashlib.sha256()
        for name in sorted(self.tensors):
            tensor = self.tensors[name].detach().contiguous()
            digest.update(f"{name}{tuple(tensor.shape)}{tensor.dtype}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    def fitted(self, spec: NetSpec, *, num_classes: int) -> Fitted:
        """The tensors as the net of this description takes them.

        Raises:
            ValueError: they are another net's; the message names the first layers that differ.
        """
        if self.record and self.record.net != spec:
            raise ValueError(f"{self.source}: weights of {differing(self.record.net, spec)}")
        return fit_weights(
            self.tensors, spec, num_classes=num_classes, source=str(self.source), ours=self.record is not None
        )


def differing(there: NetSpec, here: NetSpec) -> str:
    """`resnet20, not of resnet20-B`; of nets of one name also in which parts they differ."""
    names = net_name(there), net_name(here)
    pairs = zip(there.to_dict().items(), here.to_dict().values(), strict=True)
    parts = "; ".join(f"{key} {one} there, {other} here" for (key, one), other in pairs if one != other)
    return f"{names[0]}, not of {names[1]}" + (f" ({parts})" if names[0] == names[1] else "")


def read(path: Path) -> Weights:
    """The weights at a path: a run folder (its newest checkpoint), one of its checkpoints or snapshots, an export (its
    folder or its file), or another repository's file.

    Executes nothing that the files may hold, and writes nothing.

    Raises:
        ValueError: there are no weights, or they are damaged.
    """
    path = path.expanduser()
    if path.name in CHECKPOINTS and path.is_file() and is_sealed(path):
        return of_checkpoint(upgrade_checkpoint(read_sealed(path), path=path), path, run=path.parent)
    if path.parent.name == SNAPSHOTS and path.is_file():
        folder = RunFolder(path.parent.parent)
        if folder.config is None:
            raise ValueError(f"{path}: of which net? {folder.path} holds no config.yaml")
        return Weights(read_snapshot(path), path, record_of_run(folder, folder.config))
    if (path / TENSORS).is_file():
        path = path / TENSORS
    if not path.is_dir():
        record = path.with_name(RECORD)
        beside = path.suffix == ".safetensors" and record.is_file()
        return Weights(read_weights(path), path, Record.from_json(record.read_text(), path=record) if beside else None)
    checkpoint = load_checkpoint(path)
    if checkpoint is None:
        raise ValueError(f"{path}: no weights (neither a checkpoint nor {TENSORS})")
    return of_checkpoint(checkpoint, path, run=path)


def of_checkpoint(content: Mapping[str, Any], source: Path, *, run: Path) -> Weights:
    return Weights(content["state"]["model"], source, record_of_run(RunFolder(run), content["origin"]["settings"]))


def record_of_run(folder: RunFolder, settings: Mapping[str, Any]) -> Record:
    """What a run folder says of its net."""
    summary, flat = folder.summary, flatten(dict(settings))
    data = summary.get("dataset", {})
    return Record(
        name=flat["name"],
        net=net_spec(net_config(flat), image_size=flat["data.image_size"]),
        image_size=flat["data.image_size"],
        crop=flat["data.crop"],
        mean=data.get("mean"),
        std=data.get("std"),
        classes=data.get("class_names", []),
        training={key: summary[key] for key in TOLD if key in summary},
    )


def load_into(model: Network, weights: Weights, *, new_head: bool = False) -> Fitted:
    """Fills a net with weights.

    Args:
        new_head: whether a head for other classes may stay as it is.

    Raises:
        ValueError: they are another net's.
    """
    classes = model.fc.out_features
    held = next((tensor.shape[0] for name, tensor in weights.tensors.items() if name.endswith(HEADS)), classes)
    fitted = weights.fitted(model.spec, num_classes=held if new_head else classes)
    state = dict(fitted.state)
    if held != classes:
        log.info("%s: %d classes there, %d here: the head begins as drawn", weights.source, held, classes)
        state = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    model.load_state_dict(state, strict=held == classes)
    return fitted
