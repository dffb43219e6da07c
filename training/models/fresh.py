"""Fresh: new videos that have few plays yet, for users who lean to their uploader, their tags, or their like.

What others learn from plays says nothing of a new video, and so they do not find it. A watched video speaks
for a new one by the cosine of their vectors, where an item encoder gives both some; else by

    (uploader_weight * same uploader + tag_weight * cosine of the tags) / (uploader_weight + tag_weight).

Shape letters: V curated videos, C new videos, S videos of histories, D dimensions.
"""

from collections.abc import Callable

import numpy as np
import structlog
from jaxtyping import Float, Float32, Int64
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

from features.bundle import ITEM_ENCODER, Bundle, open_bundle
from features.errors import BadInputError
from features.item_encoder import encode_videos
from features.trend import has_trend
from training.config import ModelConfig, Share
from training.kin import Curated, kin_pairs, trained_kin
from training.models import Run, Trained

log = structlog.get_logger(__name__)


class FreshConfig(ModelConfig):
    """What is new, and what makes it fit a user."""

    new_days: PositiveFloat = 7.0
    """Age up to which a video is new, since it was published, else since a snapshot first listed it."""
    max_plays: PositiveInt = 100
    """A video with as many plays is left to the other channels."""
    plain_weight: Share = 0.3
    """Weight in a history of a watch that is neither a positive nor a dislike; a positive weighs 1."""
    uploader_weight: NonNegativeFloat = 1.0
    """Of having the same uploader."""
    tag_weight: NonNegativeFloat = 1.0
    """Of having the same tags."""
    vectors: str = ""
    """Bundle whose item encoder gives vectors: ``<model>/<version>``, or ``<model>`` for its newest."""
    num_neighbours: PositiveInt = 100
    """New videos that one watched video speaks for."""

    @model_validator(mode="after")
    def _something_counts(self) -> "FreshConfig":
        if not self.uploader_weight + self.tag_weight:
            raise ValueError("uploader_weight and tag_weight are both 0; one at least must count")
        return self


Config = FreshConfig


def train(config: FreshConfig, run: Run) -> Trained:
    """New videos before ``run.until`` and what speaks for them.

    Raises:
        BadInputError: there is no bundle of the name in ``vectors``, or it has no item encoder.
    """
    curated = Curated.read(config, run)
    is_new = (curated.age_days <= config.new_days) & (curated.plays < config.max_plays) & curated.is_online
    new = np.flatnonzero(is_new)
    new = new[np.lexsort((curated.age_days[new], -curated.plays[new]))]
    log.info("new videos", videos=len(new), of=len(curated.ids))
    by_kin = kin_weights(curated, new, config)
    if not config.vectors:
        return trained_kin(curated, new, kin_pairs(curated, new, by_kin, config.num_neighbours))
    vectors = unit_vectors(named_bundle(config.vectors, run), curated)

    def weights_of(places: Int64[np.ndarray, " S"]) -> Float[np.ndarray, "S C"]:
        cosines = np.maximum(vectors[places] @ vectors[new].T, 0)
        have_vectors = vectors[places].any(axis=1)[:, None] & vectors[new].any(axis=1)
        return np.where(have_vectors, cosines, by_kin(places))

    return trained_kin(curated, new, kin_pairs(curated, new, weights_of, config.num_neighbours))


def kin_weights(
    curated: Curated, new: Int64[np.ndarray, " C"], config: FreshConfig
) -> Callable[[Int64[np.ndarray, " S"]], Float[np.ndarray, "S C"]]:
    """How much videos speak for the new ones by uploader and tags: 0 to 1."""
    uploaders, tags = curated.uploaders(), curated.tags()
    total = config.uploader_weight + config.tag_weight

    def weights_of(places: Int64[np.ndarray, " S"]) -> Float[np.ndarray, "S C"]:
        same_uploader = (uploaders[places] @ uploaders[new].T).toarray()
        same_tags = (tags[places] @ tags[new].T).toarray()
        return (config.uploader_weight * same_uploader + config.tag_weight * same_tags) / total

    return weights_of


def named_bundle(name: str, run: Run) -> Bundle:
    """The bundle ``<model>/<version>``, or the newest of ``<model>``.

    Raises:
        BadInputError: there is none, or it has no item encoder.
    """
    assert run.bundles is not None
    folder = run.bundles / name
    if "/" not in name:
        versions = sorted(path for path in folder.glob("*") if not path.name.startswith("."))
        folder = versions[-1] if versions else folder
    if not (folder / ITEM_ENCODER).is_file():
        raise BadInputError(f"vectors={name} names no bundle with an item encoder in {run.bundles}")
    return open_bundle(folder)


def unit_vectors(bundle: Bundle, curated: Curated) -> Float32[np.ndarray, "V D"]:
    """Of every curated video, without the trend; zeros where the encoder knows nothing."""
    vectors = encode_videos(bundle, curated.videos)
    vectors = vectors[:, : vectors.shape[1] - has_trend(bundle)]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(lengths, np.finfo(np.float32).tiny)).astype(np.float32)
