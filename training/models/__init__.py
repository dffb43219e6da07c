"""The models by name. A new one is one file here and one line in ``MODELS``.

The file offers ``Config``, a frozen ``ModelConfig`` with defaults, and ``train(config, run) -> Trained``.
Files are imported when their model is asked for: popularity needs no PyTorch.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Final, Literal, Protocol, runtime_checkable

from features.bundle import DataSource
from features.errors import BadInputError
from features.lake import Lake
from training.config import ModelConfig
from training.group import Group
from training.metrics import Metrics
from training.tracking import Tracker

MODELS: Final[dict[str, str]] = {
    "comirec": "training.models.comirec",
    "ease": "training.models.ease",
    "followed": "training.models.followed",
    "fresh": "training.models.fresh",
    "item2vec": "training.models.item2vec",
    "item_cf": "training.models.item_cf",
    "lightgcn": "training.models.lightgcn",
    "mean_pooling": "training.models.mean_pooling",
    "mind": "training.models.mind",
    "mixture_of_experts": "training.models.mixture_of_experts",
    "node2vec": "training.models.node2vec",
    "pinnersage": "training.models.pinnersage",
    "popularity": "training.models.popularity",
    "remi": "training.models.remi",
    "sasrec": "training.models.sasrec",
    "single_activation": "training.models.single_activation",
    "swing": "training.models.swing",
}
SUPPLEMENTS: Final = frozenset({"followed", "fresh"})
"""Models of what the others cannot find. Targets of the past do not tell their worth: they lie where users
were shown something, so the gate only asks that these are sane."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a model may use: the lake before ``until``, and where to report."""

    lake: Lake
    until: datetime
    tracker: Tracker
    bundles: Path | None = None
    """Where models that build upon another one's vectors find it."""
    num_threads: int = 1
    checkpoints: Path | None = None
    """Folder of the states of runs under way; ``None``: a killed run starts again."""
    checkpoint_seconds: float = 120.0
    group: Group = field(default_factory=Group)
    """The processes that train together."""
    show_progress: bool = False


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained model that only has to be written down."""

    kind: Literal["interests", "neighbours", "ranking", "stored_interests", "uploads"]
    source: DataSource
    num_videos: int
    write_files: Callable[[Path], None]
    """Writes the files of ``kind`` into a folder."""
    num_interests: int = 0
    dim: int = 0
    history_length: int = 0
    metrics: Metrics | None = None
    """On the validation days inside the training data."""


@runtime_checkable
class Model(Protocol):
    """The module of a model."""

    Config: type[ModelConfig]

    def train(self, config: ModelConfig, run: Run) -> Trained:
        """Train on the watches before ``run.until``."""
        ...


def find_model(name: str) -> Model:
    """The module of the model called ``name``.

    Raises:
        BadInputError: there is none.
    """
    if name not in MODELS:
        raise BadInputError(f"no model {name!r}; there are {', '.join(sorted(MODELS))}")
    return import_module(MODELS[name])
