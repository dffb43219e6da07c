"""What differs between two answers for one user: the releases behind them, their videos, their tags."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from serving.pages.look import Look, Side

TOP: Final = 10
"""Places that a small screen shows first."""
MAX_TAGS: Final = 6


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting or bundle that is not the same."""

    name: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class TagCounts:
    """Videos with a tag in each list."""

    tag: str
    first: int
    second: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two answers beside each other."""

    num_common: int
    num_common_at_top: int
    """Of the first ``TOP`` of each list."""
    top: int
    num_only: tuple[int, int]
    differences: list[Difference]
    """Empty where both are the same release with the same merge."""
    tags: list[TagCounts]
    """Those whose numbers differ most."""


def compare(look: Look) -> Comparison:
    """The two sides of a look."""
    first, second = look.sides
    lists = [[each.video_id for each in side.result.candidates] for side in (first, second)]
    common = set(lists[0]) & set(lists[1])
    return Comparison(
        num_common=len(common),
        num_common_at_top=len(set(lists[0][:TOP]) & set(lists[1][:TOP])),
        top=min(TOP, max(map(len, lists))),
        num_only=(len(lists[0]) - len(common), len(lists[1]) - len(common)),
        differences=_differences(first, second),
        tags=_tags(look, lists),
    )


def _differences(first: Side, second: Side) -> list[Difference]:
    mine, theirs = _facts(first), _facts(second)
    names = dict.fromkeys([*mine, *theirs])
    pairs = [Difference(name, mine.get(name, "none"), theirs.get(name, "none")) for name in names]
    return [pair for pair in pairs if pair.first != pair.second]


def _facts(side: Side) -> dict[str, str]:
    """What answered: release, bundles by channel, every field of the merge."""
    release = side.recaller.release
    merge = release.merge.model_copy(update={"arrange": side.arrangement}).model_dump()
    bundles = {f"bundle of {channel}": bundle for channel, bundle in release.bundles.items()}
    return {"release": release.version} | bundles | _flat(merge)


def _flat(fields: dict[str, Any]) -> dict[str, str]:
    """Fields by their own name, as ``facet publish --merge`` takes them; weights by channel."""
    found = dict[str, str]()
    for name, value in fields.items():
        if not isinstance(value, dict):
            found[name] = "none" if value is None else str(value)
        elif name == "weights":
            found |= {f"weight of {channel}": f"{weight:g}" for channel, weight in value.items()}
        else:
            found |= _flat(value)
    return found


def _tags(look: Look, lists: list[list[int]]) -> list[TagCounts]:
    first, second = (
        Counter(tag for video_id in ids for tag in set(look.videos[video_id].tags)) for ids in lists
    )
    counts = [
        TagCounts(tag, first[tag], second[tag]) for tag in {*first, *second} if first[tag] != second[tag]
    ]
    return sorted(counts, key=lambda each: (-abs(each.first - each.second), each.tag))[:MAX_TAGS]
