"""How every interest model is trained: choose the epochs on the last days, train on everything, hand over."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
import torch

from features.bundle import INTERESTS_KIND
from features.errors import BadInputError
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.config import TrainConfig
from training.dataset import WatchLog
from training.evaluation import Catalogue, Metrics, judge
from training.examples import ExampleMaker
from training.export import write_interest_files
from training.loop import Fit, Validate, fit
from training.models import Run, Trained
from training.network import Extractor, InterestNetwork
from training.ranking import InterestRanker, Past
from training.sampling import NegativeSampler

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model as the trainer sees it."""

    config: TrainConfig
    history_length: int
    build: Callable[[int], InterestNetwork]
    """Number of rows of the video table to a fresh network."""


def train_interests(recipe: Recipe, run: Run) -> Trained:
    """Train on the watches before ``run.until`` and make the parts of an ``interests`` bundle.

    The last ``validation_days`` before it choose the number of epochs. With ``refit`` a fresh network is
    then trained for that long on everything, so that it knows the videos of the last days too.

    Raises:
        BadInputError: too few watches before the validation days.
        TrainingDivergedError: the loss is no number any more.
    """
    torch.set_num_threads(run.num_threads)
    watches = WatchLog(run.lake, run.until, recipe.config.rule)
    cut = run.until - timedelta(days=recipe.config.validation_days)
    network, vocabulary, chosen = _fit(recipe, run, watches, cut)
    if recipe.config.refit:
        log.info("training again on all days", epochs=chosen.best_epoch)
        network, vocabulary, _ = _fit(recipe, run, watches, run.until, epochs=chosen.best_epoch)
    num_interests, dim = _shape_of(network)
    return Trained(
        kind=INTERESTS_KIND,
        source=watches.source(),
        num_videos=len(vocabulary),
        write_files=lambda folder: write_interest_files(
            folder, network, vocabulary, watches.videos(), history_length=recipe.history_length
        ),
        num_interests=num_interests,
        dim=dim,
        history_length=recipe.history_length,
        metrics=chosen.metrics | {"best_epoch": float(chosen.best_epoch)},
    )


def _fit(
    recipe: Recipe, run: Run, watches: WatchLog, until: datetime, *, epochs: int | None = None
) -> tuple[InterestNetwork, Vocabulary, Fit]:
    """Train on what lies before ``until``; what lies after it validates."""
    config = recipe.config
    vocabulary = Vocabulary(watches.watched_videos(until, config.min_watches))
    sequences = watches.sequences(until, config.sequence_length)
    examples = ExampleMaker(sequences, vocabulary, config, history_length=recipe.history_length)
    if not examples.num_users:
        raise BadInputError(
            f"nobody watched two videos before {until.isoformat()}; ingest more days, lower validation_days "
            f"(now {config.validation_days:g}) or train until a later time"
        )
    counts = torch.bincount(
        torch.from_numpy(vocabulary.rows_of(sequences.video_ids)), minlength=vocabulary.num_rows
    )
    counts[PAD_ROW] = 0
    torch.manual_seed(config.seed)
    network = recipe.build(vocabulary.num_rows)
    result = fit(
        network,
        examples,
        NegativeSampler(counts, config.num_negatives, config.popularity_share),
        config,
        tracker=run.tracker,
        epochs=epochs,
        validate=_validation(recipe, watches, vocabulary, until) if until < run.until else None,
        show_progress=run.show_progress,
    )
    return network, vocabulary, result


def _validation(recipe: Recipe, watches: WatchLog, vocabulary: Vocabulary, start: datetime) -> Validate:
    """A function that judges a network on the watches from ``start`` on, as bundles are judged."""
    past, targets = Past.read(watches, start), watches.targets(start, watches.until)
    catalogue = Catalogue.read(watches)
    if not len(targets.keys):
        raise BadInputError(
            f"no positives from {start.isoformat()} on to validate with; raise validation_days"
        )

    def validate(network: InterestNetwork) -> Metrics:
        extractor = Extractor(network)
        vectors = extractor.table.numpy()[PAD_ROW + 1 :]
        ranker = InterestRanker(
            extractor.as_extract(), vocabulary, vectors, history_length=recipe.history_length
        )
        return judge(ranker, past, targets, catalogue).metrics

    return validate


def _shape_of(network: InterestNetwork) -> tuple[int, int]:
    """K and D."""
    nothing = torch.zeros(1, 1, dtype=torch.int64)
    with torch.inference_mode():
        return tuple(network.eval()(nothing, nothing, nothing.float()).shape[1:])
