"""How every interest model is trained: choose the epochs on the last days, train on everything, hand over.

Shape letters: U users, P attributes of users.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
import structlog
import torch
from jaxtyping import Int64

from features.bundle import INTERESTS_KIND
from features.capacity import Pruner, shares_of
from features.errors import BadInputError
from features.profile import ProfileVocabulary
from features.schema import PAD_ROW
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.checkpoint import Checkpoint, code_key, run_key
from training.config import InterestConfig
from training.dataset import WHOLE_PAST, WatchLog
from training.evaluation import Catalogue, Metrics, judge
from training.examples import examples_for
from training.export import write_interest_files
from training.items import Items
from training.loop import Context, Fit, Plan, Validate, fit
from training.models import Run, Trained
from training.network import Extractor, InterestNetwork
from training.ranked import Past
from training.ranking import InterestRanker
from training.sampling import NegativeSampler
from training.trend import trend_of
from training.trended import Trended
from training.user_profiles import UserProfiles

log = structlog.get_logger(__name__)

REFIT_PEAK: Final = 0.3
"""Learning rate of the refit, as a share of the first one: adapt, do not start over."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A model as the trainer sees it."""

    config: InterestConfig
    build: Callable[[Items, ProfileVocabulary | None], InterestNetwork]
    """The videos of the vocabulary, and the attributes of users, to a fresh network."""
    profile_features: tuple[str, ...] = ()
    """Attributes of users that the network reads."""


def train_interests(recipe: Recipe, run: Run) -> Trained:
    """Train on the watches before ``run.until`` and make the parts of an ``interests`` bundle.

    The last ``validation_days`` before it choose the best epoch; then ``refit_epochs`` more on everything, in
    smaller steps, teach the network the last days too.

    Raises:
        BadInputError: too few watches before the validation days.
        TrainingDivergedError: the loss is no number any more.
    """
    training = _Training(recipe, run)
    config, cut = recipe.config, run.until - timedelta(days=recipe.config.validation_days)
    plan = Plan(config.epochs, warmth=config.warmth, validate=training.validation(cut))
    chosen = training.fit(cut, plan, "choose")
    if config.refit_epochs:
        training.fit(run.until, Plan(config.refit_epochs, peak=REFIT_PEAK), "refit")
    return training.finish(chosen)


class _Training:
    """One network and the data that it is trained on."""

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self._recipe, self._run = recipe, run
        self._config = config = recipe.config
        torch.set_num_threads(run.num_threads)
        self._watches = WatchLog(run.lake, run.until, config.rule)
        self._vocabulary = Vocabulary(self._watches.watched_videos(run.until, config.min_watches))
        torch.manual_seed(config.seed)
        self._items = Items.of(self._vocabulary, self._watches.videos())
        self._profiles = UserProfiles.nobody()
        self._profile: ProfileVocabulary | None = None
        if recipe.profile_features:
            self._profiles = self._watches.profiles()
            self._profile = ProfileVocabulary.of(self._profiles.tokens, recipe.profile_features)
        self._network = recipe.build(self._items, self._profile)
        user_ids = self._watches.sequences(run.until, length=1).user_ids
        self._record = ActivationRecord(user_ids, config.num_interests, config.activation_half_life)
        self._checkpoints: list[Checkpoint] = []

    def fit(self, until: datetime, plan: Plan, phase: str) -> Fit:
        """Train the network on what lies before ``until``."""
        config, vocabulary = self._config, self._vocabulary
        sequences = self._watches.sequences(until, config.sequence_length)
        has_prefixes = type(self._network).route_prefixes is not InterestNetwork.route_prefixes
        examples = examples_for(
            sequences,
            vocabulary,
            config,
            has_prefixes=has_prefixes,
            profile=self._profile_rows(sequences.user_ids),
        )
        if not examples.num_users:
            raise BadInputError(
                f"nobody watched two videos before {until.isoformat()}; ingest more days, lower "
                f"validation_days (now {config.validation_days:g}) or train until a later time"
            )
        rows = torch.from_numpy(vocabulary.rows_of(sequences.video_ids))
        counts = torch.bincount(rows, minlength=vocabulary.num_rows)
        targets = torch.from_numpy(examples.target_counts(vocabulary.num_rows)) if config.in_batch else None
        sampler = NegativeSampler(counts, config.num_negatives, config.popularity_share, targets)
        log.info("training", until=until.isoformat(), users=examples.num_users, videos=len(vocabulary))
        return fit(
            self._network,
            examples,
            sampler,
            config,
            plan=plan,
            record=self._record,
            context=Context(
                self._run.tracker, self._run.group, self._checkpoint(phase), self._run.show_progress
            ),
        )

    def validation(self, start: datetime) -> Validate:
        """A function that judges a network on the watches from ``start`` on, as bundles are judged."""
        past = Past.read(self._watches, start)
        targets = self._watches.targets(start, self._watches.until)
        catalogue = Catalogue.read(self._watches)
        if not len(targets.keys):
            raise BadInputError(
                f"no positives from {start.isoformat()} on to validate with; raise validation_days"
            )

        def validate(network: InterestNetwork) -> Metrics:
            extractor = Extractor(network)
            ranker = InterestRanker(
                extractor.as_extract(),
                self._vocabulary,
                extractor.table.numpy()[PAD_ROW + 1 :],
                history_length=self._config.history_length,
                pruner=Pruner(shares_of(self._record.counts)),
                profile=self._profile,
            )
            return judge(ranker, past, targets, catalogue).metrics

        return validate

    def finish(self, chosen: Fit) -> Trained:
        """The parts of the bundle; the checkpoints go once its files are written."""
        config = self._config
        facts: Metrics = {
            "best_epoch": float(chosen.best_epoch),
            "examples_per_second": chosen.examples_per_second,
        }
        return Trained(
            kind=INTERESTS_KIND,
            source=self._watches.source(),
            num_videos=len(self._vocabulary),
            write_files=self._write,
            num_interests=config.num_interests,
            dim=config.dim + (config.trend.power > 0),
            history_length=config.history_length,
            metrics=chosen.metrics | facts,
        )

    def _write(self, folder: Path) -> None:
        write_interest_files(
            folder,
            self._with_trend(),
            self._vocabulary,
            self._watches.videos(),
            self._record,
            fields=self._items.values,
            profile=self._profile,
            history_length=self._config.history_length,
        )
        for checkpoint in self._checkpoints:
            checkpoint.remove()

    def _with_trend(self) -> InterestNetwork:
        config, until = self._config, self._run.until
        if config.trend.power == 0:
            return self._network
        everything = self._watches.sequences(until, WHOLE_PAST)
        return Trended(self._network, trend_of(everything, self._vocabulary, until, config.trend))

    def _profile_rows(self, user_ids: Int64[np.ndarray, " U"]) -> Int64[np.ndarray, "U P"] | None:
        if self._profile is None:
            return None
        return self._profile.rows_of(self._profiles.tokens_of(user_ids))

    def _checkpoint(self, phase: str) -> Checkpoint | None:
        if self._run.checkpoints is None:
            return None
        source = self._watches.source().model_dump(mode="json")
        name = f"{type(self._network).__name__}-{phase}"
        key = run_key(name, self._config.model_dump(mode="json"), source, code_key())
        checkpoint = Checkpoint(self._run.checkpoints / f"{name}-{key}.npz", self._run.checkpoint_seconds)
        self._checkpoints.append(checkpoint)
        return checkpoint
