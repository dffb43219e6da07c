"""Caps, dislikes and shares on the real path of a small simulated home: online as offline, and at once."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from features.impressions import shown_on
from features.ingest import ingest
from features.merge_config import ImpressionCap, MergeConfig, Penalty
from features.positives import Action
from features.recent import RecentWatch
from features.schema import EXPOSURES
from features.settings import Settings
from features.store import FeatureStore
from serving.publish import publish
from serving.recall import open_recaller
from serving.settings import ServingSettings
from tests.serving import test_union_parity as parity
from tests.serving.test_union_parity import AS_OF, CONFIG, LAST_DAY, NEW_USERS, ids_offline, ids_online

pytestmark = [pytest.mark.server, pytest.mark.slow]
home, bundles = parity.home, parity.bundles  # the same fixtures, made anew for this file

UNUSED = dict.fromkeys(("item_cf", "pinnersage", "fresh", "followed"), 0.0)


def show(home: Settings, users: list[int], lists: dict[int, list[int]], times: int) -> None:
    """These lists were shown so often an hour before the end: in the lake, and counted online."""
    moment = AS_OF - timedelta(hours=1)
    folder = home.landing / EXPOSURES / LAST_DAY
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"request_id": f"{user}-{i}", "user_id": user, "video_id": video, "rank": rank}
        | {"event_time": moment.isoformat()}
        for user in users
        for i in range(times)
        for rank, video in enumerate(lists[user])
    ]
    (folder / "shown.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest([LAST_DAY], settings=home)
    counted = {user: [shown_on(lists[user][:5], moment)] * times for user in users}
    FeatureStore(home).push_shown(counted)


def test_caps_penalties_and_shares_are_the_same_offline_and_online(
    home: Settings, bundles: list[Path], milvus: ServingSettings
) -> None:
    merge = MergeConfig(weights=UNUSED | {"interests": 0.6, "item_cf": 0.4}, depth=60, min_share=0.2)
    penalty, cap = Penalty(uploader_penalty=0.9, tag_penalty=0.9), ImpressionCap(max_shown=2, shown_ranks=5)
    users = [*range(CONFIG.num_users), NEW_USERS[1]]
    plain = merge.model_copy(update={"penalty": Penalty(uploader_penalty=0.0, tag_penalty=0.0)})
    publish(bundles, settings=home, merge=plain, serving_settings=milvus)
    before = ids_online(open_recaller(home, milvus), users)
    ruled = merge.model_copy(update={"penalty": penalty, "cap": cap})
    publish(bundles, settings=home, merge=ruled, serving_settings=milvus)
    penalised = ids_online(open_recaller(home, milvus), users)
    assert penalised == ids_offline(home, users)
    assert any(penalised[user] != before[user] for user in users), "somebody disliked something"
    show(home, users[::2], penalised, times=2)
    capped = ids_online(open_recaller(home, milvus), users)
    assert capped == ids_offline(home, users)
    for place, user in enumerate(users):
        assert (place % 2 == 0) == bool(set(penalised[user][:5]) - set(capped[user]))


def test_a_dislike_that_was_pushed_changes_the_next_recall(
    home: Settings, bundles: list[Path], milvus: ServingSettings
) -> None:
    merge = MergeConfig(
        weights=UNUSED | {"interests": 1.0}, penalty=Penalty(uploader_penalty=2.0, tag_penalty=0.0)
    )
    publish(bundles, settings=home, merge=merge, serving_settings=milvus)
    recaller, user = open_recaller(home, milvus), 3
    first = recaller.recall(user, 100).candidates
    uploaders = [candidate.uploader for candidate in first]
    disliked = next(c for i, c in enumerate(first[:20]) if c.uploader in uploaders[i + 1 : 40])
    moment = int(AS_OF.timestamp() * 1e6)
    watch = RecentWatch(moment, "dislike", disliked.video_id, int(Action.DISLIKED))
    FeatureStore(home).push({user: [watch]})
    second = recaller.recall(user, 100).candidates
    ranks = {candidate.video_id: rank for rank, candidate in enumerate(second)}
    assert disliked.video_id not in ranks
    of_uploader = [c.video_id for c in first if c.uploader == disliked.uploader and c != disliked]
    last_other = max(ranks[c.video_id] for c in first[:40] if c.uploader != disliked.uploader)
    assert all(ranks.get(video, 1000) > last_other for video in of_uploader)
