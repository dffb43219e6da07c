"""What goes wrong on the way from an app to its log files, on request and counted by kind.

late            the row arrives one to three days after its event
duplicate       an exact copy in the same or in the next day's files
clock_skew      a twin (own event_id) whose time lies two hours to three days past the end of the folder's day
malformed kinds a twin with one thing broken, see MALFORMED

Nothing is taken away from the log: whoever drops duplicates and refuses the broken twins has the clean log.
"""

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import schema
from features.sources.simulation import SimulationConfig
from features.sources.world import DAY_MICROS, epoch_micros

LATE: Final = "late"
DUPLICATE: Final = "duplicate"
CLOCK_SKEW: Final = "clock_skew"
BROKEN_LINE: Final = "broken_line"
SHARES: Final = {DUPLICATE: 0.35, LATE: 0.3, CLOCK_SKEW: 0.1, "malformed": 0.25}
CUT: Final = 40
"""A broken line ends here: within the user id in JSONL, within the time in CSV."""
RNG_STREAM: Final = 5
"""Own random numbers, so that dirt does not change the clean log."""


def _constant(column: str, value: str | None) -> Callable[[pa.Table], pa.Table]:
    def change(rows: pa.Table) -> pa.Table:
        values = pa.array([value] * len(rows), pa.string())
        return rows.set_column(rows.schema.get_field_index(column), column, values)

    return change


def _negative_seconds(rows: pa.Table) -> pa.Table:
    index = rows.schema.get_field_index(schema.WATCH_SECONDS)
    return rows.set_column(index, schema.WATCH_SECONDS, pc.subtract(-1.0, rows[schema.WATCH_SECONDS]))


MALFORMED: Final[dict[str, Callable[[pa.Table], pa.Table]]] = {
    BROKEN_LINE: lambda rows: rows,
    "missing_event_id": _constant(schema.EVENT_ID, None),
    "missing_user_id": _constant(schema.USER_ID, None),
    "non_integer_id": _constant(schema.VIDEO_ID, "v12"),
    "unparsable_time": _constant(schema.EVENT_TIME, "yesterday"),
    "negative_watch_seconds": _negative_seconds,
    "bad_boolean": _constant(schema.LONG_WATCH, "maybe"),
}
"""Kind -> what it does to good rows; a broken line is cut after it was written."""


@dataclass(frozen=True)
class Arrivals:
    """What reaches the landing folder of one day."""

    rows: pa.Table
    malformed: dict[str, pa.Table]
    """Kind -> rows; some columns hold text that does not fit the schema."""
    counts: Counter[str]


class Dirt:
    """Spoils one day after the other; keeps what arrives on a later day."""

    def __init__(self, config: SimulationConfig) -> None:
        self._config = config
        self._waiting: dict[int, list[tuple[str, pa.Table]]] = defaultdict(list)

    def spoil(self, watches: pa.Table, day_number: int) -> Arrivals:
        """The arrivals of day ``day_number`` (0 is the first), given its clean watches."""
        if not self._config.dirt:
            return Arrivals(watches, {}, Counter())
        rng = np.random.default_rng([self._config.seed, RNG_STREAM, day_number])
        kinds = rng.choice(len(SHARES) + 1, len(watches), p=self._kind_shares())
        picked = {kind: np.flatnonzero(kinds == number) for number, kind in enumerate(SHARES)}
        days_left = self._config.num_days - 1 - day_number
        on_time = np.ones(len(watches), dtype=bool)
        if days_left:
            on_time[picked[LATE]] = False
            delays = np.minimum(rng.integers(1, 4, picked[LATE].size), days_left)
            self._postpone(LATE, watches, picked[LATE], day_number + delays)
        self._postpone(
            DUPLICATE,
            watches,
            picked[DUPLICATE],
            day_number + np.minimum(rng.integers(0, 2, picked[DUPLICATE].size), days_left),
        )
        self._waiting[day_number].append(
            (CLOCK_SKEW, self._skewed(watches, picked[CLOCK_SKEW], day_number, rng))
        )
        malformed = self._malformed(watches, picked["malformed"], rng)
        arrived = self._waiting.pop(day_number)
        counts = Counter({kind: len(rows) for kind, rows in malformed.items()})
        for kind, rows in arrived:
            counts[kind] += len(rows)
        own = watches.filter(pa.array(on_time))
        together = pa.concat_tables([own, *(rows for _, rows in arrived)])
        places = np.concatenate([np.arange(len(own)), rng.random(len(together) - len(own)) * len(own)])
        return Arrivals(together.take(pa.array(np.argsort(places, kind="stable"))), malformed, +counts)

    def _kind_shares(self) -> list[float]:
        return [self._config.dirt * share for share in SHARES.values()] + [1 - self._config.dirt]

    def _postpone(self, kind: str, watches: pa.Table, picked: np.ndarray, landing: np.ndarray) -> None:
        for day_number in np.unique(landing).tolist():
            self._waiting[day_number].append((kind, watches.take(pa.array(picked[landing == day_number]))))

    def _skewed(
        self, watches: pa.Table, picked: np.ndarray, day_number: int, rng: np.random.Generator
    ) -> pa.Table:
        rows = _twins(watches.take(pa.array(picked)), "c")
        midnight = epoch_micros(self._config.days[day_number]) + DAY_MICROS
        ahead = midnight + (rng.uniform(2 / 24, 3, picked.size) * DAY_MICROS).astype(np.int64)
        index = rows.schema.get_field_index(schema.EVENT_TIME)
        return rows.set_column(index, rows.schema.field(index), pa.array(ahead).cast(schema.TIMESTAMP))

    def _malformed(
        self, watches: pa.Table, picked: np.ndarray, rng: np.random.Generator
    ) -> dict[str, pa.Table]:
        kinds = rng.permutation(picked.size) % len(MALFORMED)
        rows = {
            kind: _twins(watches.take(pa.array(picked[kinds == n])), "m") for n, kind in enumerate(MALFORMED)
        }
        return {kind: MALFORMED[kind](twins) for kind, twins in rows.items() if len(twins)}


def _twins(rows: pa.Table, mark: str) -> pa.Table:
    """The same rows under event ids of their own."""
    index = rows.schema.get_field_index(schema.EVENT_ID)
    ids = pc.binary_join_element_wise(rows[schema.EVENT_ID].combine_chunks(), mark, "")
    return rows.set_column(index, rows.schema.field(index), ids)
