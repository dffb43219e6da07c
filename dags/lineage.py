"""At the end of a task: a table of what was done in its log, and what it read and wrote for OpenLineage.

OpenLineage's provider emits START, COMPLETE and FAIL of every task and run; ``dags/openlineage_extractor.py``
adds what was noted. Both run in the task's own process. Without the provider's settings nothing is emitted.
"""

from typing import TYPE_CHECKING, Any, Final

import structlog

from features.errors import FacetError

if TYPE_CHECKING:
    from features.lineage import Lineage

log = structlog.get_logger(__name__)

NOTED: Final[list["Lineage"]] = []
"""Of the task that this process runs; empty until its body is done."""


def noted(step: str | None, result: Any) -> Any:  # noqa: ANN401 - what the task returns
    """``result``, once what a ``step`` did is logged, and remembered what it read and wrote.

    A task never fails for either. See ``features/summaries.py`` and ``features/lineage.py``.
    """
    from features.lineage import STEPS
    from features.log_table import log_table
    from features.settings import Settings
    from features.summaries import SUMMARIES

    try:
        if step and step in SUMMARIES:
            log_table(f"{step}: {result}", SUMMARIES[step](result, Settings()))
        NOTED[:] = [STEPS[step](result, Settings())] if step else []
    except (FacetError, OSError) as error:
        log.warning("not known what was read and written", step=step, reason=str(error))
    return result
