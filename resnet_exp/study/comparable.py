"""Which runs may stand in one figure: those that differ in nothing but the net, the seed, and what their names say."""

from collections import Counter
from typing import Any

from resnet_exp.nets.table import DEEP, PAPER_WARMUP_STEPS, paper_warmup
from resnet_exp.study.arms import Arm, setting_of
from resnet_exp.study.identity import net_called, spec_of
from resnet_exp.study.runs import Run

# How fast a run is, not what it computes; and what the description of its net says.
NOT_COMPARED = ("compile", "deterministic", "memory_format", "bottleneck_stride")
SHOWN = 3  # differences that a refusal names


def steps_between_rows(run: Run) -> str | None:
    """What the running error is a mean over; None where no row tells.

    The row of a run that diverged stands where it was noticed, at its next checkpoint perhaps. If there is no other, it
    does not say when the next would have come; nor does that matter, as its final error is that of guessing.
    """
    if not run.rows or (run.status == "diverged" and run.rows == 1):
        return None
    return f"{run.metrics['step'][0]:g}"


def choices_of(run: Run) -> dict[str, Any]:
    """All recorded choices that must agree, by what they are called in a message."""
    summary = run.summary
    return {
        "data": summary["dataset"]["name"],
        "data fingerprint": summary["dataset"].get("fingerprint"),
        "image size": summary["dataset"]["image_size"],
        "training images": summary["n_train"],
        "width": summary.get("width"),
        "steps": summary["steps"],
        "steps between rows": steps_between_rows(run),
        **{key: value for key, value in summary["choices"].items() if key not in NOT_COMPARED},
    }


def warm_up_of_the_first_paper(run: Run) -> int:
    """In steps. [P1] 4.2 warms up its deepest net alone; so did schema 1 whatever the block."""
    return PAPER_WARMUP_STEPS if run.summary["depth"] >= DEEP else 0


def warm_up_of_the_paper(run: Run) -> int:
    """In steps, as the paper of the block's version has them."""
    spec = spec_of(run.summary)
    return paper_warmup(spec) if spec else warm_up_of_the_first_paper(run)


def warm_up_alike(runs: list[Run]) -> bool:
    """Whether all warm up by one rule of the papers, so that a study of several nets has two values."""
    rules = (warm_up_of_the_first_paper, warm_up_of_the_paper)
    return any(all(run.summary["choices"].get("warmup_steps") == rule(run) for run in runs) for rule in rules)


def differing_choices(runs: list[Run]) -> dict[str, dict[str, list[Run]]]:
    """The choices in which runs that should be alike differ, with the runs of each value.

    What a run did not record, as older versions did not, is no difference.
    """
    found: dict[str, dict[str, list[Run]]] = {}
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(setting_of(run.summary["name"], net=net_called(run.summary)), []).append(run)
    for group in groups.values():
        by_key: dict[str, dict[str, list[Run]]] = {}
        for run in group:
            for key, value in choices_of(run).items():
                if value is not None:
                    by_key.setdefault(key, {}).setdefault(str(value), []).append(run)
        if warm_up_alike(group):
            by_key.pop("warmup_steps", None)
        for key, values in by_key.items():
            if len(values) > 1:
                of_key = found.setdefault(key, {})
                for value, its in values.items():
                    of_key.setdefault(value, []).extend(its)
    return found


def repeated_seeds(arms: list[Arm]) -> list[str]:
    """Arms that hold two runs of one seed: counted as two they would make the spread too small."""
    found = []
    for arm in arms:
        seeds = Counter(run.summary["seed"] for run in arm.runs)
        found += [f"{arm.name} seed {seed}: {count} runs" for seed, count in seeds.items() if count > 1]
    return found


def problems(runs: list[Run], arms: list[Arm]) -> list[str]:
    """Why these runs are no one study, a line each; none if they are."""

    def who(of_value: list[Run]) -> str:
        return "/".join(of_value[0].path.parts[-2:]) if len(of_value) == 1 else f"{len(of_value)} runs"

    lines = []
    for key, values in differing_choices(runs).items():
        ordered = sorted(values.items(), key=lambda item: -len(item[1]))
        lines.append(f"{key}: " + ", ".join(f"{value} ({who(of_value)})" for value, of_value in ordered))
    return lines + repeated_seeds(arms)


def check_comparable(runs: list[Run], arms: list[Arm], *, mix: bool = False) -> list[str]:
    """What differs, a line each, if runs that are no one study may be mixed.

    Raises:
        ValueError: they may not; the message names what differs.
    """
    found = problems(runs, arms)
    if found and not mix:
        more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        raise ValueError(
            "these runs are not comparable; they differ in what their names do not say:"
            f"\n{'; '.join(found[:SHOWN])}{more}"
            "\nmove away the runs that do not belong; resnet-exp-report --mix compares them all the same"
        )
    return found
