"""Skip-gram: what comes together is near from input to output, and a seed gives the same bits."""

from collections.abc import Iterator

import numpy as np
import pytest

from features.errors import BadInputError
from training.skip_gram import SkipGramConfig, skip_gram

CONFIG = SkipGramConfig(dim=8, epochs=30, window=3, num_negatives=3)


class Fixed:
    """The same sequences in each epoch; of a corpus with a seed, others in the same order each time."""

    def __init__(self, sequences: list[list[int]]) -> None:
        self._sequences = sequences

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter([np.array(sequence) for sequence in self._sequences])


SEQUENCES = [[1, 2, 1, 2], [3, 4, 3, 4]] * 40
COUNTS = np.array([0.0, 80, 80, 80, 80, 0])


def test_videos_of_one_sequence_score_above_others_from_input_to_output() -> None:
    inputs, outputs = skip_gram(Fixed(SEQUENCES), COUNTS, CONFIG)
    scores = inputs @ outputs.T
    assert scores[1, 2] > scores[1, 3] + 1
    assert scores[3, 4] > scores[3, 1] + 1
    assert not inputs[[0, 5]].any(), "neither padding nor a video without a sequence has a vector"
    assert not outputs[[0, 5]].any()


def test_a_seed_gives_the_same_vectors() -> None:
    first, again = (skip_gram(Fixed(SEQUENCES), COUNTS, CONFIG) for _ in range(2))
    other = skip_gram(Fixed(SEQUENCES), COUNTS, CONFIG.model_copy(update={"seed": 8}))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[0], other[0])


def test_without_noise_by_popularity_the_popular_video_scores_higher() -> None:
    # With 1 comes 2 three times out of four, else 3. gensim leaves out negatives that are the target itself:
    # 2 is a negative only beside 3, so its odds are (3/4) / (1/4 noise), those of 3 (1/4) / (3/4 noise).
    # With uniform noise they are ln 9 apart; noise by popularity draws 2 three times as often: ln 9 - ln 3.
    sequences = [[1, 2], [1, 3], [1, 2], [1, 2]] * 100
    counts = np.array([0.0, 400, 300, 100])
    apart = []
    for power in (0.0, 1.0):
        config = SkipGramConfig(
            dim=4, epochs=60, window=1, num_negatives=5, noise_power=power, learning_rate=0.1
        )
        inputs, outputs = skip_gram(Fixed(sequences), counts, config)
        apart.append(float(inputs[1] @ (outputs[2] - outputs[3])))
    assert apart == pytest.approx([np.log(9), np.log(3)], abs=0.3)


def test_no_sequence_at_all_is_refused() -> None:
    with pytest.raises(BadInputError, match="ingest more days"):
        skip_gram(Fixed([]), np.zeros(3), CONFIG)
