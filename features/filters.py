"""Which videos an answer may contain, by what is known of them.

Shape letters: V videos.
"""

from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Bool
from pydantic import BaseModel, ConfigDict, NonNegativeFloat

from features.schema import CATEGORY, DURATION_SECONDS, LANGUAGE, PUBLISHED_AT


class VideoFilters(BaseModel):
    """All that is set must hold. A video of which an attribute is unknown passes only what excludes."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    categories: tuple[str, ...] | None = None
    """Only these."""
    excluded_categories: tuple[str, ...] = ()
    languages: tuple[str, ...] | None = None
    """Only these."""
    min_duration_seconds: NonNegativeFloat | None = None
    max_duration_seconds: NonNegativeFloat | None = None
    published_after: datetime | None = None

    @property
    def are_set(self) -> bool:
        """Whether anything is asked for."""
        return self != NO_FILTERS

    def mask(self, videos: pa.Table) -> Bool[np.ndarray, " V"]:
        """Which rows of a table with the columns of curated videos pass."""
        passed = np.ones(len(videos), dtype=bool)
        category, language = videos[CATEGORY], videos[LANGUAGE]
        if self.categories is not None:
            passed &= _true(pc.is_in(category, pa.array(self.categories, pa.string())))
        if self.excluded_categories:
            passed &= ~_true(pc.is_in(category, pa.array(self.excluded_categories, pa.string())))
        if self.languages is not None:
            passed &= _true(pc.is_in(language, pa.array(self.languages, pa.string())))
        if self.min_duration_seconds is not None:
            passed &= _true(pc.greater_equal(videos[DURATION_SECONDS], self.min_duration_seconds))
        if self.max_duration_seconds is not None:
            passed &= _true(pc.less_equal(videos[DURATION_SECONDS], self.max_duration_seconds))
        if self.published_after is not None:
            moment = pa.scalar(self.published_after, videos[PUBLISHED_AT].type)
            passed &= _true(pc.greater_equal(videos[PUBLISHED_AT], moment))
        return passed


NO_FILTERS = VideoFilters()


def _true(values: pa.ChunkedArray) -> Bool[np.ndarray, " V"]:
    return np.asarray(pc.fill_null(values, False).to_numpy(zero_copy_only=False), dtype=bool)
