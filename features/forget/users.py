"""Who is erased, and how their rows are told from those of others.

A row belongs to the user in its column ``user_id``. Where that cannot be read (a damaged row), it belongs
to everybody whom its text names: rather a damaged row too many than one too few.
"""

import json
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from features.errors import BadInputError
from features.schema import RAW, USER_ID
from features.settings import Settings
from features.sources.id_map import ERASED, USER, IdMap
from features.sql import literal

_INTEGER: Final = r"^-?[0-9]+(\.0+)?$"
_IN_RAW: Final = rf'"{USER_ID}"\s*:\s*"?(-?[0-9]+(?:\.0+)?)'


@dataclass(frozen=True, slots=True)
class Users:
    """Users by their ids in the lake, and by what the logs called them."""

    ids: frozenset[int]
    texts: frozenset[str] = frozenset()

    @property
    def tokens(self) -> list[str]:
        """Every way in which a landing file may write them."""
        escaped = {json.dumps(text)[1:-1] for text in self.texts}
        return sorted({str(user_id) for user_id in self.ids} | self.texts | escaped)

    @property
    def pattern(self) -> str:
        """Regular expression, for Python and DuckDB, of a text that names one of them."""
        numbers = "|".join(token for token in self.tokens if _is_number(token))
        words = "|".join(re.escape(token) for token in self.tokens if not _is_number(token))
        parts = [rf"(^|[^0-9])({numbers})($|[^0-9])"] if numbers else []
        parts += [rf"(^|[^0-9A-Za-z_])({words})($|[^0-9A-Za-z_])"] if words else []
        return "|".join(parts)

    def are_named_in(self, text: str) -> bool:
        """Whether ``text`` names one of them."""
        return re.search(self.pattern, text) is not None

    def own_sql(self, column: str = USER_ID) -> str:
        """Condition on a column of numbers."""
        return f"{column} IN ({', '.join(map(str, sorted(self.ids)))})" if self.ids else "false"

    def own_text_sql(self, column: str = USER_ID, raw: str = RAW) -> str:
        """Condition on a row of text: its column, what a damaged row still says of it, or the whole text."""
        in_raw = f"regexp_extract({raw}, '{_IN_RAW}', 1)"
        conditions = [self.own_sql(_number(text)) for text in (column, in_raw)] if self.ids else []
        return f"coalesce({', '.join([*conditions, self.named_sql(raw)])})"

    def named_sql(self, raw: str = RAW) -> str:
        """Condition on a text that names one of them."""
        return f"coalesce(regexp_matches({raw}, {literal(self.pattern)}), false)"


def find_users(settings: Settings, ids: Iterable[int], texts: Iterable[tuple[str, str]] = ()) -> Users:
    """The users with these ids, and those whom sources call by these texts.

    Args:
        texts: name of a source and the text; one that its id map does not know (any more) is still searched
            for in damaged rows.

    Raises:
        BadInputError: nobody is named, an id is negative, or there is no id map of that source.
    """
    numbers, words = set(ids), set()
    if bad := sorted(user_id for user_id in numbers if user_id < 0):
        raise BadInputError(f"user ids are not negative: {bad}")
    for source, text in texts:
        if not text.strip():
            raise BadInputError(f"the id of a user of {source} is empty")
        known = IdMap(settings, source)
        if not known.path(USER).exists():
            raise BadInputError(f"{known.path(USER)} does not exist; --source is the `source` of an import")
        words.add(text)
        number = known.find(USER, text)
        numbers |= set() if number is None else {number}
    for source in sources_of_ids(settings):
        words |= _texts_of(IdMap(settings, source), numbers)
    if not numbers and not words:
        raise BadInputError("name the users to erase: ids, or --source NAME --id TEXT")
    return Users(frozenset(numbers), frozenset(words))


def sources_of_ids(settings: Settings) -> list[str]:
    """Sources whose users have text ids."""
    return sorted(path.parent.name for path in (settings.root / "ids").glob(f"*/{USER}.parquet"))


def _texts_of(known: IdMap, numbers: Collection[int]) -> set[str]:
    texts = known.texts(USER)
    found = {texts[number].as_py() for number in numbers if number < len(texts)}
    return {text for text in found if not text.startswith(ERASED)}


def _is_number(token: str) -> bool:
    return token.isascii() and token.isdigit()


def _number(text: str) -> str:
    """SQL of the integer in a text, null where there is none."""
    whole = f"TRY_CAST(regexp_replace({text}, '\\.0+$', '') AS BIGINT)"
    return f"CASE WHEN regexp_matches({text}, '{_INTEGER}') THEN {whole} END"
