"""The graph of consecutive watches, and walks that have the chances of the paper."""

import numpy as np
import pytest
import scipy.sparse

from training.sessions import Sessions
from training.walks import Walker, watch_graph

# A triangle 0-1-2 and a tail 2-3-4; the link of 0 and 2 weighs 3.
WEIGHTS = np.zeros((6, 6))
for a, b, weight in [(0, 1, 1), (0, 2, 3), (1, 2, 1), (2, 3, 2), (3, 4, 1)]:
    WEIGHTS[a, b] = WEIGHTS[b, a] = weight


def test_videos_watched_near_each_other_in_a_session_are_linked() -> None:
    sessions = Sessions(rows=np.array([1, 2, 2, 3, 1, 3]), bounds=np.array([0, 4, 6]))
    assert watch_graph(sessions, 1, 4).toarray().tolist() == [
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 1, 0, 1],
        [0, 1, 1, 0],
    ]
    # Two apart, 1-2 (over 2) and 2-3 (over 2) come once more; 3 and 1 belong to two sessions.
    assert watch_graph(sessions, 2, 4).toarray().tolist() == [
        [0, 0, 0, 0],
        [0, 0, 2, 1],
        [0, 2, 0, 2],
        [0, 1, 2, 0],
    ]


@pytest.mark.parametrize(("p", "q"), [(1.0, 1.0), (0.25, 4.0), (4.0, 0.5)])
def test_steps_have_the_chances_of_the_paper(p: float, q: float) -> None:
    walker = Walker(scipy.sparse.csr_array(WEIGHTS), p=p, q=q)
    paths = walker.walk(np.repeat(np.arange(5), 20_000), 4, np.random.default_rng(1))
    assert (WEIGHTS[paths[:, :-1], paths[:, 1:]] > 0).all(), "every step follows a link"
    for before in range(5):
        for at in np.flatnonzero(WEIGHTS[before]):
            factor = np.where(WEIGHTS[before] > 0, 1, 1 / q)
            factor[before] = 1 / p
            expected = WEIGHTS[at] * factor / (WEIGHTS[at] * factor).sum()
            for step in (1, 2):
                came = (paths[:, step - 1] == before) & (paths[:, step] == at)
                shares = np.bincount(paths[came, step + 1], minlength=6) / came.sum()
                # Five standard errors of a share.
                assert shares == pytest.approx(expected, abs=2.5 / np.sqrt(came.sum())), (before, at)


def test_the_first_step_goes_by_weight_and_seeds_fix_walks() -> None:
    walker = Walker(scipy.sparse.csr_array(WEIGHTS), p=0.5, q=2.0)
    starts = np.zeros(20_000, dtype=np.int64)
    paths = walker.walk(starts, 3, np.random.default_rng(5))
    assert (paths[:, 1] == 2).mean() == pytest.approx(3 / 4, abs=0.02)
    assert np.array_equal(paths, walker.walk(starts, 3, np.random.default_rng(5)))
