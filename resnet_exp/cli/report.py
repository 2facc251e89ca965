"""The command `resnet-exp-report`: run folders in, comparison out."""

import argparse
import math
import sys
from contextlib import suppress
from pathlib import Path

from resnet_exp.cli.messages import fail_by
from resnet_exp.grammar import expanded
from resnet_exp.study.statistics import MARGIN
from resnet_exp.why.report import write_report


def margin(text: str) -> float:
    """Points of training error.

    Raises:
        argparse.ArgumentTypeError: it is no number of 0 or more.
    """
    with suppress(ValueError):
        if 0 <= (points := float(text)) < math.inf:
            return points
    raise argparse.ArgumentTypeError(f"{text}: must be points of 0 or more, like 1.0")


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="resnet-exp-report", description="Draw the comparison of a study's runs.")
    parser.add_argument(
        "dirs", nargs="+", type=Path, metavar="DIR", help="run folders, or folders with runs below them: outputs/quick"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: report/ in the first DIR)")
    parser.add_argument("--mix", action="store_true", help="compare runs whose recorded choices differ")
    parser.add_argument(
        "--margin",
        type=margin,
        default=MARGIN,
        metavar="POINTS",
        help="less does not matter (default: 1)",
    )
    arguments = parser.parse_args()
    folders = [expanded(folder) for folder in arguments.dirs]
    out = expanded(arguments.out) if arguments.out else folders[0] / "report"
    try:
        print(write_report(*folders, out=out, mix=arguments.mix, margin=arguments.margin))
    except (ValueError, OSError) as error:
        fail_by(error)
        sys.exit(1)


if __name__ == "__main__":
    main()
