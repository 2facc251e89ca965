"""Run folders in, comparison out: figure, tables, page."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from resnet_exp.config import conf_dir
from resnet_exp.files import replace_text
from resnet_exp.study.comparable import check_comparable, choices_of, setting_of
from resnet_exp.study.curves import draw_curves, embeddable, save
from resnet_exp.study.page import Table, render
from resnet_exp.study.published import DATASETS, Published, obstacles, published_for
from resnet_exp.study.repeat import repeat, settings_of
from resnet_exp.study.runs import Net, Run, describe_study, flags, group_nets, load_runs
from resnet_exp.study.statistics import Difference, Estimate
from resnet_exp.study.verdict import Comparison, by_depth, by_family, compare, sentence

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
FIGURE_TEXT = (
    "Training error (thin lines) and test error (bold lines) in % against training steps, a panel for each kind of net,"
    " a colour for each depth. Lines are means over seeds, bands one standard deviation. The numbers are in the tables."
)


def write_report(folder: Path, *, out: Path, mix: bool = False) -> str:
    """Reads the run folders under `folder` and writes figure, tables and page to `out`.

    Args:
        mix: compare runs although they differ in more than their names say.

    Returns:
        What belongs on the screen: final errors, the verdict, where the rest is.

    Raises:
        ValueError: there is no run folder, or the runs are not comparable.
        OSError: `out` cannot be written.
    """
    runs = load_runs(folder)
    nets = group_nets(runs)
    mixed = [f"not comparable: {problem}" for problem in check_comparable(runs, nets, mix=mix)]
    study, verdict, tables = " · ".join([describe_study(runs), *mixed]), sentence(nets), all_tables(nets)
    out.mkdir(parents=True, exist_ok=True)
    save(draw_curves(nets, caption=study), out / "curves")
    replace_text(out / "summary.csv", run_table(runs))
    replace_text(out / "summary.md", "\n".join([verdict, "", study, *map(markdown, tables)]))
    page = render(
        title=f"Degradation study: {folder.resolve().name}",
        verdict=verdict,
        study=study,
        warnings=[*flags(runs), *mixed],
        figure=embeddable((out / "curves.svg").read_text(encoding="utf-8")),
        figure_text=FIGURE_TEXT,
        tables=tables,
        choices=distinct(runs, choices_of),
        environment=distinct(runs, environment_of),
        commands=commands(runs),
    )
    replace_text(out / "report.html", page)
    return "\n".join([study, "", *lines_of(tables[0]), "", verdict, "", f"comparison: {out / 'report.html'}"])


def environment_of(run: Run) -> dict[str, Any]:
    return {"device": run.summary.get("device"), **run.summary.get("versions", {})}


def distinct(runs: list[Run], get: Callable[[Run], dict[str, Any]]) -> list[tuple[str, str]]:
    """Each key with the values that the runs have."""
    found: dict[str, dict[str, None]] = {}
    for run in runs:
        for key, value in get(run).items():
            found.setdefault(key, {})[str(value)] = None
    return [(key, " / ".join(values)) for key, values in found.items()]


def commands(runs: list[Run]) -> list[str]:
    known = [(run.summary["family"], settings) for run in runs if (settings := settings_of(run.path))]
    return repeat(known, conf=conf_dir())


def run_table(runs: list[Run]) -> str:
    """Tidy CSV, one row per run: what is known of it, its final errors, its recorded choices."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    choices = list(dict.fromkeys(key for run in runs for key in run.summary["choices"]))
    more = ["train_error_last_tenth", "at_chance", "dataset", "fingerprint", "image_size"]
    writer.writerow([*RUN_COLUMNS, *more, *(f"choice.{key}" for key in choices)])
    for run in runs:
        data = run.summary["dataset"]
        cells = [run.summary.get(key) for key in RUN_COLUMNS]
        cells += [run.final("train_error"), run.at_chance, data["name"], data.get("fingerprint"), data["image_size"]]
        cells += [run.summary["choices"].get(key) for key in choices]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()


def all_tables(nets: list[Net]) -> list[Table]:
    """The tables of page and `summary.md`; those without rows are left out."""
    tables = [
        net_table(nets),
        comparison_table("Does depth degrade? Deeper minus shallower", by_depth(nets)),
        comparison_table("One kind of net against another of the same depth, second minus first", by_family(nets)),
        literature_table(nets),
    ]
    return [table for table in tables if table.rows]


def net_table(nets: list[Net]) -> Table:
    def state(net: Net) -> str:
        counts = [run.status for run in net.runs]
        parts = [f"{counts.count(status)} {status}" for status in dict.fromkeys(counts)]
        chance = sum(run.at_chance for run in net.runs)
        return ", ".join(parts) + (f" ({chance} at chance)" if chance else "")

    rows = []
    for net in nets:
        cells = [estimate_cell(net.final(key)) for key in ERRORS]
        rows.append([net.name, str(net.depth), str(len(net.runs)), *cells, state(net)])
    return Table(
        "Final errors",
        ["net", "layers", "seeds", *ERRORS.values(), "runs"],
        rows,
        "Mean ± standard deviation over seeds [95 % interval of the mean]. Running: on augmented batches, mean of the"
        " last tenth of the rows. Clean: on the whole training set without augmentation.",
    )


def estimate_cell(estimate: Estimate | None) -> str:
    if estimate is None:
        return "-"
    if estimate.sd is None:
        return f"{estimate.mean:.2f}"
    return f"{estimate.mean:.2f} ± {estimate.sd:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"


def difference_cell(difference: Difference | None) -> str:
    if difference is None:
        return "-"
    if difference.low is None:
        return f"{difference.value:+.2f}"
    return f"{difference.value:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]"


def comparison_table(caption: str, comparisons: list[Comparison]) -> Table:
    rows = []
    for c in comparisons:
        others = [
            difference_cell(other.difference if other else None)
            for key in ("train_error_clean", "test_error")
            for other in [compare(c.first, c.second, key=key)]
        ]
        needed = "-" if c.difference.seeds_needed is None else str(c.difference.seeds_needed)
        rows.append(
            [
                *(f"{c.first.name} → {c.second.name}", difference_cell(c.difference), difference_cell(c.paired)),
                *(str(c.verdict), needed, *others),
            ]
        )
    return Table(
        caption,
        ["nets", "training error, running", "paired by seed", "verdict", "seeds needed", "clean", "test error"],
        rows,
        "Differences in points of %, with 95 % intervals (Welch; paired over the seeds that both have). The verdict is"
        " on the running training error: degrades if the interval lies above 0, improves if below. Seeds needed: of"
        " each net, for a probability of 80 % to find a difference of this size; an order of magnitude.",
    )


def literature_table(nets: list[Net]) -> Table:
    """Test errors beside the published ones, with what stands in the way of comparing them."""
    rows: list[list[str]] = []
    against: dict[str, None] = {}
    for net in nets:
        measured = net.final("test_error")
        found = [obstacle for run in net.runs for obstacle in obstacles(run.summary)]
        for row in published_for(net.name.removesuffix(setting_of(net.name)), dataset=data_of(net)):
            against |= dict.fromkeys(found)
            cells = published_cells(row, measured=measured)
            rows.append(
                [net.name, estimate_cell(measured), *cells[:2], "no" if found else "yes" if measured else "-", cells[2]]
            )
    header = ["net", "test error (%)", "published (%)", "difference", "comparable", "source"]
    note = f"Not comparable: {'; '.join(against)}." if against else ""
    return Table("Beside the literature", header, rows, note)


def published_cells(row: Published, *, measured: Estimate | None) -> tuple[str, str, str]:
    """The published number, the measured mean's distance from it, and its source."""
    if row.value is None:
        return row.note, "-", row.source
    one_of_several = row.sd is None and (row.seeds or 1) > 1  # the best of five says nothing about their mean
    spread = f" ± {row.sd:.2f}" if row.sd is not None else ""
    difference = "-" if measured is None or one_of_several else f"{measured.mean - row.value:+.2f}"
    return f"{row.value:.2f}{spread}", difference, f"{row.source} ({row.note})" if row.note else row.source


def data_of(net: Net) -> str:
    """The published data set that the net's images are, or, as a copy, come from; empty if neither."""
    name = net.runs[0].summary["dataset"]["name"]
    return next((known for known in sorted(DATASETS, key=len, reverse=True) if known in name), "")


def markdown(table: Table) -> str:
    return "\n".join(["", f"**{table.caption}**", "", *lines_of(table), "", table.note, ""])


def lines_of(table: Table) -> list[str]:
    """A table in Markdown, its columns aligned for those who read it as it is."""
    rows = [table.header, *table.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "| " + " | ".join("-" * width for width in widths) + " |")
    return lines
