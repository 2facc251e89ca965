"""The command `resnet-exp-report`: run folders in, comparison out."""

import argparse
import sys
from pathlib import Path

from resnet_exp.cli.messages import explain, fail
from resnet_exp.study.report import write_report


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="resnet-exp-report", description="Draw the comparison of a study's runs.")
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder with run folders below it, like outputs/quick")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: DIR/report)")
    parser.add_argument("--mix", action="store_true", help="compare runs whose recorded choices differ")
    arguments = parser.parse_args()
    out = arguments.out.expanduser() if arguments.out else arguments.dir / "report"
    try:
        print(write_report(arguments.dir, out=out, mix=arguments.mix))
    except (ValueError, OSError) as error:
        fail(explain(error))
        sys.exit(1)


if __name__ == "__main__":
    main()
