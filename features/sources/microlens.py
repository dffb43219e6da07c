"""Importer of MicroLens-50k and -100k (Ni et al., arXiv 2309.15379), official layout.

What the log means: a row of ``*_pairs.csv`` is a public comment of a user under a video, in epoch
milliseconds. So each watch is commented and counts as ``long_watch``; seconds and the other flags are
unknown. Nothing is known of uploaders (all videos have uploader 0), tags, durations and users. Titles are in
``*_titles.csv`` (50k, with header) or ``*_title_en.csv`` (100k, without).

``*_likes_and_views.txt`` is not read: it holds totals of the day on which the videos were crawled, after all
watches, and a model that sees them sees the future.
"""

from pathlib import Path
from typing import Final

from features.settings import Settings
from features.sources.column_map import parse_column_map
from features.sources.columns import ImportReport, data_folder, import_columns

NAME: Final = "microlens"
MAP: Final = """
source = "microlens"

[watches]
files = "*_pairs.csv"
[watches.columns]
user_id = "user"
video_id = "item"
event_time = { column = "timestamp", unit = "ms" }
long_watch = { constant = true }
commented = { constant = true }

[videos]
files = ["*_titles.csv", "*_title_en.csv"]
header = ["item", "title"]
[videos.columns]
video_id = "item"
uploader_id = { constant = 0 }
title = "title"
"""


def import_microlens(folder: Path, settings: Settings) -> ImportReport:
    """Write the pairs in ``folder`` as landing files, with a snapshot of the videos.

    Raises:
        BadInputError: a file or a column is missing, or a file cannot be read.
    """
    rules = parse_column_map(MAP, NAME)
    return import_columns(data_folder(folder, "*_pairs.csv"), rules, settings)
