"""Which run trains on the newest features: of several runs that were started for the same data, the first."""

from typing import Final

from pydantic import BaseModel, ConfigDict

from features.freshness import FeatureState
from features.settings import Settings
from features.stage import write_atomically

FILE: Final = "training/claim.json"


class Claim(BaseModel):
    """The last claim."""

    model_config = ConfigDict(frozen=True)

    day: str
    sources: str
    run_id: str


def claim(state: FeatureState, run_id: str, *, settings: Settings | None = None) -> str:
    """The run that trains on these features: ``run_id``, unless another has claimed the very same before.

    A run that is cleared keeps its claim. Runs must ask one after the other.
    """
    path = (settings or Settings()).reports / FILE
    asked = Claim(day=state.day, sources=state.sources, run_id=run_id)
    last = Claim.model_validate_json(path.read_text()) if path.exists() else None
    if last is not None and (last.day, last.sources) == (asked.day, asked.sources):
        return last.run_id
    write_atomically(path, asked.model_dump_json())
    return run_id
