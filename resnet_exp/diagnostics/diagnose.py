"""`task=diagnose`: every question there is, asked of one run."""

from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_exp.config import Config
from resnet_exp.diagnostics import gradients, responses
from resnet_exp.diagnostics.case import open_case
from resnet_exp.diagnostics.question import Question, ask

QUESTIONS: dict[str, Question] = {module.QUESTION.what: module.QUESTION for module in (responses, gradients)}


def diagnose_run(
    config: Config, path: Path, *, what: Sequence[str], check: Callable[[], None], turn: int = 0, quiet: bool = False
) -> None:
    """Asks the questions `what` (`all`: every one that fits the net) of the run in a folder, and writes `diagnostics/`.

    Raises:
        ValueError: there is no run, or a question does not fit its net.
        OSError: the folder cannot be written.
    """
    case = open_case(config, path, turn=turn)
    for name in QUESTIONS if "all" in what else what:
        ask(QUESTIONS[name], case, check=check, fresh=config.fresh, quiet=quiet)
