"""Times torch-rechub's own training loop with its ComirecSA; run by the Python of its own environment.

Samples, negatives, loader and step are the library's: ``generate_seq_feature_match`` in list-wise mode,
``gen_model_input``, ``MatchDataGenerator`` and ``MatchTrainer`` with its dense Adam. Where the library leaves
a choice, it is the one that favours it:

- Negatives are drawn per sample and before training, outside the clock: the library has no shared ones.
  Its in-batch mode refuses models with several interest vectors.
- ComirecSA must have a user feature. It gets one with a single value and ``USER_DIM`` numbers, not a table of
  users.
- The loader works in this process, as a second one would use a second core.
"""

import tempfile
import time
from typing import Any

import numpy as np
import pandas as pd
from stopwatch import TimedBatches, parser, read_watches, report, use_one_thread
from torch.utils.data import DataLoader
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.models.matching import ComirecSA
from torch_rechub.trainers import MatchTrainer
from torch_rechub.utils.data import MatchDataGenerator
from torch_rechub.utils.match import gen_model_input, generate_seq_feature_match

LIST_WISE = 2
"""The library's number for a softmax over the target and its negatives."""
BY_POPULARITY = 1
"""The library's number for negatives drawn by popularity to the power of 0.75."""
USER_DIM = 8


def main() -> None:
    """Prepare the samples, train until the time is up, report."""
    options = parser().parse_args()
    use_one_thread()
    np.random.seed(0)  # the library draws from the global generator
    start = time.perf_counter()
    watches, num_rows = read_watches(options.sequences, options.max_examples)
    loader = train_loader(watches, options.length, options.negatives, options.batch)
    prepare_seconds = time.perf_counter() - start
    batches = TimedBatches(loader, lambda batch: len(batch[1]), options.seconds)
    with tempfile.TemporaryDirectory() as folder:
        model = comirec(num_rows, options.dim, options.interests)
        trainer = MatchTrainer(model, mode=LIST_WISE, model_path=folder)
        while not batches.is_over:
            trainer.train_one_epoch(batches)
    report(
        batches,
        ["torch-rechub", "pandas"],
        prepare_seconds=prepare_seconds,
        prepared_examples=len(loader.dataset),
        negatives=f"{options.negatives} of each sample's own",
    )


def train_loader(watches: pd.DataFrame, length: int, negatives: int, batch: int) -> DataLoader[Any]:
    """The library's loader over (prefix, target, own negatives) samples."""
    users = pd.DataFrame({"user_id": watches["user_id"].unique(), "group": 0})
    items = pd.DataFrame({"item_id": watches["item_id"].unique()})
    train, _ = generate_seq_feature_match(
        watches,
        "user_id",
        "item_id",
        "timestamp",
        sample_method=BY_POPULARITY,
        mode=LIST_WISE,
        neg_ratio=negatives,
    )
    inputs = gen_model_input(train, users, "user_id", items, "item_id", seq_max_len=length)
    generator = MatchDataGenerator(x=inputs, y=np.zeros(len(train), dtype=np.int64))
    few = {name: values[:1] for name, values in inputs.items()}
    loader, _, _ = generator.generate_dataloader(few, {"item_id": few["item_id"]}, batch, num_workers=0)
    return loader


def comirec(num_rows: int, dim: int, interests: int) -> ComirecSA:
    """ComirecSA over one table of items, shared by histories, targets and negatives."""
    shared = {"vocab_size": num_rows, "embed_dim": dim, "pooling": "concat", "shared_with": "item_id"}
    return ComirecSA(
        user_features=[SparseFeature("group", vocab_size=1, embed_dim=USER_DIM)],
        history_features=[SequenceFeature("hist_item_id", **shared)],
        item_features=[SparseFeature("item_id", vocab_size=num_rows, embed_dim=dim)],
        neg_item_feature=[SequenceFeature("neg_items", **shared)],
        interest_num=interests,
    )


if __name__ == "__main__":
    main()
