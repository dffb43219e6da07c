"""Importer of MovieLens (Harper and Konstan, TiiS 2015, doi 10.1145/2827872), CSV layout and that of 1M.

What the log means: a rating, in epoch seconds, is no watch of so many seconds; what can be said is
``long_watch``: true from 4 stars on, false below. Seconds and the flags are unknown. Genres are the tags and
pass an id map; there are no uploaders (all movies have uploader 0). Ratings before 2000, which the CSV sets
begin with, land on their days, but ingest refuses them: ingest from 2000-01-01 on.

The 1M layout (``ratings.dat``, fields parted by ``::``, latin-1) also has users: gender, age group and
occupation become profile tokens, the zip code does not.
"""

from pathlib import Path
from typing import Final

from features.settings import Settings
from features.sources.column_map import parse_column_map
from features.sources.columns import ImportReport, data_folder, import_columns

NAME: Final = "movielens"
MAP: Final = """
source = "movielens"
text_ids = ["tag"]

[watches]
files = "ratings.csv"
[watches.columns]
user_id = "userId"
video_id = "movieId"
event_time = { column = "timestamp", unit = "s" }
long_watch = { column = "rating", at_least = 4 }

[videos]
files = "movies.csv"
unknown = ["(no genres listed)"]
[videos.columns]
video_id = "movieId"
uploader_id = { constant = 0 }
title = "title"
tag_ids = { column = "genres", separator = "|" }
"""
MAP_1M: Final = """
source = "movielens"
text_ids = ["tag"]

[watches]
files = "ratings.dat"
delimiter = "::"
header = ["user", "movie", "rating", "timestamp"]
[watches.columns]
user_id = "user"
video_id = "movie"
event_time = { column = "timestamp", unit = "s" }
long_watch = { column = "rating", at_least = 4 }

[videos]
files = "movies.dat"
delimiter = "::"
encoding = "latin-1"
header = ["movie", "title", "genres"]
[videos.columns]
video_id = "movie"
uploader_id = { constant = 0 }
title = "title"
tag_ids = { column = "genres", separator = "|" }

[users]
files = "users.dat"
delimiter = "::"
header = ["user", "gender", "age", "occupation", "zip"]
[users.columns]
user_id = "user"
profile = { tokens = ["gender", "age", "occupation"] }
"""


def import_movielens(folder: Path, settings: Settings) -> ImportReport:
    """Write the ratings in ``folder`` as landing files, with a snapshot of movies (and, for 1M, users).

    Raises:
        BadInputError: a file or a column is missing, or a file cannot be read.
    """
    folder = data_folder(folder, "ratings.csv", "ratings.dat")
    is_csv = any(folder.glob("ratings.csv*"))
    return import_columns(folder, parse_column_map(MAP if is_csv else MAP_1M, NAME), settings)
