"""`task=export`: a run's weights for other programs, with what must be known to use them."""

import logging
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from resnet_exp.compute.classifier import Classifier, load
from resnet_exp.compute.weights import RECORD, TENSORS, Record, Weights, read
from resnet_exp.config import Config
from resnet_exp.data.sets import load_dataset
from resnet_exp.files import replace as replace_file
from resnet_exp.files import replace_text

log = logging.getLogger(__name__)

CLOSE = 1e-4  # of the largest logit: how far another program's sums may be from ours


def export(config: Config, run: Path) -> Path:
    """Writes `export/` into the run folder: `model.safetensors`, `config.json` and, if asked, `model.onnx`.

    Args:
        config: the run's settings.

    Returns:
        The folder.

    Raises:
        ValueError: there are no weights; a package for ONNX is missing, or gives other numbers.
        OSError: the folder cannot be written.
    """
    if config.onnx and (missing := [name for name in ("onnx", "onnxscript") if find_spec(name) is None]):
        raise ValueError(
            f"onnx=true: {' and '.join(missing)} not installed\npip install onnx onnxscript onnxruntime brings it"
        )
    weights = read(run)
    record = complete(weights, config)
    out = run / "export"
    out.mkdir(exist_ok=True)
    replace_file(out / TENSORS, [serialised(weights)])
    replace_text(out / RECORD, record.to_json())
    log.info("%s: %d tensors of %s", out / TENSORS, len(weights.tensors), record.name)
    if config.onnx:
        write_onnx(load(out), out / "model.onnx")
    return out


def complete(weights: Weights, config: Config) -> Record:
    """The record with the normalisation and the classes' names, which older versions did not write: from the images."""
    record = weights.record
    assert record is not None  # of a run
    if record.mean is not None and record.classes:
        return record
    dataset = load_dataset(config.data)
    return replace(
        record,
        mean=dataset.mean.tolist(),
        std=dataset.std.tolist(),
        classes=dataset.classes,
    )


def serialised(weights: Weights) -> bytes:
    from safetensors.torch import save  # here: only an export needs it

    return save({name: tensor.contiguous() for name, tensor in weights.tensors.items()})


def write_onnx(net: Classifier, file: Path) -> None:
    """The net as ONNX: `images` (N, 3, S, S), normalised, to `logits`; checked by onnxruntime where it is installed.

    Raises:
        ValueError: onnxruntime computes something else.
    """
    size = net.record.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    program = torch.onnx.export(
        net,
        (images,),
        input_names=["images"],
        output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    content = program.model_proto.SerializeToString()
    if find_spec("onnxruntime") is None:
        replace_file(file, [content])
        log.info("%s: not checked, as onnxruntime is not installed", file)
        return
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (theirs,) = session.run(None, {"images": images.numpy()})
    with torch.no_grad():
        ours = net(images)
    distance = float((ours - torch.from_numpy(theirs)).abs().max() / ours.abs().max())
    if not distance <= CLOSE:
        raise ValueError(f"{file}: onnxruntime's logits differ from torch's by {distance:.1e} of the largest")
    replace_file(file, [content])
    log.info("%s: onnxruntime's logits agree with torch's (%.0e of the largest)", file, distance)
