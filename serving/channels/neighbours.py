"""Neighbours of what the user watched, added up in memory as in training."""

from features.neighbours import Neighbours
from features.user_features import UserFeatures
from serving.channels import ANYTHING, Found, Scope
from serving.result import Stopwatch


class NeighboursChannel:
    """A bundle of kind ``neighbours``."""

    is_remote = False

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def find(self, user: UserFeatures, limit: int, scope: Scope = ANYTHING) -> Found | None:
        """See ``Channel``."""
        if not self._neighbours.knows(user.history):
            return None
        watch = Stopwatch()
        with watch.stage("neighbours"):
            barred = scope.barred(user, self._neighbours.vocabulary)
            lists = self._neighbours.find([user.history], barred, limit)
        return Found(lists, seconds=watch.seconds)

    def check(self) -> None:
        """See ``Channel``; memory always answers."""
