"""`task=describe`: a table of the net's layers, for one image; computes nothing."""

from resnet_exp.config import Config
from resnet_exp.data.sets import count_classes
from resnet_exp.nets.cost import costs_of
from resnet_exp.nets.table import net_spec


def describe_net(config: Config) -> None:
    spec = net_spec(config.net)
    costs = costs_of(spec, num_classes=count_classes(config.data), image_size=config.data.image_size)
    rows = [(c.path, c.kind, "x".join(map(str, c.shape)), f"{c.params:,}", f"{c.macs:,}") for c in costs]
    params, macs = sum(c.params for c in costs), sum(c.macs for c in costs)
    head = ("layer", "kind", "output", "parameters", "multiply-adds")
    foot = (config.name, f"{spec.depth} layers", "", f"{params:,}", f"{macs:,}")
    widths = [max(map(len, column)) for column in zip(head, *rows, foot, strict=True)]
    for row in (head, *rows, foot):
        left = "  ".join(text.ljust(width) for text, width in zip(row[:3], widths, strict=False))
        right = "  ".join(text.rjust(width) for text, width in zip(row[3:], widths[3:], strict=True))
        print(f"{left}  {right}")
