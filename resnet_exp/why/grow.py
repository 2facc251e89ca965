"""Does SGD keep a deeper net that does as well? The constructed solution of arXiv 1512.03385, section 1, trained on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from resnet_exp.runs.schema import DRAWN, GROWN
from resnet_exp.study.arms import Arm, group_arms
from resnet_exp.study.describe import describe_study
from resnet_exp.study.figure import COLOURS, MANY, bare, put_caption, readable
from resnet_exp.study.identity import net_called
from resnet_exp.study.runs import Run, read_study
from resnet_exp.study.statistics import MARGIN, Difference, Verdict, judge, paired, welch
from resnet_exp.study.verdict import PRIMARY, apart
from resnet_exp.why.argument import Argument
from resnet_exp.why.measured import mean_text


@dataclass(frozen=True)
class Growth:
    """Nets of one depth that begin as one shallower net, and what they are compared with.

    Args:
        shallow: the net whose weights they began with; None: its runs are not among those of the study.
        scratch: the net of their depth as drawn, trained as the shallower one was; None likewise.
        grown: in order of their learning rates, the largest first.
        trained_on: the shallower net itself, trained on from the same weights: what more steps alone do.
    """

    shallow: Arm | None
    scratch: Arm | None
    grown: list[Arm]
    trained_on: list[Arm]

    @property
    def depths(self) -> tuple[int, int]:
        """Of the shallower net and of the deeper one."""
        return depth_before(self.grown[0]), self.grown[0].depth

    @property
    def kind(self) -> str:
        """`plain`, `resnet`, ..."""
        return str(self.grown[0].runs[0].summary["family"])

    @property
    def all(self) -> list[Arm]:
        return [arm for arm in (self.shallow, self.scratch) if arm] + self.grown + self.trained_on


def is_grown(run: Run) -> bool:
    """Whether its net began as a shallower one; without the record of that, nothing can be said of it."""
    return bool(run.summary.get("grown")) and str(weights_of(run)).startswith(GROWN)


def weights_of(run: Run) -> str | None:
    value: str | None = run.summary["choices"].get("initial_weights")
    return value


def lr_of(arm: Arm) -> float:
    return float(arm.runs[0].summary["choices"]["lr"])


def depth_before(arm: Arm) -> int:
    """Of the net that a grown one began as."""
    depth: int = arm.runs[0].summary["grown"]["depth"]
    return depth


def growths(runs: Sequence[Run]) -> list[Growth]:
    """Plain nets first, then by depth."""
    arms = group_arms(list(runs))
    groups: dict[tuple[str, str], list[Arm]] = {}
    for arm in arms:
        if all(map(is_grown, arm.runs)):
            groups.setdefault((arm.runs[0].summary["grown"]["name"], net_called(arm.runs[0].summary)), []).append(arm)
    deeper = {key: group for key, group in groups.items() if group[0].depth > depth_before(group[0])}
    found = []
    for (source, net), grown in deeper.items():
        drawn = [arm for arm in arms if weights_of(arm.runs[0]) == DRAWN]
        shallow = next((arm for arm in drawn if arm.runs[0].summary["name"] == source), None)
        setting = shallow.setting if shallow else ""
        like = (arm for arm in drawn if net_called(arm.runs[0].summary) == net and arm.setting == setting)
        same = [arm for (name, _), group in groups.items() if name == source for arm in group]
        trained_on = [arm for arm in same if arm.depth == depth_before(arm)]
        by_lr = (sorted(some, key=lr_of, reverse=True) for some in (grown, trained_on))
        found.append(Growth(shallow, next(like, None), *by_lr))
    return found


def find(folders: Sequence[Path], what: str) -> tuple[list[Run], list[str]]:
    """All runs at or below folders if a deeper net grew in one of them, else none: a net that is trained on alone is
    nothing to compare. What cannot be read is told by the report."""
    try:
        runs, _ = read_study(*folders)
    except ValueError:  # no run at all
        return [], []
    return (runs if growths(runs) else []), []


def label_of(arm: Arm, growth: Growth) -> str:
    """`56 layers, grown from 20, lr 0.02`"""
    begins = "" if arm is growth.shallow else ", trained on" if arm in growth.trained_on else ", from scratch"
    if arm in growth.grown:
        begins = f", grown from {growth.depths[0]}"
    return f"{arm.depth} layers{begins}, lr {lr_of(arm):g}"


def draw(runs: Sequence[Run]) -> Figure:
    """The running training error against steps, a panel for each growth; dashed where the shallower net ends."""
    found = growths(runs)
    figure = Figure(figsize=(max(1.6 + 4.6 * len(found), 6.5), 5.2), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    for panel, growth in zip(panels, found, strict=True):
        draw_growth(panel, growth)
    panels[0].set_ylabel("training error (%), running")
    put_caption(figure, describe_study([*runs], group_arms([*runs])))
    return figure


def draw_growth(panel: Axes, growth: Growth) -> None:
    """Nets that began as the same shallower one have a colour for each learning rate; dotted is that net itself."""
    count = len(growth.all) - len(growth.trained_on)
    palette = COLOURS.get(count) or [to_hex(MANY(place)) for place in np.linspace(1.0, 0.0, count)]
    colours = [*palette, *(palette[colour_like(arm, growth)] for arm in growth.trained_on)]
    for arm, colour in zip(growth.all, colours, strict=True):
        steps, mean, spread = arm.curve("train_error")
        if arm in growth.grown + growth.trained_on:  # where it began: in train mode, as the running error is
            begun = [run.summary["grown"]["train mode"]["deep"] for run in arm.runs]
            steps, mean = np.array([0, *steps]), np.array([np.mean(begun), *mean])
            spread = np.array([np.std(begun, ddof=1) if len(begun) > 1 else 0.0, *spread])
        label = label_of(arm, growth)
        style = ":" if arm in growth.trained_on else "-"
        panel.plot(steps, mean, style, color=colour, linewidth=1.6, label=label, url=f"{arm.name}: {label}")
        if spread.any() and style == "-":
            panel.fill_between(steps, mean - spread, mean + spread, color=colour, alpha=0.18, linewidth=0)
    if growth.shallow and (final := growth.shallow.final(PRIMARY)):
        title = f"{growth.shallow.name} ends at {final.mean:.2f} %"
        panel.axhline(final.mean, color=colours[0], linewidth=1, linestyle="--", url=title)
    panel.set_title(f"{growth.kind}, {growth.depths[0]} and {growth.depths[1]} layers", fontweight="bold")
    panel.set_xlabel("step")
    panel.set_ylim(0, None)
    panel.set_xlim(0, None)
    bare(panel)
    panel.set_axisbelow(True)
    texts = [readable(colour) for colour in colours]
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, frameon=False, fontsize=8, labelcolor=texts)


def colour_like(arm: Arm, growth: Growth) -> int:
    """The place of the net that was grown and trained at the same learning rate, or else of the shallower net."""
    alike = [number for number, other in enumerate(growth.all) if other in growth.grown and lr_of(other) == lr_of(arm)]
    return alike[0] if alike else 0


def difference_from(first: Arm, second: Arm) -> Difference | None:
    """Points of final training error by which the second ends above the first, seed by seed where there are two."""
    one, other = first.final(PRIMARY), second.final(PRIMARY)
    if one is None or other is None:
        return None
    return paired(first.by_seed(PRIMARY), second.by_seed(PRIMARY)) or welch(one, other)


def clause(arm: Arm, growth: Growth, *, margin: float) -> str | None:
    """«at lr 0.02 they end at 31.20 % (..., 3 seeds), 12.10 points above the 20 layers (...): SGD loses the solution»;
    and where the shallower net ends that is trained on likewise."""
    final = arm.final(PRIMARY)
    if final is None:
        return None
    mean, known = mean_text(final.values)
    text = f"at lr {lr_of(arm):g} they end at {mean} % ({known})"
    if growth.shallow and (difference := difference_from(growth.shallow, arm)):
        text += f", {apart(difference)} the {growth.depths[0]} layers{interval(difference)}"
        text += judged(difference, margin=margin)
    for other in growth.trained_on:
        if lr_of(other) == lr_of(arm) and (difference := difference_from(arm, other)):
            alone = mean_text([*other.by_seed(PRIMARY).values()])[0]
            text += f"; the {growth.depths[0]} layers alone, trained on likewise, end at {alone} %, {apart(difference)}"
            text += f" them{interval(difference)}"
    return text


def interval(difference: Difference) -> str:
    """` (95 % interval +1.10 to +2.20, paired by seed)`; nothing where one seed has none."""
    if difference.low is None or difference.high is None:
        return ""
    how = ", paired by seed" if difference.paired else ""
    return f" (95 % interval {difference.low:+.2f} to {difference.high:+.2f}{how})"


def judged(difference: Difference, *, margin: float) -> str:
    """What SGD did with the solution, as far as the seeds tell; nothing where there is no interval."""
    if difference.low is None:
        return ""
    said = {
        Verdict.DEGRADES: "SGD loses the solution",
        Verdict.IMPROVES: "SGD improves on the solution",
        Verdict.NO_DEGRADATION: "SGD keeps the solution",
        Verdict.INCONCLUSIVE: "these seeds cannot tell whether SGD keeps the solution",
    }[judge(difference, margin=margin)]
    return f": {said}"


def sentence(runs: Sequence[Run], *, margin: float = MARGIN) -> str:
    """For each growth, a paragraph: where it began, where it ends at each learning rate, and its depth from scratch.

    Args:
        margin: points of training error within which a difference does not matter.
    """
    paragraphs = []
    for growth in growths(runs):
        clauses = [said for arm in growth.grown if (said := clause(arm, growth, margin=margin))]
        if not clauses:
            continue
        shallow, deep = growth.depths
        begun = f"{deep} {growth.kind} layers begin as {shallow} trained ones compute"
        if growth.shallow and (final := growth.shallow.final(PRIMARY)):
            mean, known = mean_text(final.values)
            begun += f", with a training error of {mean} % ({known}, lr {lr_of(growth.shallow):g})"
        text = [f"{begun}.", *(f"{said[0].upper()}{said[1:]}." for said in clauses)]
        if growth.scratch and (final := growth.scratch.final(PRIMARY)):
            mean, known = mean_text(final.values)
            text.append(f"From scratch {deep} layers end at {mean} % ({known}, lr {lr_of(growth.scratch):g}).")
        paragraphs.append(" ".join(text))
    return "\n\n".join(paragraphs)


ARGUMENT = Argument(
    "grow",
    heading="Does SGD keep a deeper net that does as well?",
    shows=(
        "Running training error in % of a net, of a deeper one from scratch, and of the deeper one that begins as the"
        " first computes: its added layers are identities. Lines are means over seeds, bands one standard deviation."
        " Dashed: where the shallower net ends. Dotted: the shallower net itself, trained on likewise. Step 0 is the"
        " error in train mode before the first update."
    ),
    draw=draw,
    sentence=sentence,
    find=find,
    apart=lambda runs: "",  # the report tells of runs that are not complete
)


def argument(*, margin: float) -> Argument:
    """The same, judged by a margin in points of training error that the user named."""
    return replace(ARGUMENT, sentence=partial(sentence, margin=margin))
