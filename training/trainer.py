"""How every interest model is trained: choose the epochs on the last days, train on everything, hand over."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog
import torch

from features.bundle import INTERESTS_KIND
from features.errors import BadInputError
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.config import TrainConfig
from training.dataset import WatchLog
from training.evaluation import Catalogue, Metrics, judge
from training.examples import ExampleMaker
from training.export import write_interest_files
from training.loop import Fit, Plan, Validate, fit
from training.models import Run, Trained
from training.network import Extractor, InterestNetwork
from training.ranking import InterestRanker, Past
from training.sampling import NegativeSampler

log = structlog.get_logger(__name__)

REFIT_PEAK: Final = 0.3
"""Learning rate of the refit, as a share of the first one: adapt, do not start over."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model as the trainer sees it."""

    config: TrainConfig
    history_length: int
    build: Callable[[int], InterestNetwork]
    """Number of rows of the video table to a fresh network."""


def train_interests(recipe: Recipe, run: Run) -> Trained:
    """Train on the watches before ``run.until`` and make the parts of an ``interests`` bundle.

    The last ``validation_days`` before it choose the best epoch; then ``refit_epochs`` more on everything, in
    smaller steps, teach the network the last days too.

    Raises:
        BadInputError: too few watches before the validation days.
        TrainingDivergedError: the loss is no number any more.
    """
    config = recipe.config
    torch.set_num_threads(run.num_threads)
    watches = WatchLog(run.lake, run.until, config.rule)
    vocabulary = Vocabulary(watches.watched_videos(run.until, config.min_watches))
    torch.manual_seed(config.seed)
    network = recipe.build(vocabulary.num_rows)
    cut = run.until - timedelta(days=config.validation_days)
    validate = _validation(recipe, watches, vocabulary, cut)
    num_interests, dim = _shape_of(network)
    user_ids = watches.sequences(run.until, length=1).user_ids
    record = ActivationRecord(user_ids, num_interests, config.activation_half_life)
    fit_until = partial(_fit, network, recipe, run, watches, vocabulary, record)
    chosen = fit_until(cut, Plan(config.epochs, warmth=config.warmth, validate=validate))
    if config.refit_epochs:
        fit_until(run.until, Plan(config.refit_epochs, peak=REFIT_PEAK))
    return Trained(
        kind=INTERESTS_KIND,
        source=watches.source(),
        num_videos=len(vocabulary),
        write_files=lambda folder: write_interest_files(
            folder, network, vocabulary, watches.videos(), record, history_length=recipe.history_length
        ),
        num_interests=num_interests,
        dim=dim,
        history_length=recipe.history_length,
        metrics=chosen.metrics | {"best_epoch": float(chosen.best_epoch)},
    )


def _fit(
    network: InterestNetwork,
    recipe: Recipe,
    run: Run,
    watches: WatchLog,
    vocabulary: Vocabulary,
    record: ActivationRecord,
    until: datetime,
    plan: Plan,
) -> Fit:
    """Train ``network`` on what lies before ``until``."""
    config = recipe.config
    sequences = watches.sequences(until, config.sequence_length)
    examples = ExampleMaker(sequences, vocabulary, config, history_length=recipe.history_length)
    if not examples.num_users:
        raise BadInputError(
            f"nobody watched two videos before {until.isoformat()}; ingest more days, lower validation_days "
            f"(now {config.validation_days:g}) or train until a later time"
        )
    rows = torch.from_numpy(vocabulary.rows_of(sequences.video_ids))
    counts = torch.bincount(rows, minlength=vocabulary.num_rows)
    sampler = NegativeSampler(counts, config.num_negatives, config.popularity_share)
    log.info("training", until=until.isoformat(), users=examples.num_users, videos=len(vocabulary))
    return fit(
        network,
        examples,
        sampler,
        config,
        plan=plan,
        record=record,
        tracker=run.tracker,
        show_progress=run.show_progress,
    )


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
