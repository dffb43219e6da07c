"""What judging needs to know of the videos: which there are, whose they are, what they are about.

Shape letters: V videos of the snapshot; the results of look-ups have the shape of the argument.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from features.schema import TAG_IDS, UPLOADER_ID, VIDEO_ID
from training.dataset import IdLists, WatchLog


@dataclass(frozen=True, slots=True)
class Catalogue:
    """One snapshot of the videos, by ascending id."""

    video_ids: Int64[np.ndarray, " V"]
    uploader_ids: Int64[np.ndarray, " V"]
    tags: IdLists

    @classmethod
    def read(cls, log: WatchLog) -> "Catalogue":
        """The newest snapshot that ``log`` knows."""
        videos = log.videos()
        ids, uploaders = videos[VIDEO_ID].to_numpy(), videos[UPLOADER_ID].to_numpy()
        return cls(ids, uploaders, IdLists.from_columns(videos[VIDEO_ID], videos[TAG_IDS]))

    def __len__(self) -> int:
        return len(self.video_ids)

    def places_of(self, video_ids: Int64[np.ndarray, "*S"]) -> Int64[np.ndarray, "*S"]:
        """Place of each video in the snapshot, -1 where it is not there."""
        places = np.searchsorted(self.video_ids, video_ids)
        return np.where(np.append(self.video_ids, -1)[places] == video_ids, places, -1)
