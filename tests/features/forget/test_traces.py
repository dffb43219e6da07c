"""Ids go from logs that somebody still writes."""

from features.forget.traces import mask_logs
from features.forget.users import Users
from features.settings import Settings

TEXT = """\
look-up of user 7 failed
features unavailable user_id=7 error=busy
e.g. {'event_id': 'a', 'user_id': '7', 'video_id': '7'}
{"event": "failed: {\\\\"user_id\\\\": \\\\"7\\\\"}"}
user 77 has 7 watches
"""


def test_ids_beside_the_word_user_are_overwritten_in_place(settings: Settings) -> None:
    log = settings.root / "airflow" / "logs" / "run" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text(TEXT)
    with log.open("a") as writer:
        assert mask_logs(Users(frozenset({7})), settings) == 4
        writer.write("goes on\n")
    assert (
        log.read_text()
        == """\
look-up of user * failed
features unavailable user_id=* error=busy
e.g. {'event_id': 'a', 'user_id': '*', 'video_id': '7'}
{"event": "failed: {\\\\"user_id\\\\": \\\\"*\\\\"}"}
user 77 has 7 watches
goes on
"""
    )
