"""Between a task and Airflow's OpenLineage provider: the task notes what it read and wrote, for the provider.

The provider emits START, COMPLETE and FAIL of every task and run; ``dags/openlineage_extractor.py`` adds what
was noted. Both run in the task's own process. Without the provider's settings nothing is emitted.
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
    """``result``, once it is remembered what a ``step`` of ``features/lineage.py`` read and wrote.

    A task never fails for its lineage.
    """
    from features.lineage import STEPS
    from features.settings import Settings

    try:
        NOTED[:] = [STEPS[step](result, Settings())] if step else []
    except (FacetError, OSError) as error:
        log.warning("lineage is not known", step=step, reason=str(error))
    return result
