"""What a source calls its users, videos and tags, where an import gave their text ids numbers."""

from functools import cached_property

from features.errors import BadInputError
from features.settings import Settings
from features.sources.id_map import TAG, USER, VIDEO, IdMap


class SourceNames:
    """Names of one source, read when they are first asked for; kinds whose ids are numbers keep them."""

    def __init__(self, settings: Settings, source: str) -> None:
        """Raises ``BadInputError`` if nothing was imported from a source of that name with text ids."""
        self._source, self._map = source, IdMap(settings, source)
        if not self._map.path(USER).parent.is_dir():
            known = sorted(path.name for path in (settings.root / "ids").glob("*") if path.is_dir())
            raise BadInputError(
                f"no log with text ids was imported as {source!r}; "
                f"--source is the `source` of a map{': ' if known else ''}{', '.join(known)}"
            )

    def user_id(self, text: str) -> int:
        """The number of the user whom the source calls ``text``.

        Raises:
            BadInputError: the source knows nobody of that name.
        """
        if not self._map.path(USER).exists() and text.isdecimal():
            return int(text)
        found = self._map.find(USER, text)
        if found is None:
            raise BadInputError(f"{self._source} knows no user {text!r}")
        return found

    def video(self, video_id: int) -> str:
        """The source's name of a video."""
        return self._videos[video_id] if video_id < len(self._videos) else str(video_id)

    def tag(self, tag_id: int) -> str:
        """The source's name of a tag."""
        return self._tags[tag_id] if tag_id < len(self._tags) else str(tag_id)

    @cached_property
    def _videos(self) -> list[str]:
        found: list[str] = self._map.texts(VIDEO).to_pylist()
        return found

    @cached_property
    def _tags(self) -> list[str]:
        found: list[str] = self._map.texts(TAG).to_pylist()
        return found
