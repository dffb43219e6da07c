"""Videos of the uploaders that the user follows, in memory as offline."""

import numpy as np

from features.live_items import LiveItems
from features.uploads import Uploads
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Found, Scope


class FollowedChannel:
    """A bundle of kind ``uploads``.

    Args:
        videos: say whose video a follow was pressed on since the daily features were made.
    """

    stage = "followed"

    def __init__(self, uploads: Uploads, videos: LiveItems) -> None:
        self._uploads = uploads
        self._videos = videos

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``."""
        pushed = self._videos.uploaders_of(user.follows.video_ids)
        uploaders = np.concatenate([user.follows.uploader_ids, pushed])
        if not self._uploads.knows(uploaders):
            return None
        barred = scope.barred(user, self._uploads.vocabulary)
        return Found(self._uploads.find([uploaders], barred, limit))

    def check(self) -> None:
        """See ``Channel``; memory always answers."""
