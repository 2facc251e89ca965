"""`task=evaluate`: training computes and writes, the study draws and says."""

import errno
import logging
from collections.abc import Collection

from resnet_exp.config import Config
from resnet_exp.runs.evaluation import FOLDER
from resnet_exp.runs.folder import RunFolder

READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)

log = logging.getLogger(__name__)


def evaluate(config: Config, folder: RunFolder, *, given: Collection[str], turn: int) -> None:
    """Says the errors of the newest checkpoint, or of the weights that the user names, and writes `evaluation/` anew.

    A run folder that nobody may write into can still be evaluated: the errors are said, and that nothing was written.

    Args:
        folder: of the run; where there is none, since the weights are from elsewhere, what is written goes there.
        given: the settings that the user named.

    Raises:
        ValueError: there is no checkpoint, or that of another run.
        OSError: `evaluation/` cannot be written although it may be: the disk is full.
    """
    from resnet_exp.compute.assess import evaluate_run, evaluate_weights

    out = folder.path / FOLDER
    try:
        if config.weights:
            evaluate_weights(config, given=given, out=out, turn=turn)
        else:
            evaluate_run(config, folder, turn=turn)
    except OSError as error:
        if error.errno not in READ_ONLY or not str(error.filename).startswith(str(out)):
            raise
        log.warning("%s: %s; only said, not written", out, error.strerror)
        return
    from resnet_exp.study.evaluation_report import draw_evaluation  # brings matplotlib

    for line in draw_evaluation(out).splitlines():
        log.info("%s", line)
