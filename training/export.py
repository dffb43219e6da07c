"""The bundle of a trained network: the exported extractor, checked, and the vectors of its videos.

Shape letters: B users, L watches, K interests, D dimensions, R rows of the video table.
"""

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional as F

from features.bundle import (
    ACTIVATION,
    EXTRACTOR,
    ITEM_ENCODER,
    ITEM_FIELDS,
    ITEM_VECTORS,
    VOCABULARY,
    item_table,
)
from features.history import HistoryBatch
from features.item_encoder import VECTORS, VIDEO_ROWS, run_encoder
from features.item_fields import ItemFields
from features.positives import NUM_ACTION_BITS
from features.profile import PROFILE_VALUES, ProfileVocabulary
from features.schema import PAD_ROW
from features.trend import write_trend
from features.vocabulary import Vocabulary
from training.activation import ActivationRecord
from training.errors import ExportError
from training.network import Extractor, InterestNetwork, ItemEncoder
from training.ranking import exported_extractor
from training.trended import Trended

CHATTY_LOGGERS: Final = ("torch.onnx", "onnxscript", "onnx_ir")
"""They report every folded constant, hundreds of lines in a task's log."""
TOLERANCE: Final = 1e-5
"""Largest difference between the exported and the trained program, in coordinates of a unit vector."""


def write_interest_files(
    folder: Path,
    network: InterestNetwork,
    vocabulary: Vocabulary,
    videos: pa.Table,
    record: ActivationRecord,
    *,
    fields: ItemFields,
    history_length: int,
    profile: ProfileVocabulary | None = None,
) -> None:
    """Write the files of an ``interests`` bundle.

    Args:
        fields: rows of the values that the network reads; at least ``network.field_names``.
        profile: attributes of users that the network reads.

    Raises:
        ExportError: ONNX Runtime does not give what the network gives.
    """
    vectors = network.vectors().detach().numpy()[PAD_ROW + 1 :]
    pq.write_table(item_table(vocabulary.video_ids, vectors, videos), folder / ITEM_VECTORS)
    pq.write_table(vocabulary.to_table(), folder / VOCABULARY)
    pq.write_table(record.table(), folder / ACTIVATION)
    plain = network.network if isinstance(network, Trended) else network
    if plain.field_names:
        pq.write_table(fields.only(plain.field_names).to_table(), folder / ITEM_FIELDS)
    if isinstance(network, Trended):
        write_trend(folder, vocabulary.video_ids, network.factors)
    export_item_encoder(folder / ITEM_ENCODER, ItemEncoder(plain))
    if profile is not None:
        pq.write_table(profile.to_table(), folder / PROFILE_VALUES)
    export_extractor(
        folder / EXTRACTOR, Extractor(network), vocabulary.num_rows, history_length, profile=profile
    )


def export_extractor(
    path: Path,
    extractor: Extractor,
    num_rows: int,
    history_length: int,
    *,
    profile: ProfileVocabulary | None = None,
) -> None:
    """Write ``extractor`` as ONNX, for any number of users and watches, and check it on random histories.

    Args:
        profile: attributes of users that it reads.

    Raises:
        ExportError: ONNX Runtime does not give what PyTorch gives.
    """
    example = _random_histories(num_rows, num_users=3, length=history_length, seed=0, profile=profile)
    users, watches = torch.export.Dim("users", min=1), torch.export.Dim("watches", min=2)
    shape = {0: users, 1: watches}
    _export(
        path,
        extractor,
        {name: torch.from_numpy(part) for name, part in example.feed().items()},
        outputs=["interests", "activation"],
        dynamic_shapes=(shape, shape, shape, *([] if profile is None else [({0: users},)])),
    )
    check_export(path, extractor, num_rows, history_length, profile=profile)


def export_item_encoder(path: Path, encoder: ItemEncoder) -> None:
    """Write ``encoder`` as ONNX, for any number of videos and values, and check it.

    It has to give the table of ``encoder`` for every row, and without rows what PyTorch gives.

    Raises:
        ExportError: a vector differs by more than ``TOLERANCE``.
    """
    rows = torch.arange(len(encoder.table))
    names = encoder.network.field_names
    fields = encoder.network.field_rows(rows)
    videos = torch.export.Dim("videos", min=1)
    # A single column would be taken for a fixed one.
    inputs = {VIDEO_ROWS: rows} | {n: F.pad(f, (0, 1)) for n, f in zip(names, fields, strict=True)}
    shapes = tuple({0: videos, 1: torch.export.Dim(name, min=1)} for name in names)
    _export(path, encoder, inputs, outputs=[VECTORS], dynamic_shapes=({0: videos}, shapes)[: 1 + bool(names)])
    feed = {name: part.numpy() for name, part in zip(names, fields, strict=True)}
    with torch.inference_mode():
        cold = encoder(torch.zeros_like(rows), *fields).numpy()
    off = run_encoder(path, rows.numpy(), feed) - encoder.table.numpy()
    off_without_rows = run_encoder(path, np.zeros_like(rows), feed) - cold
    worst = np.abs(np.concatenate([off[PAD_ROW + 1 :], off_without_rows])).max()
    if not worst <= TOLERANCE:
        raise ExportError(f"{path}: vectors of ONNX and of PyTorch differ by {worst}, above {TOLERANCE}")


def check_export(
    path: Path,
    extractor: Extractor,
    num_rows: int,
    history_length: int,
    *,
    profile: ProfileVocabulary | None = None,
) -> None:
    """Compare the program at ``path`` with ``extractor``, on batches of 1 and 5 users.

    Raises:
        ExportError: they differ by more than ``TOLERANCE``.
    """
    for num_users in (1, 5):
        batch = _random_histories(
            num_rows, num_users=num_users, length=history_length, seed=num_users, profile=profile
        )
        for name, ours, theirs in zip(
            ("interests", "activation"),
            exported_extractor(path)(batch),
            extractor.as_extract()(batch),
            strict=True,
        ):
            if ours.shape != theirs.shape or not np.allclose(ours, theirs, atol=TOLERANCE, rtol=0):
                worst = np.abs(ours - theirs).max() if ours.shape == theirs.shape else "shapes"
                raise ExportError(
                    f"{path}: {name} of ONNX and of PyTorch differ by {worst}, above {TOLERANCE}"
                )


def _random_histories(
    num_rows: int, *, num_users: int, length: int, seed: int, profile: ProfileVocabulary | None
) -> HistoryBatch:
    """Padded on the left by a different width per user; the last of several users has no history."""
    random = np.random.default_rng(seed)
    padding = random.integers(0, length, (num_users, 1))
    padding[1:][-1:] = length
    real = np.arange(length) >= padding
    shape = (num_users, length)
    rows = np.where(real, random.integers(1, num_rows, shape), PAD_ROW)
    actions = np.where(real, random.integers(0, 2**NUM_ACTION_BITS, shape), 0)
    ages = np.where(real, np.sort(random.exponential(5.0, shape))[:, ::-1], 0.0)
    values = None
    if profile is not None:
        values = random.integers(0, profile.num_rows, (num_users, len(profile.names)))
    return HistoryBatch(rows, actions, ages.astype(np.float32), num_unknown=0, profile=values)


def _export(
    path: Path,
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    *,
    outputs: list[str],
    dynamic_shapes: tuple[Any, ...],
) -> None:
    """Trace ``module`` and write one file with its weights inside."""
    with _quiet():
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=outputs,
            dynamic_shapes=dynamic_shapes,
        )
        program.save(path, external_data=False)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's progress lines and its warnings about itself."""
    with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        warnings.simplefilter("ignore")
        loggers = [logging.getLogger(name) for name in CHATTY_LOGGERS]
        levels = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
