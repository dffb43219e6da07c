"""Popular videos of the user's segment as a channel of its own weight."""

import numpy as np

from features.merge import Merged
from features.popular import PopularVideos
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Found, Scope
from serving.result import NO_INTEREST


class PopularChannel:
    """A bundle of kind ``ranking``."""

    stage = "popular"

    def __init__(self, popular: PopularVideos) -> None:
        self._popular = popular

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``; of everybody it is known that they are one of all."""
        hidden = np.concatenate([user.seen, scope.outside])
        top = self._popular.top(user.segment, limit, exclude=hidden)
        nobody = np.full((1, len(top.video_ids)), NO_INTEREST, dtype=np.int64)
        return Found(Merged(top.video_ids[None], top.scores[None], nobody))

    def check(self) -> None:
        """See ``Channel``; memory always answers."""
