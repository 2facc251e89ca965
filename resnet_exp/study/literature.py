"""The table that sets measured test errors beside published ones."""

from resnet_exp.study.arms import Arm
from resnet_exp.study.cells import Table, estimate_cell
from resnet_exp.study.identity import net_called
from resnet_exp.study.published import DATASETS, Published, obstacles, published_for
from resnet_exp.study.statistics import Estimate


def literature_table(arms: list[Arm]) -> Table:
    """Test errors beside the published ones, with what stands in the way of comparing them."""
    rows: list[list[str]] = []
    against: dict[str, None] = {}
    for arm in arms:
        measured = arm.final("test_error")
        found = [obstacle for run in arm.runs for obstacle in obstacles(run.summary)]
        for row in published_for(net_called(arm.runs[0].summary), dataset=data_of(arm)):
            against |= dict.fromkeys(found)
            value, difference, source = published_cells(row, measured=measured)
            comparable = "no" if found else "yes" if measured else "-"
            rows.append([arm.name, estimate_cell(measured), value, difference, comparable, source])
    header = ["net", "test error (%)", "published (%)", "difference", "comparable", "source"]
    note = f"Not comparable: {'; '.join(against)}." if against else ""
    return Table("Beside the literature", header, rows, note)


def published_cells(row: Published, *, measured: Estimate | None) -> tuple[str, str, str]:
    """The published number, the measured mean's distance from it (points of %) if it is one, and its source."""
    if row.value is None:
        return row.note, "-", row.source
    spread = f" ± {row.sd:.2f}" if row.sd is not None else ""
    difference = f"{measured.mean - row.value:+.2f}" if measured and row.like_a_mean else "-"
    return f"{row.value:.2f}{spread}", difference, f"{row.source} ({row.note})" if row.note else row.source


def data_of(arm: Arm) -> str:
    """The published data set that the arm's images are, or, as a copy, come from; empty if neither."""
    name = arm.runs[0].summary["dataset"]["name"]
    return next((known for known in sorted(DATASETS, key=len, reverse=True) if known in name), "")
