"""Importer of KuaiRec 2.0 (Gao et al., CIKM 2022, doi 10.1145/3511808.3557220), official CSV layout.

What the log means: ``timestamp`` is epoch seconds with a fraction, durations are milliseconds. A part of the
rows of ``small_matrix.csv`` has no time: they land on its first day, where ingest puts them in quarantine
(raise ``FACET_VALIDATION__MAX_QUARANTINED`` for that day). ``watch_ratio`` is ``play_duration`` over
``video_duration``, so it says nothing new, and the log has no likes: ``long_watch`` and the flags stay
unknown, and Facet's own rule (``features/positives.py``) decides from seconds and duration.

Videos are the rows of ``item_categories.csv`` with their newest row of ``item_daily_features.csv``; its daily
counts are left out, they are aggregates that Facet makes itself. Upload days are days of UTC+8.
"""

from pathlib import Path
from typing import Final

from features.settings import Settings
from features.sources.column_map import parse_column_map
from features.sources.columns import ImportReport, data_folder, import_columns

NAME: Final = "kuairec"
MAP: Final = """
source = "kuairec"

[watches]
files = ["big_matrix.csv", "small_matrix.csv"]
[watches.columns]
user_id = "user_id"
video_id = "video_id"
event_time = { column = "timestamp", unit = "s" }
watch_seconds = { column = "play_duration", unit = "ms" }

[videos]
files = "item_categories.csv"
unknown = ["UNKNOWN", "-124"]
[[videos.join]]
files = "item_daily_features.csv"
on = "video_id"
newest = "date"
[videos.columns]
video_id = "video_id"
uploader_id = "author_id"
tag_ids = "feat"
category = "video_type"
duration_seconds = { column = "video_duration", unit = "ms" }
published_at = { column = "upload_dt", timezone = "Asia/Shanghai" }
is_online = { column = "visible_status", one_of = ["public"], default = true }

[users]
files = "user_features.csv"
unknown = ["UNKNOWN", "-124"]
[users.columns]
user_id = "user_id"
segment = "user_active_degree"
profile = { tokens = ["is_*", "*_range", "onehot_feat*"] }
"""


def import_kuairec(folder: Path, settings: Settings) -> ImportReport:
    """Write the logs in ``folder`` (or its ``data``) as landing files, with a snapshot of videos and users.

    Raises:
        BadInputError: a file or a column is missing, or a file cannot be read.
    """
    rules = parse_column_map(MAP, NAME)
    return import_columns(data_folder(folder, "big_matrix.csv", "small_matrix.csv"), rules, settings)
