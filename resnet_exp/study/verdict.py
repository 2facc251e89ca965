"""Does depth degrade? Every pair of depths of one kind of net, every pair of kinds at one depth, and one sentence.

The primary error is the running training error: that it rises is what overfitting cannot explain ([P1] section 1).
"""

from dataclasses import dataclass, replace
from itertools import combinations

from resnet_exp.study.arms import Arm
from resnet_exp.study.describe import flags
from resnet_exp.study.identity import spec_of
from resnet_exp.study.statistics import MARGIN, Difference, Estimate, Verdict, judge, paired, welch

PRIMARY = "train_error_last_tenth"


@dataclass(frozen=True)
class Comparison:
    """Two arms and how their final errors (%) differ: second minus first, so above 0 the second is worse."""

    first: Arm
    second: Arm
    estimates: tuple[Estimate, Estimate]
    difference: Difference  # Welch's, on which the verdict rests
    paired: Difference | None  # over the seeds that both have
    margin: float  # points; a difference within it does not matter

    @property
    def verdict(self) -> Verdict:
        return judge(self.difference, margin=self.margin)


def compare(first: Arm, second: Arm, *, key: str = PRIMARY, margin: float = MARGIN) -> Comparison | None:
    """None if either has no final error."""
    one, other = first.final(key), second.final(key)
    if one is None or other is None:
        return None
    by_seed = paired(first.by_seed(key), second.by_seed(key))
    return Comparison(first, second, (one, other), welch(one, other), by_seed, margin)


def by_depth(arms: list[Arm], *, margin: float = MARGIN) -> list[Comparison]:
    """Shallower and deeper net of one variant, every pair that has final errors."""
    pairs = [(first, second) for first, second in combinations(arms, 2) if first.variant == second.variant]
    return [comparison for pair in pairs if (comparison := compare(*pair, margin=margin))]


def by_family(arms: list[Arm], *, margin: float = MARGIN) -> list[Comparison]:
    """Two variants at one depth under the same setting, every pair that has final errors; plain nets come first."""
    pairs = [
        (first, second)
        for first, second in combinations(arms, 2)
        if first.depth == second.depth and first.setting == second.setting
    ]
    return [comparison for pair in pairs if (comparison := compare(*pair, margin=margin))]


def of_the_same_layers(first: Arm, second: Arm) -> bool:
    """Whether two arms are plain nets of which one has blocks of v1, the other of v2, and which differ in nothing else.

    Without a shortcut it does not matter where a block begins. The two are one net, but that in ImageNet's layout one
    pools behind the first activation, the other before it.
    """
    one, other = (spec_of(arm.runs[0].summary) for arm in (first, second))
    if one is None or other is None or one.shortcut != "none" or first.setting != second.setting:
        return False
    return one.order != other.order and replace(one, order=other.order) == other


def sentence(arms: list[Arm], *, margin: float = MARGIN) -> str:
    """The verdict in plain words: of each variant its shallowest finished net against its deepest one."""
    widest: dict[str, Comparison] = {}
    # The arms are in order of depth, so the first pair begins with the shallowest.
    for comparison in by_depth(arms, margin=margin):
        shallowest = widest.setdefault(comparison.first.variant, comparison).first
        if comparison.first is shallowest:
            widest[comparison.first.variant] = comparison
    if not widest:
        return "No verdict yet: it takes two finished nets of one kind and different depths."
    text = "; ".join(f"{variant} nets: {clause(comparison)}" for variant, comparison in widest.items())
    same = [(one.variant, other.variant) for one, other in combinations(arms, 2) if of_the_same_layers(one, other)]
    both = [f"{one} and {other}" for one, other in dict.fromkeys(same) if {one, other} <= widest.keys()]
    text += "".join(f"; {names} nets are of the same layers in the same order: one finding, not two" for names in both)
    return f"{text[0].upper()}{text[1:]}."


def clause(comparison: Comparison) -> str:
    """«depth degrades, the training error of 56 layers is 3.17 points above that of 20 (95 % interval …, 5 seeds)»"""
    first, second = comparison.first.depth, comparison.second.depth
    difference = comparison.difference
    what = {
        Verdict.DEGRADES: "depth degrades",
        Verdict.IMPROVES: "depth improves",
        Verdict.NO_DEGRADATION: "depth does not degrade",
        Verdict.INCONCLUSIVE: "inconclusive",
    }[comparison.verdict]
    of_both = f"the training error of {second} layers is {apart(difference)} that of {first}"
    return f"{what}, {of_both} ({evidence(comparison)})"


def apart(difference: Difference) -> str:
    """`12.10 points above`"""
    size = f"{abs(difference.value):.2f}"
    return f"{size} points {'above' if difference.value > 0 else 'below'}" if float(size) else "the same as"


def evidence(comparison: Comparison) -> str:
    """What the verdict rests on: the interval and the seeds, or why there is none; and which of the runs failed."""
    ns = [estimate.n for estimate in reversed(comparison.estimates)]  # the sentence names the second net first
    seeds = f"{' and '.join(map(str, dict.fromkeys(ns)))} seed{'' if ns == [1, 1] else 's'}"
    difference = comparison.difference
    if difference.low is not None and difference.high is not None:
        within = f", within {comparison.margin:g}" if comparison.verdict == Verdict.NO_DEGRADATION else ""
        parts = [f"95 % interval {difference.low:+.2f} to {difference.high:+.2f}{within}, {seeds}"]
    elif min(ns) == 1:
        parts = [f"{seeds}; an interval takes two or more of each"]
    else:
        parts = [f"{seeds}; no interval, as the seeds of each net ended with equal errors"]
    if comparison.verdict == Verdict.INCONCLUSIVE and difference.seeds_needed:
        parts.append(f"about {difference.seeds_needed} of each would tell")
    return "; ".join(parts + flags([*comparison.first.runs, *comparison.second.runs]))
