"""Neighbours of what the user watched, added up in memory as in training."""

from features.neighbours import Neighbours
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Found, Scope


class NeighboursChannel:
    """A bundle of kind ``neighbours``."""

    stage = "neighbours"

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``."""
        if not self._neighbours.knows(user.history):
            return None
        barred = scope.barred(user, self._neighbours.vocabulary)
        return Found(self._neighbours.find([user.history], barred, limit))

    def check(self) -> None:
        """See ``Channel``; memory always answers."""
