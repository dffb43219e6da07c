"""The map of videos with one user on it, as a Plotly figure.

Shape letters: S videos on the map, N any videos, D dimensions.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from jaxtyping import Float, Float32

from serving.pages.layout import COLOURS
from serving.pages.look import Shown
from serving.recall import Recaller
from serving.result import Interest
from serving.video_map import VideoMap

if TYPE_CHECKING:
    from plotly.graph_objects import Figure, Scatter

NUM_GROUPS: Final = len(COLOURS)
"""Tags or categories with a colour of their own."""
OTHERS: Final = "others"
GREY: Final = "#8a93a1"


def map_figure(
    found: VideoMap,
    recaller: Recaller,
    videos: Mapping[int, Shown],
    watched: Sequence[int],
    interests: Sequence[Interest],
) -> "Figure":
    """Videos coloured by tag or category, the history as rings, each searched interest as a numbered diamond.

    Args:
        videos: what those of the map and of the history are called.
        watched: videos of the history.
    """
    from plotly import graph_objects

    made = graph_objects.Figure(layout=_layout())
    groups = _groups([videos[int(video_id)] for video_id in found.video_ids])
    for place, name in enumerate([*sorted(set(groups) - {OTHERS}), OTHERS]):
        chosen = np.flatnonzero(np.array(groups) == name)
        if not len(chosen):
            continue
        colour = GREY if name == OTHERS else COLOURS[place % len(COLOURS)]
        marker = {"color": colour, "size": 6, "opacity": 0.6, "line": {"width": 0}}
        texts = [_hover(videos[int(found.video_ids[i])]) for i in chosen]
        made.add_trace(_points(found.places[chosen], texts, name, marker))
    of_map = _units(recaller, found.video_ids.tolist())
    if watched:
        rings = {"color": "#d2506a", "size": 11, "symbol": "circle-open", "line": {"width": 2}}
        texts = [_hover(videos[video_id]) for video_id in watched]
        made.add_trace(_points(found.place(_units(recaller, watched), of_map), texts, "history", rings))
    searched = [each for each in interests if each.is_searched and each.nearest]
    if searched:
        made.add_trace(_diamonds(found, recaller, of_map, searched))
    return made


def _diamonds(
    found: VideoMap, recaller: Recaller, of_map: Float32[np.ndarray, "S D"], interests: Sequence[Interest]
) -> "Scatter":
    """An interest lies in the middle of the videos that its search found first."""
    from plotly import graph_objects

    places = np.array(
        [np.median(found.place(_units(recaller, each.nearest), of_map), axis=0) for each in interests]
    )
    return graph_objects.Scatter(
        x=_packed(places[:, 0]),
        y=_packed(places[:, 1]),
        mode="markers+text",
        text=[str(each.interest) for each in interests],
        textfont={"size": 13},
        hovertext=[f"interest {each.interest}, weight {each.weight:.0%}" for each in interests],
        hoverinfo="text",
        name="interests",
        marker={"symbol": "diamond", "size": 26, "color": "#111", "line": {"width": 2, "color": "#fff"}},
    )


def _groups(videos: Sequence[Shown]) -> list[str]:
    """A frequent tag of each video; its category, where few videos have such a tag."""
    by_tag = _frequent([video.tags for video in videos])
    by_category = _frequent([[video.category] if video.category else [] for video in videos])
    few_have_tags = by_tag.count(OTHERS) > len(videos) / 2
    return by_category if few_have_tags and by_category.count(OTHERS) < by_tag.count(OTHERS) else by_tag


def _frequent(names: Sequence[Sequence[str]]) -> list[str]:
    counts = Counter(name for own in names for name in own)
    frequent = {name for name, _ in counts.most_common(NUM_GROUPS)}
    return [next((name for name in own if name in frequent), OTHERS) for own in names]


def _points(
    places: Float[np.ndarray, "N 2"], texts: list[str], name: str, marker: dict[str, Any]
) -> "Scatter":
    from plotly import graph_objects

    return graph_objects.Scatter(
        x=_packed(places[:, 0]),
        y=_packed(places[:, 1]),
        mode="markers",
        hovertext=texts,
        hoverinfo="text",
        name=name,
        marker=marker,
    )


def _units(recaller: Recaller, video_ids: Sequence[int]) -> Float32[np.ndarray, "N D"]:
    """Vectors of length 1; zeros for a video that the release does not know."""
    asked = np.array([video_ids], dtype=np.int64)
    vectors = recaller.catalogue.facts(asked, True).vectors
    assert vectors is not None, "they were asked for"
    return np.asarray(vectors[0], dtype=np.float32)


def _hover(video: Shown) -> str:
    return "<br>".join(
        part for part in (video.title, f"video {video.video_id}", ", ".join(video.tags)) if part
    )


def _packed(values: Float[np.ndarray, " N"]) -> Float32[np.ndarray, " N"]:
    """Plotly sends arrays as bytes; a list would be text, and every number of it would be checked."""
    return values.astype(np.float32)


def _layout() -> dict[str, Any]:
    axis = {"visible": False}
    return {
        "margin": {"l": 8, "r": 8, "t": 8, "b": 8},
        "xaxis": axis,
        "yaxis": axis | {"scaleanchor": "x"},
        "legend": {"orientation": "h", "y": 0, "yanchor": "top", "itemsizing": "constant"},
        "hovermode": "closest",
        "dragmode": "pan",
    }
