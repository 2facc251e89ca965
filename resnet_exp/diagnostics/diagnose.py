"""`task=diagnose`: every question there is, asked of one run."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from resnet_exp.config import Config
from resnet_exp.diagnostics import branches, gradients, information, lesion, responses, surface
from resnet_exp.diagnostics.case import open_case
from resnet_exp.diagnostics.question import DoesNotFit, Question, ask

MODULES = (responses, gradients, branches, lesion, information, surface)
QUESTIONS: dict[str, Question] = {module.QUESTION.what: module.QUESTION for module in MODULES}

log = logging.getLogger(__name__)


def diagnose_run(
    config: Config,
    path: Path,
    *,
    what: Sequence[str],
    pass_over: bool,
    check: Callable[[], None],
    turn: int = 0,
    quiet: bool = False,
) -> None:
    """Asks the questions `what` (`all`: every one) of the run in a folder, and writes `diagnostics/`.

    Args:
        pass_over: leave out a question that does not fit the net, and say so.

    Raises:
        DoesNotFit: unless it is passed over.
        ValueError: there is no run.
        OSError: the folder cannot be written.
    """
    case = open_case(config, path, turn=turn)
    for name in QUESTIONS if "all" in what else what:
        try:
            ask(QUESTIONS[name], case, check=check, fresh=config.fresh, quiet=quiet)
        except DoesNotFit as error:
            if not pass_over:
                raise
            log.info("%s", str(error).splitlines()[0])
