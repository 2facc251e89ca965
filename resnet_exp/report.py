"""The command `resnet-exp-report`: run folders in, comparison out."""

import argparse
import csv
import html
import io
import re
import sys
from pathlib import Path

from resnet_exp.analysis import Net, Run, describe_study, group_nets, load_runs
from resnet_exp.atomic import replace_text
from resnet_exp.errors import explain, fail
from resnet_exp.plots import draw_curves, save

ERRORS = {
    "train_error": "training error, running (%)",
    "train_error_clean": "training error, clean (%)",
    "test_error": "test error (%)",
}
RUN_COLUMNS = (
    *("name", "family", "depth", "block", "shortcut", "width", "seed", "status", "steps"),
    *("train_error", "train_error_clean", "test_error", "first_bad_step"),
    *("test_error_recomputed_bn", "params", "macs", "n_train", "images_per_second", "device"),
)

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
figure {{ margin: 1rem 0; background: #fff; color: #000; border-radius: 6px; padding: .5rem; }}
figure svg {{ width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #8886; }}
td {{ white-space: nowrap; }}
th:first-child, td:first-child {{ text-align: left; }}
caption {{ text-align: left; padding-bottom: .5rem; }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>{study}</p>
<figure role="img" aria-label="Training and test error against steps: a panel per kind of net, a line per depth">
{svg}
</figure>
<div class="wide">{table}</div>
</body>
</html>
"""


def write_report(folder: Path, *, out: Path) -> None:
    """Reads the run folders under `folder` and writes figure, tables and page to `out`.

    Raises:
        ValueError: there is no run folder.
        OSError: `out` cannot be written.
    """
    runs = load_runs(folder)
    nets = group_nets(runs)
    study = describe_study(runs)
    out.mkdir(parents=True, exist_ok=True)
    save(draw_curves(nets, caption=study), out / "curves")
    replace_text(out / "summary.csv", run_table(runs))
    rows = net_rows(nets)
    replace_text(out / "summary.md", f"{study}\n\n{markdown(rows)}")
    svg = re.sub(r"^.*?(?=<svg)", "", (out / "curves.svg").read_text(), flags=re.DOTALL)
    title = f"Degradation study: {folder.resolve().name}"
    page = PAGE.format(title=html.escape(title), study=html.escape(study), svg=svg, table=html_table(rows))
    replace_text(out / "report.html", page)


def run_table(runs: list[Run]) -> str:
    """CSV, one row per run."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*RUN_COLUMNS, "dataset", "fingerprint"])
    for run in runs:
        data = run.summary["dataset"]
        cells = [run.error(key) if key in ERRORS else run.summary.get(key) for key in RUN_COLUMNS]
        writer.writerow([*("" if cell is None else cell for cell in cells), data["name"], data["fingerprint"]])
    return text.getvalue()


def net_rows(nets: list[Net]) -> list[list[str]]:
    """Header and one row per net: mean and standard deviation over its seeds of each final error."""

    def cell(net: Net, key: str) -> str:
        final = net.final(key)
        if final is None:
            return "-"
        mean, spread, _ = final
        return f"{mean:.2f}" + (f" ± {spread:.2f}" if spread is not None else "")

    def state(net: Net) -> str:
        counts = [run.summary["status"] for run in net.runs]
        return ", ".join(f"{counts.count(status)} {status}" for status in dict.fromkeys(counts))

    rows = [["net", "layers", "seeds", *ERRORS.values(), "runs"]]
    for net in nets:
        errors = [cell(net, key) for key in ERRORS]
        rows.append([net.name, str(net.depth), str(len(net.runs)), *errors, state(net)])
    return rows


def markdown(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return "\n".join(lines) + "\n"


def html_table(rows: list[list[str]]) -> str:
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = ["<table>", "<caption>Final errors, mean ± standard deviation over seeds</caption>"]
    lines.append("<tr>" + "".join(f'<th scope="col">{cell}</th>' for cell in head) + "</tr>")
    lines += ["<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in body]
    return "\n".join([*lines, "</table>"])


def main() -> None:
    """Entry point. Exit codes: 0 done, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="resnet-exp-report", description="Draw the comparison of a study's runs.")
    parser.add_argument("dir", type=Path, metavar="DIR", help="folder with run folders below it, like outputs/quick")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to write (default: DIR/report)")
    arguments = parser.parse_args()
    out = arguments.out or arguments.dir / "report"
    try:
        write_report(arguments.dir, out=out)
    except (ValueError, OSError) as error:
        fail(explain(error))
        sys.exit(1)
    print((out / "summary.md").read_text())
    print(f"comparison: {out / 'report.html'}")


if __name__ == "__main__":
    main()
