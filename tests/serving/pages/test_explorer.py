"""The explorer in a real Chromium, over real releases in Milvus Lite."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from features.experiment import start_experiment, stop_experiment
from features.landing_log import LandingLog
from features.merge_config import Arrangement
from features.release import open_registry
from features.schema import EXPOSURES
from features.settings import Settings
from serving.exposures import ExposureLog
from serving.metrics import Metrics
from serving.pages.explorer import ANSWER_ONLY, TROUBLES, LookQuery
from serving.result import Reason
from serving.settings import ServingSettings
from serving.video_map import draw_map, read_map
from tests.browser import PHONE, OpenPage, scrolls_sideways, serious_findings
from tests.serving.pages.home import COOK, DURATION, FAN, SECONDS, STRANGER, Home, a_home, served, write_truth
from tests.serving.users import BrokenStore, timed

pytestmark = pytest.mark.server
BROWSER = {"accept": "text/html"}


@pytest.fixture(scope="module")
def home(milvus_lite: ServingSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    settings = Settings(home=tmp_path_factory.mktemp("explored"))
    log = ExposureLog(LandingLog(settings, EXPOSURES), Metrics())
    with a_home(settings, milvus_lite, log) as home:
        yield home


def listed(page: Page, place: int = 0) -> list[str]:
    """Video ids of a list, best first."""
    rows = page.locator("table[data-list]").nth(place).locator("[data-video]")
    return [str(row.get_attribute("data-video")) for row in rows.all()]


def test_a_user_is_searched_opened_and_asked_again_without_a_mouse(home: Home, open_page: OpenPage) -> None:
    page = open_page(f"{home.url}/explore")
    page.get_by_label("User id").focus()
    page.keyboard.type(str(COOK))
    page.keyboard.press("Enter")
    expect(page).to_have_url(home.user(COOK))
    # Scores of video 10's vector: .9, .6, .2, 0; tags of 30 and 50 begin with 1, those of 40 and 20 with 2.
    assert listed(page) == ["30", "50", "40", "20"]
    page.get_by_label("Category diversity").focus()
    page.keyboard.press("End")
    expect(page.locator("#told")).to_have_text("The list was made again, 4 rows.")
    # Each other category chosen before adds 1: 40 (.22 + 1) goes before 50 (.67).
    assert listed(page) == ["30", "40", "50", "20"]
    expect(page.get_by_label("Category diversity")).to_be_focused()
    assert "category_diversity=1" in page.url


def test_what_was_asked_for_finely_stays_until_a_hand_moves_it(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(COOK, "category_diversity=0.0035"))
    expect(page.get_by_text("category diversity 0.0035")).to_be_visible()
    page.get_by_label("Candidates").fill("3")
    page.get_by_label("Candidates").blur()
    expect(page.locator("#told")).to_have_text("The list was made again, 3 rows.")
    assert "category_diversity=0.0035" in page.url
    page.get_by_label("Category diversity").press("ArrowRight")
    expect(page.locator("output[for=category_diversity]")).to_have_text(re.compile(r"^0\.\d{2,3}$"))


def test_why_nothing_is_compared_is_said_also_with_script(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(COOK))
    page.evaluate("document.querySelector('#against').append(new Option('gone', 'gone'))")
    page.get_by_label("Compare with").select_option("gone")
    expect(page.get_by_text("release gone is not kept")).to_be_visible()
    page.context.set_offline(True)
    page.get_by_label("Compare with").select_option("nothing")
    expect(page.get_by_text("The service did not answer.")).to_be_visible()
    page.context.set_offline(False)


def test_the_form_works_without_script(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(COOK), script=False)
    page.get_by_label("Candidates").fill("2")
    page.get_by_role("button", name="Ask again").click()
    assert "top_n=2" in page.url
    assert listed(page) == ["30", "50"]
    page.get_by_role("link", name="As released").click()
    assert page.url == home.user(COOK)


def test_history_and_interests_are_told_in_words(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(FAN))
    expect(page.locator(".watch h3")).to_have_text(["Soup for a week", "Every free kick"])
    kick = page.locator(".watch").nth(1)
    expect(kick).to_contain_text(f"{100 * SECONDS / DURATION:.0f} % watched")
    expect(kick.locator(".badge")).to_have_text(["positive", "liked"])
    expect(page.locator(".watch").nth(0)).not_to_contain_text("% watched")
    cards = page.locator(".card.interest")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("searched")
    # One positive each, smoothed by 32 at the even share: (1 + 16) / 34; the bound is .6 / 2.
    expect(cards.nth(0)).to_contain_text("Share 50 % (smoothed), 30 % suffice.")
    expect(cards.nth(0)).to_contain_text("by 1 positive of the history")
    expect(page.locator("[data-video='50'] .what")).to_contain_text("<b>Stadium</b> food")
    expect(page.get_by_text("Planted and found")).to_have_count(0)


def test_two_releases_stand_side_by_side(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(COOK))
    page.get_by_label("Compare with").select_option(home.first)
    expect(page.get_by_role("heading", name="The two lists")).to_be_visible()
    # In the older release 50 is as near to 10 as can be.
    assert (listed(page, 0)[0], listed(page, 1)[0]) == ("30", "50")
    expect(page.locator("#answer .figures dd")).to_have_text(["4 of 4", "4 of 4", "0", "0"])
    differs = page.get_by_role("region", name="What differs")
    expect(differs).to_contain_text(re.compile(r"bundle of interests\s*tiny/v2\s*tiny/v1"))
    row = page.locator("table[data-list]").nth(1).locator("[data-video='50']")
    expect(row).to_contain_text("#2")
    assert not serious_findings(page)
    gone = open_page(home.user(COOK, "against=gone"))
    expect(gone.get_by_text("release gone is not kept")).to_be_visible()
    assert listed(gone) == ["30", "50", "40", "20"]


def test_an_arm_of_a_running_experiment_stands_beside_the_own_one(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:
    merge = tmp_path / "merge.json"
    merge.write_text('{"arrange": {"category_diversity": 1}}')
    registry = open_registry(home.settings)
    start_experiment(registry, "variety", ["a:.5", f"b:.5:merge={merge}"])
    home.live.refresh()
    try:
        page = open_page(home.user(COOK, "top_n=2"))
        expect(page.get_by_text("Takes part in the experiment as arm a.")).to_be_visible()
        page.get_by_label("Compare with").select_option("arm:b")
        expect(page.get_by_role("heading", name="The two lists")).to_be_visible()
        assert "against=arm%3Ab" in page.url
        # As when the slider is moved: 40, of another category than 30, goes before 50.
        assert (listed(page, 0), listed(page, 1)) == (["30", "50"], ["30", "40"])
        expect(page.locator("#answer .figures dd")).to_have_text(["1 of 2", "1 of 2", "1", "1"])
        differs = page.get_by_role("region", name="What differs").locator("tbody tr")
        expect(differs).to_have_text([re.compile(r"category_diversity\s*0.0\s*1.0")])
        # 50 has the tags 1 and 2, 40 only 2.
        tags = page.get_by_role("region", name="Videos by tag").locator("tbody tr")
        expect(tags).to_have_text([re.compile(r"tag 1\s*2\s*1\s*-1")])
        expect(page.locator("table[data-list]").nth(0).locator("[data-video='50']")).to_contain_text(
            "only here"
        )
        expect(page.locator("table[data-list]").nth(1).locator("[data-video='30']")).to_contain_text(
            "#1 there"
        )
        assert not serious_findings(page)
    finally:
        stop_experiment(registry)
        home.live.refresh()
    expect(open_page(home.user(COOK, "against=arm:b")).get_by_text("no arm b takes part now")).to_be_visible()


def test_an_unknown_user_gets_popular_videos_and_a_word(home: Home, open_page: OpenPage) -> None:
    page = open_page(home.user(STRANGER))
    expect(page.get_by_text(TROUBLES[Reason.UNKNOWN_USER])).to_be_visible()
    expect(page.get_by_text("No watches are known of this user.")).to_be_visible()
    assert listed(page)[0] == "50"
    assert not serious_findings(page)


def test_what_is_no_user_id_is_said_beside_the_field(home: Home, open_page: OpenPage) -> None:
    page = open_page(f"{home.url}/explore?user=anna")
    expect(page.get_by_role("alert")).to_contain_text("'anna' is no user id")
    expect(page.get_by_label("User id")).to_have_value("anna")
    assert not serious_findings(page)


def test_without_a_release_the_page_says_what_to_do(settings: Settings, open_page: OpenPage) -> None:
    with served(settings, ServingSettings(), timed()) as (url, _, _):
        for address in (f"{url}/explore", f"{url}/explore/{FAN}"):
            page = open_page(address)
            expect(page.get_by_text("run `facet publish BUNDLE`")).to_be_visible()
            assert not serious_findings(page)
        told = httpx.get(f"{url}/explore/{FAN}", headers=BROWSER)
        assert (told.status_code, told.headers["content-type"][:9]) == (503, "text/html")


def test_a_store_that_is_down_is_said(home: Home, milvus_lite: ServingSettings, open_page: OpenPage) -> None:
    broken = timed()
    broken._inner = BrokenStore()
    with served(home.settings, milvus_lite, broken) as (url, _, _):
        page = open_page(f"{url}/explore/{FAN}")
        expect(page.get_by_text(TROUBLES[Reason.FEATURES_UNAVAILABLE])).to_be_visible()


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_phone_needs_no_sideways_scroll(home: Home, open_page: OpenPage, dark: bool) -> None:
    for query in ("", f"against={home.first}"):
        page = open_page(home.user(FAN, query), size=PHONE, dark=dark)
        assert not scrolls_sideways(page)
        assert not serious_findings(page)
    page = open_page(f"{home.url}/explore", size=PHONE, dark=dark)
    assert not scrolls_sideways(page)
    assert not serious_findings(page)


def test_dark_mode_is_dark(home: Home, open_page: OpenPage) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    colours = [open_page(home.user(FAN), dark=dark).evaluate(ground) for dark in (False, True)]
    light, dark = (sum(map(int, re.findall(r"\d+", colour))) / 3 for colour in colours)
    assert (light > 200, dark < 60) == (True, True)


def test_the_map_is_drawn_once_and_shown(home: Home, open_page: OpenPage) -> None:
    expect(open_page(home.user(FAN)).get_by_text("Nobody drew the map")).to_be_visible()
    bundle = home.live.recaller.release.bundles["interests"]
    path = draw_map(home.settings)
    drawn = path.read_bytes()
    assert draw_map(home.settings).read_bytes() == drawn
    found = read_map(home.settings, bundle)
    assert found is not None
    assert sorted(found.video_ids.tolist()) == [10, 20, 30, 40, 50]
    page = open_page(home.user(FAN))
    expect(page.locator(".figure .main-svg").first).to_be_visible()
    names = page.locator(".figure .legendtext").all_text_contents()
    assert {"tag 1", "tag 2", "history", "interests"} <= set(names)
    assert not serious_findings(page)
    part = httpx.get(home.user(FAN), headers=BROWSER | {ANSWER_ONLY: "1"}).text
    assert ("data-list" in part, 'class="figure"' in part) == (True, False)
    path.unlink()


def test_planted_interests_stand_beside_the_found_ones(home: Home, open_page: OpenPage) -> None:
    write_truth(home.settings)
    page = open_page(home.user(FAN))
    rows = page.get_by_role("region", name="Planted and found").locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("cooking grilling, grilling")
    expect(rows.nth(0)).to_contain_text("50 %")
    expect(rows.nth(0)).to_contain_text("interest 0")
    expect(rows.nth(1)).to_contain_text("interest 1")
    expect(rows.nth(2)).to_contain_text("no interest")
    expect(page.locator("[data-video='30']")).to_contain_text("grilling")
    assert not serious_findings(page)


def test_looks_are_neither_counted_nor_recorded(home: Home) -> None:
    before = home.metrics.render()
    assert httpx.get(home.user(FAN), headers=BROWSER).status_code == 200
    assert [line for line in home.metrics.render().splitlines() if line.startswith(b"facet_requests")] == [
        line for line in before.splitlines() if line.startswith(b"facet_requests")
    ]
    assert not list((home.settings.landing / EXPOSURES).rglob("*"))
    assert not list(home.settings.spool.rglob("*.*"))


def test_a_wrong_request_is_a_page_for_browsers_and_a_problem_for_programs(home: Home) -> None:
    address = home.user(FAN, "top_n=0")
    shown, told = httpx.get(address, headers=BROWSER), httpx.get(address)
    assert (shown.status_code, told.status_code) == (422, 422)
    assert "top_n: Input should be greater than or equal to 1" in shown.text
    assert told.headers["content-type"] == "application/problem+json"


def test_every_reason_has_words() -> None:
    assert set(TROUBLES) == set(Reason)


def test_an_unchanged_form_leaves_every_release_its_own_arrangement() -> None:
    released = Arrangement(category_diversity=0.1, max_per_uploader=3)
    same = LookQuery.model_validate({"category_diversity": "0.1", "max_per_uploader": "3", "max_per_tag": ""})
    assert same.asked(released).arrangement is None
    lifted = LookQuery.model_validate({"max_per_uploader": ""})
    assert lifted.asked(released).arrangement == Arrangement(category_diversity=0.1)
