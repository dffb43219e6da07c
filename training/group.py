"""The processes that train one network together; see ``training/distributed.py``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Group:
    """This process among those of one run."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process reports and writes."""
        return self.rank == 0
