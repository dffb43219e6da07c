"""Bounds of what Facet accepts, one definition each: for landing files, imports, HTTP API and index."""

from datetime import UTC, datetime
from typing import Final

EARLIEST_MOMENT: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""No short video was watched before; older times come from a broken clock or a wrong unit."""
MAX_ID: Final = 2**63 - 1
MAX_WATCH_SECONDS: Final = 86_400
MAX_TEXT: Final = 256
"""Characters. Longer ids of events or requests, devices or scenes are somebody's broken encoder."""
