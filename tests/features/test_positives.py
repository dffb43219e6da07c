import pytest

from features.lake import connect
from features.positives import Action, PositiveRule

RULE = PositiveRule(min_completion=0.5, min_seconds=18, quick_skip_seconds=3)


@pytest.mark.parametrize(
    ("long_watch", "seconds", "duration", "actions"),
    [
        (True, 1.0, 60.0, Action.POSITIVE),  # the source decides, whatever the seconds say
        (False, 59.0, 60.0, 0),
        (None, 30.0, 60.0, Action.POSITIVE),  # 18 s suffice for a long video
        (None, 17.0, 60.0, 0),
        (None, 5.0, 10.0, Action.POSITIVE),  # half of a short one
        (None, 4.9, 10.0, 0),
        (None, 18.0, None, Action.POSITIVE),  # unknown duration: the seconds decide
        (None, None, 10.0, 0),  # nothing known is nothing
        (None, 2.9, 60.0, Action.QUICK_SKIP),
        (None, 2.9, 4.0, Action.POSITIVE),  # watched to the end is no skip
    ],
)
def test_positive_and_quick_skip(
    long_watch: bool | None, seconds: float | None, duration: float | None, actions: int
) -> None:
    assert code(long_watch, seconds, duration) == actions


def test_known_actions_add_up_and_unknown_ones_do_not() -> None:
    assert code(None, 30.0, 60.0, liked=True, disliked=None) == Action.POSITIVE | Action.LIKED
    assert code(False, 9.0, 60.0, liked=False, disliked=True) == Action.DISLIKED


def code(
    long_watch: bool | None,
    seconds: float | None,
    duration: float | None,
    liked: bool | None = None,
    disliked: bool | None = None,
) -> int:
    columns = (
        "$1::BOOLEAN AS long_watch, $2::DOUBLE AS watch_seconds, $3::DOUBLE AS duration_seconds, "
        "$4::BOOLEAN AS liked, $5::BOOLEAN AS disliked, "
        "NULL::BOOLEAN AS followed, NULL::BOOLEAN AS shared, NULL::BOOLEAN AS commented"
    )
    query = f"SELECT {RULE.action_sql()} FROM (SELECT {columns})"
    [(actions,)] = connect().execute(query, [long_watch, seconds, duration, liked, disliked]).fetchall()
    return int(actions)
