"""The tables of a report: final errors, what depth and the kind of net do to them, and every run in a row."""

import csv
import io
import textwrap

from resnet_exp.study.arms import Arm
from resnet_exp.study.cells import Table, difference_cell, estimate_cell
from resnet_exp.study.literature import literature_table
from resnet_exp.study.runs import Run
from resnet_exp.study.statistics import MARGIN, bootstrap, probability_worse
from resnet_exp.study.verdict import Comparison, by_depth, by_family, compare

FINAL_ERRORS = {  # see `Run.final`
    "train_error_last_tenth": "training error, running (%)",
    "train_error_clean": "training error, clean (%)",
    "test_error": "test error (%)",
}
RUN_COLUMNS = (  # of summary.csv, as summary.json has them
    *("name", "family", "depth", "block", "shortcut", "width", "seed", "status", "steps"),
    *("train_error", "train_error_clean", "test_error", "first_bad_step"),
    *("test_error_recomputed_bn", "params", "macs", "n_train", "images_per_second", "device"),
)
REASON = 70  # characters of why a run failed


def all_tables(arms: list[Arm], *, margin: float = MARGIN) -> list[Table]:
    """The tables of page and `summary.md`; those without rows are left out.

    Args:
        margin: points within which a difference does not matter.
    """
    kinds = "One kind of net against another of the same depth, second minus first"
    tables = [
        arm_table(arms),
        comparison_table("Does depth degrade? Deeper minus shallower", by_depth(arms, margin=margin), margin=margin),
        comparison_table(kinds, by_family(arms, margin=margin), margin=margin),
        literature_table(arms),
    ]
    return [table for table in tables if table.rows]


def arm_table(arms: list[Arm]) -> Table:
    rows = []
    for arm in arms:
        cells = [estimate_cell(arm.final(key)) for key in FINAL_ERRORS]
        rows.append([arm.name, str(arm.depth), str(len(arm.runs)), *cells, states(arm.runs)])
    return Table(
        "Final errors",
        ["net", "layers", "seeds", *FINAL_ERRORS.values(), "runs"],
        rows,
        "Mean ± standard deviation over seeds [95 % interval of the mean]. Running: on augmented batches, mean of the"
        " last tenth of the rows. Clean: on the whole training set without augmentation.",
    )


def states(runs: list[Run]) -> str:
    """How many runs have ended, and how: `2 completed, 1 failed (RuntimeError: out of memory at step 12)`."""
    parts = []
    for status in dict.fromkeys(run.status for run in runs):
        of_status = [run for run in runs if run.status == status]
        reasons = dict.fromkeys(reason_of(run) for run in of_status if run.summary.get("reason"))
        more = f" ({'; '.join(reasons)})" if status == "failed" and reasons else ""
        parts.append(f"{len(of_status)} {status}{more}")
    chance = sum(run.at_chance for run in runs)
    return ", ".join(parts) + (f" ({chance} at chance)" if chance else "")


def reason_of(run: Run) -> str:
    """Why and where a run failed, in a few words."""
    reason = textwrap.shorten(str(run.summary["reason"]), REASON, placeholder=" …")
    return f"{reason} at step {run.summary['step']:,}" if "step" in run.summary else reason


def comparison_table(caption: str, comparisons: list[Comparison], *, margin: float) -> Table:
    rows = []
    for c in comparisons:
        clean, test = (compare(c.first, c.second, key=key) for key in ("train_error_clean", "test_error"))
        resampled, worse, needed = bootstrap(*c.estimates), probability_worse(*c.estimates), c.difference.seeds_needed
        cells = {
            "nets": f"{c.first.name} → {c.second.name}",
            "seeds": " → ".join(str(of_net.n) for of_net in c.estimates),
            "training error, running": difference_cell(c.difference),
            "paired by seed": difference_cell(c.paired),
            "bootstrap": f"[{resampled[0]:+.2f}, {resampled[1]:+.2f}]" if resampled else "-",
            "second is worse": "-" if worse is None else f"{worse:.0%}",
            "verdict": str(c.verdict),
            "seeds needed": "-" if needed is None else str(needed),
            "clean": difference_cell(clean.difference if clean else None),
            "test error": difference_cell(test.difference if test else None),
        }
        rows.append(cells)
    return Table(
        caption,
        list(rows[0]) if rows else [],
        [list(cells.values()) for cells in rows],
        "Differences in points of %, with 95 % intervals (Welch; paired over the seeds that both have; bootstrap over"
        " the seeds of each net, which is too narrow if they are few). Second is worse: in how many pairs of runs."
        " The verdict is on the running training error: improves if Welch's interval lies below 0; no degradation if it"
        f" lies within {margin:g} of 0; else degrades if it lies above 0. Seeds needed: of each net, for a probability"
        " of 80 % to find a difference of this size; an order of magnitude.",
    )


def run_table(runs: list[Run]) -> str:
    """Tidy CSV, one row per run: what is known of it, its final errors (%), its recorded choices."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    choices = list(dict.fromkeys(key for run in runs for key in run.summary["choices"]))
    more = ["train_error_last_tenth", "at_chance", "dataset", "fingerprint", "image_size"]
    writer.writerow([*RUN_COLUMNS, *more, *(f"choice.{key}" for key in choices)])
    for run in runs:
        data = run.summary["dataset"]
        cells = [(run.summary | {"status": run.status}).get(key) for key in RUN_COLUMNS]
        cells += [run.final("train_error_last_tenth"), run.at_chance]
        cells += [data["name"], data.get("fingerprint"), data["image_size"]]
        cells += [run.summary["choices"].get(key) for key in choices]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return text.getvalue()
