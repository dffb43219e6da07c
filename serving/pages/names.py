"""What tags are called: the text that an import or the simulator gave them, or else their id."""

from functools import lru_cache
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from features.schema import TAG_ID
from features.settings import Settings
from features.sources.id_map import ID, TAG, TEXT
from features.sources.truth import NAME, TAGS_FILE

MAX_TAGS: Final = 1_000_000
"""A larger file of names is left alone."""


class Names:
    """Names of one home; the files are read again when they change."""

    def __init__(self, settings: Settings) -> None:
        self._simulated = settings.truth / TAGS_FILE
        self._imported = settings.root / "ids"

    def tag(self, tag_id: int) -> str:
        """The text of a tag, or ``tag 12``."""
        return self._tags().get(tag_id, f"tag {tag_id}")

    def tags(self, tag_ids: tuple[int, ...] | list[int]) -> list[str]:
        """The same for several."""
        known = self._tags()
        return [known.get(tag_id, f"tag {tag_id}") for tag_id in tag_ids]

    def _tags(self) -> dict[int, str]:
        if self._simulated.exists():
            return _read(self._simulated, TAG_ID, NAME, self._simulated.stat().st_mtime_ns)
        files = sorted(self._imported.glob(f"*/{TAG}.parquet"))
        if len(files) != 1:  # every source counts from 0: of two, one id has two names
            return {}
        return _read(files[0], ID, TEXT, files[0].stat().st_mtime_ns)


@lru_cache(maxsize=4)
def _read(path: Path, key: str, value: str, changed: int) -> dict[int, str]:
    if pq.read_metadata(path).num_rows > MAX_TAGS:
        return {}
    table = pq.read_table(path, columns=[key, value])
    return dict(zip(table[key].to_pylist(), table[value].to_pylist(), strict=True))
