"""Times RecBole's own training loop, with ComiRec-SA or with its SASRec; run by its environment's Python.

Data set, augmentation into (prefix, target) pairs, loader and step are the library's: ``create_dataset``,
``data_preparation`` and ``Trainer._train_epoch`` with its dense Adam. RecBole has no multi-interest model, so
ComiRec-SA is written here as a user of the library would. SASRec takes its loss over all items, as it comes.

Shape letters: B examples, L watches, K interests, D dimensions, N negatives shared by a batch.
"""

import argparse
import logging
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from recbole.config import Config
from recbole.data import create_dataset, data_preparation
from recbole.data.dataset import SequentialDataset
from recbole.data.interaction import Interaction
from recbole.model.abstract_recommender import SequentialRecommender
from recbole.model.sequential_recommender import SASRec
from recbole.trainer import Trainer
from recbole.utils import InputType
from stopwatch import TimedBatches, parser, read_watches, report, use_one_thread
from torch import Tensor, nn
from torch.nn import functional as F

LOG = "watches"
"""The library's name of the data set: its folder and the stem of its files."""


class ComirecSA(SequentialRecommender):  # type: ignore[misc]  # the library has no types
    """ComiRec-SA (Cen et al., KDD 2020, section 3.2): self-attentive pooling, the target picks its interest.

    Softmax over the target and N negatives that the batch shares; accidental hits are left out. The negatives
    are drawn evenly and their logits are not corrected.
    """

    input_type = InputType.POINTWISE

    def __init__(self, config: Config, dataset: SequentialDataset) -> None:
        super().__init__(config, dataset)
        dim = config["hidden_size"]
        self.num_negatives = config["num_negatives"]
        self.item_embedding = nn.Embedding(self.n_items, dim, padding_idx=0)
        self.position_embedding = nn.Embedding(self.max_seq_length, dim)
        self.hidden = nn.Linear(dim, 4 * dim, bias=False)
        self.attention = nn.Linear(4 * dim, config["num_interests"], bias=False)
        for table in (self.item_embedding, self.position_embedding):
            nn.init.normal_(table.weight, std=0.02)

    def forward(self, item_seq: Tensor) -> Tensor:
        """Interests (B, K, D) of histories (B, L), padded on the right."""
        items = self.item_embedding(item_seq)  # (B, L, D)
        hidden = torch.tanh(self.hidden(items + self.position_embedding.weight))  # (B, L, 4D)
        scores = self.attention(hidden).masked_fill((item_seq == 0).unsqueeze(-1), -1e9)  # (B, L, K)
        return scores.softmax(dim=1).transpose(1, 2) @ items

    def calculate_loss(self, interaction: Interaction) -> Tensor:
        """Mean loss of a batch."""
        targets = interaction[self.POS_ITEM_ID]  # (B,)
        interests = self.forward(interaction[self.ITEM_SEQ])
        target_vectors = self.item_embedding(targets)
        best = (interests @ target_vectors.unsqueeze(-1)).argmax(dim=1).squeeze(-1)  # (B,)
        users = interests[torch.arange(len(best)), best]  # (B, D)
        negatives = torch.randint(1, self.n_items, (self.num_negatives,))
        negative_logits = users @ self.item_embedding(negatives).T  # (B, N)
        negative_logits = negative_logits.masked_fill(targets.unsqueeze(1) == negatives, -1e9)
        target_logits = (users * target_vectors).sum(dim=-1, keepdim=True)
        logits = torch.cat([target_logits, negative_logits], dim=1)
        return F.cross_entropy(logits, torch.zeros_like(targets))


MODELS = {"comirec_sa": ComirecSA, "sasrec": SASRec}


def main() -> None:
    """Prepare the pairs, train until the time is up, report."""
    arguments = parser()
    arguments.add_argument("--model", choices=sorted(MODELS), default="comirec_sa")
    arguments.add_argument("--layers", type=int, default=2, help="of SASRec")
    arguments.add_argument("--heads", type=int, default=2, help="of SASRec")
    arguments.add_argument("--anomaly", choices=["on", "off"], default="off")
    options = arguments.parse_args()
    del sys.argv[1:]  # the library would take them for its own settings
    options.sequences = options.sequences.resolve()
    use_one_thread()
    # One of the library's models switches this on for the whole process when it is imported.
    torch.autograd.set_detect_anomaly(options.anomaly == "on")
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the library leaves TensorBoard files where it runs
        start = time.perf_counter()
        watches, num_rows = read_watches(options.sequences, options.max_examples)
        write_log(Path(folder) / LOG, watches, num_rows)
        config = Config(model=MODELS[options.model], dataset=LOG, config_dict=settings(folder, options))
        loader, _, _ = data_preparation(config, create_dataset(config))
        prepare_seconds = time.perf_counter() - start
        batches = TimedBatches(loader, len, options.seconds)
        trainer = Trainer(config, config.model_class(config, loader.dataset).to(config["device"]))
        epoch = 0
        while not batches.is_over:
            trainer._train_epoch(batches, epoch)
            epoch += 1
        os.chdir("/")
    is_sampled = options.model == "comirec_sa"
    report(
        batches,
        ["recbole", "pandas"],
        prepare_seconds=prepare_seconds,
        prepared_examples=loader.sample_size,
        negatives=f"{options.negatives} shared by a batch" if is_sampled else "all items",
        model=options.model,
        anomaly=options.anomaly,
    )


def write_log(folder: Path, watches: pd.DataFrame, num_rows: int) -> None:
    """The library's atomic files; all items are listed, so that its table has ``num_rows`` rows."""
    folder.mkdir()
    types = {"user_id": "token", "item_id": "token", "timestamp": "float"}
    header = [f"{name}:{kind}" for name, kind in types.items()]
    watches.to_csv(folder / f"{LOG}.inter", sep="\t", index=False, columns=list(types), header=header)
    items = pd.DataFrame({"item_id:token": range(1, num_rows)})
    items.to_csv(folder / f"{LOG}.item", sep="\t", index=False)


def settings(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """What differs from the library's defaults."""
    return {
        "data_path": folder,
        "checkpoint_dir": folder,
        "load_col": {"inter": ["user_id", "item_id", "timestamp"], "item": ["item_id"]},
        "use_gpu": False,
        "show_progress": False,
        "MAX_ITEM_LIST_LENGTH": options.length,
        "train_batch_size": options.batch,
        "train_neg_sample_args": None,
        "hidden_size": options.dim,
        "inner_size": 4 * options.dim,
        "num_interests": options.interests,
        "num_negatives": options.negatives,
        "n_layers": options.layers,
        "n_heads": options.heads,
    }


if __name__ == "__main__":
    main()
