"""The dashboard in a real browser: what people find, do and see."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from browser import User, World
from playwright.sync_api import Page, expect
from waiting import wait_until
from web_world import AWKWARD, HOSTILE, SECRET

pytest_plugins = ["browser"]

Visit = Callable[..., User]
MakeWorld = Callable[..., World]


def rows(page: Page) -> list[str]:
    """The ids of the jobs on the page."""
    expect(page.locator(".jobs tbody tr").first).to_be_visible()
    return page.locator(".jobs .id > a").all_inner_texts()


def confirm(page: Page, verb: str, reason: str = "") -> None:
    """Answer the question of an action."""
    if reason:
        page.get_by_role("dialog").get_by_role("textbox", name="Reason").fill(reason)
    page.get_by_role("dialog").get_by_role("button", name=verb, exact=True).click()
    expect(page.get_by_role("dialog")).to_be_hidden()


# -- finding --------------------------------------------------------------------------------------------------------


def test_pages_of_jobs_go_forward_and_back(user: User) -> None:
    page = user.open("jobs?sort=id")
    first = rows(page)
    assert len(first) == 100
    page.get_by_role("button", name="Later").click()
    expect(page.locator(".jobs .id > a").first).not_to_have_text(first[0])
    second = rows(page)
    assert not set(first) & set(second)
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator(".jobs .id > a").first).to_have_text(first[0])
    page.go_forward()
    expect(page.locator(".jobs .id > a").first).to_have_text(second[0])


def test_a_filter_is_in_the_address_and_stays_through_a_reload_and_a_look_at_a_job(user: User) -> None:
    page = user.open("jobs")
    page.get_by_label("Tag").select_option("calm")
    expect(page.locator(".foot")).to_contain_text("3 of 3")
    assert "tag=calm" in user.address()
    page.reload()
    assert sorted(rows(page)) == ["berlin", "calm", "counts"]
    page.get_by_role("link", name="counts").click()
    expect(page.get_by_role("heading", name="counts", level=1)).to_be_visible()
    page.go_back()
    assert sorted(rows(page)) == ["berlin", "calm", "counts"]
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(".foot")).to_contain_text("100 of 2")


def test_a_state_that_there_is_not_is_named_and_offers_no_action(user: User) -> None:
    page = user.open("jobs?state=foo&tag=calm")
    expect(page.get_by_text("The filter “foo” is unknown")).to_be_visible()
    expect(page.get_by_role("button", name="Pause…")).to_have_count(0)
    page.get_by_role("link", name="Show all jobs").click()
    rows(page)


def test_jobs_that_are_overdue_are_a_state_of_the_list(user: User) -> None:
    page = user.open("jobs")
    page.get_by_role("button", name="Overdue").click()
    expect(page.locator(".foot")).to_contain_text("1 of 1")
    assert rows(page) == ["overdue"] and "state=overdue" in user.address()
    expect(page.get_by_role("row").nth(1)).to_contain_text("overdue since")
    page.get_by_role("link", name="overdue", exact=True).click()
    expect(page.get_by_text("Overdue since")).to_be_visible()


def test_a_job_of_the_machines_start_is_due_then_and_not_in_the_year_9999(user: User) -> None:
    page = user.open("jobs?tag=start")
    expect(page.get_by_role("row").nth(1)).to_contain_text("at the next start")
    page.get_by_role("link", name="reboot", exact=True).click()
    expect(page.get_by_role("heading", name="reboot", level=1)).to_be_visible()
    expect(page.get_by_text("at the next start")).to_have_count(2)
    expect(page.locator("main")).not_to_contain_text("9999")


def test_of_several_stores_one_is_looked_at_and_the_figures_say_whose_they_are(
    make_world: MakeWorld, visit: Visit
) -> None:
    page = visit(make_world(other=3)).open("jobs?tag=calm")
    assert len(rows(page)) == 3
    expect(page.get_by_text("A process counts its runs of all stores together")).to_be_visible()
    page.get_by_label("Store").select_option("other")
    expect(page.get_by_role("button", name="All")).to_contain_text("3")
    assert sorted(rows(page)) == ["other-0", "other-1", "other-2"]
    page.get_by_role("link", name="other-1").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("other-1")


@pytest.mark.parametrize(
    ("path", "used"),
    [("failures?since=5x", "24 h"), ("load?period=5x", "24 h"), ("job?id=fails&period=5x", "1 h")],
)
def test_a_period_that_there_is_not_is_named(user: User, path: str, used: str) -> None:
    page = user.open(path)
    notice = page.get_by_text(f"The period “5x” is unknown: it is one of 1 h, 24 h, 14 d. You see {used}.")
    expect(notice).to_be_visible()
    expect(page.get_by_role("button", name=used, exact=True)).to_have_attribute("aria-pressed", "true")


def test_the_load_names_triggers_in_words(user: User) -> None:
    page = user.open("load")
    expect(page.get_by_role("cell", name="every 1 s", exact=True)).to_be_visible()


def test_a_search_finds_parts_of_ids_and_adds_no_step_for_each_letter(user: User) -> None:
    page = user.open("overview")
    page.keyboard.press("/")
    page.keyboard.type("bulk-00024", delay=30)
    expect(page.locator(".foot")).to_contain_text("10 of 10")
    assert rows(page) == [f"bulk-00024{digit}" for digit in range(10)]
    page.get_by_role("searchbox").fill("no such job")
    expect(page.get_by_text("No job matches")).to_be_visible()
    page.keyboard.press("Escape")
    page.go_back()
    assert user.address() == "overview"


def test_the_keyboard_alone_finds_opens_and_chooses_jobs(user: User) -> None:
    page = user.open("jobs?tag=calm")
    ids = rows(page)
    for key in ("j", "x", "?"):
        page.keyboard.press(key)
    expect(page.get_by_role("dialog")).to_contain_text("the next row")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.get_by_text("1 chosen")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(ids[1])
    for key in ("g", "f"):
        page.keyboard.press(key)
    expect(page).to_have_title(re.compile("Failures"))
    page.keyboard.press("t")
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.reload()
    expect(page.locator("html")).to_have_attribute("data-theme", "light")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


@pytest.mark.parametrize("job_id", [HOSTILE, AWKWARD])
def test_a_hostile_job_id_is_text_and_its_page_opens(user: User, job_id: str) -> None:
    page = user.open("jobs?sort=id&q=" + ("%3Cimg" if job_id == HOSTILE else "a/b"))
    page.get_by_role("link", name=job_id).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(job_id)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text(job_id)
    assert page.locator("img").count() == 0
    page.get_by_role("button", name="JSON").click()
    expect(page.locator("pre")).to_contain_text("metadata")
    assert SECRET not in page.content()


def test_the_next_runs_of_a_job_are_in_its_zone_and_mark_where_the_clock_changes(user: User) -> None:
    page = user.open("job?id=berlin")
    times = page.locator(".next li")
    expect(times).to_have_count(8)
    due = times.locator("time").evaluate_all("all => all.map(({dateTime}) => dateTime)")
    assert all(re.match(r"\d{4}-\d\d-01T00:30:00\+0[12]:00$", each) for each in due)  # in UTC the day before
    assert all(re.match(r"(\w{3} 1 \w{3} )?00:30:00", text) for text in times.all_inner_texts())  # no day: today
    expect(times.filter(has_text="clock change").first).to_be_visible()  # eight months have one


def test_the_output_of_a_run_comes_as_text_without_secrets_while_the_run_goes_on(user: User) -> None:
    page = user.open("runs?job=goes-on")
    page.get_by_role("link", name="run of goes-on").click()
    output = page.get_by_role("region", name="output of attempt 1")
    expect(output).to_contain_text("second 3, password=•••,")
    expect(output).to_contain_text(HOSTILE)
    assert SECRET not in page.content()
    assert page.locator("img").count() == 0


def test_a_job_shows_why_each_instant_ended_as_it_did(user: User) -> None:
    page = user.open("job?id=fails")
    expect(page.locator(".why")).to_contain_text("answer 503")
    last = page.locator(".why time").inner_text()
    page.get_by_role("listbox").focus()
    page.keyboard.press("Home")
    expect(page.locator(".why time")).not_to_have_text(last)
    assert "at=" in user.address()


def test_a_link_to_an_instant_that_the_period_does_not_have_explains_this_instant(user: User) -> None:
    page = user.open("job?id=fails&at=2026-01-02T03:04:05Z")
    expect(page.locator(".why time")).to_have_attribute("datetime", re.compile("^2026-01-02T0"))
    expect(page.locator(".why")).not_to_contain_text("answer 503")
    expect(page.get_by_role("option", selected=True)).to_have_count(0)
    page.get_by_role("listbox").press("End")
    expect(page.locator(".why")).to_contain_text("answer 503")


def test_runs_that_fail_at_once_are_in_the_chart_of_their_job(user: User) -> None:
    page = user.open("job?id=fails")
    expect(page.get_by_role("img", name="duration and lateness of the last runs")).to_be_visible()


def test_an_address_without_a_page_says_so_and_leads_to_one(world: World, visit: Visit) -> None:
    page = visit(world, refused=[404]).open("jbos")
    expect(page.get_by_text("There is no such page")).to_be_visible()
    page.get_by_role("main").get_by_role("link", name="overview").click()
    expect(page.get_by_text("Needs attention")).to_be_visible()


# -- acting ---------------------------------------------------------------------------------------------------------


def test_a_pause_with_its_reason_is_seen_by_somebody_else_at_once(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world()
    theirs = visit(world).open("jobs?tag=calm")
    row = theirs.get_by_role("row").filter(has=theirs.get_by_role("link", name="counts"))
    expect(row).to_contain_text("scheduled")
    page = visit(world).open("job?id=counts")
    page.get_by_role("button", name="Pause…").click()
    confirm(page, "Pause", "the vendor is down")
    expect(page.get_by_text("the vendor is down").first).to_be_visible()
    expect(row).to_contain_text("the vendor is down")
    page.get_by_role("button", name="Resume…").click()
    confirm(page, "Resume")
    expect(row).to_contain_text("scheduled")


def test_a_double_click_runs_a_job_once(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world()
    page = visit(world).open("job?id=counts")
    page.get_by_role("button", name="Run now…").click()
    page.get_by_role("dialog").get_by_role("button", name="Run").dblclick()
    expect(page.get_by_role("status").filter(has_text="Asked for runs of counts")).to_be_visible()
    expect(page.locator(".figure").filter(has_text="Runs")).to_contain_text("1")
    assert world.counted() == 1


def test_many_jobs_are_acted_on_only_as_many_as_the_user_has_seen(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world(jobs=150)
    page = visit(world, refused=[409]).open("jobs?tag=bulk")
    rows(page)
    page.get_by_role("button", name="Remove…").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Remove 150 jobs?")
    world.post("jobs/remove", {"filter": {"prefix": "bulk-00000"}, "expect": 10})
    dialog.get_by_label("Type 150 to confirm").fill("15")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("alert")).to_contain_text("Type 150")
    dialog.get_by_label("Type 150 to confirm").fill("150")
    dialog.get_by_role("button", name="Remove").click()
    expect(dialog.get_by_role("alert")).to_contain_text("matches 140 jobs now, not 150")
    dialog.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Remove…").click()
    expect(dialog).to_contain_text("Remove 140 jobs?")
    dialog.get_by_label("Type 140 to confirm").fill("140")
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("No job matches")).to_be_visible()


def test_a_mistake_in_the_form_is_named_as_the_form_names_the_field(world: World, visit: Visit) -> None:
    page = visit(world, refused=[400]).open("job?id=calm")
    page.get_by_role("button", name="Edit…").click()
    page.get_by_role("textbox", name="Runs at once").fill("two")
    expect(page.get_by_role("alert")).to_contain_text("Runs at once: expected a whole number")
    page.get_by_role("textbox", name="Runs at once").fill("1")
    page.get_by_label(re.compile("^Arguments")).fill('{"a": 1}')
    expect(page.get_by_role("alert")).to_contain_text("Arguments: expected a JSON list")


def test_a_next_run_time_in_the_past_is_pointed_out_before_it_is_saved(world: World, visit: Visit) -> None:
    page = visit(world).open("job?id=calm")
    page.get_by_role("button", name="Edit…").click()
    page.get_by_role("textbox", name="Next run at").fill("2020-01-01 08:00")
    warning = page.get_by_text("The next run time is past: the job is due at once")
    expect(warning).to_be_visible()
    page.get_by_role("textbox", name="Next run at").fill("now")
    expect(warning).to_have_count(0)


def test_nobody_promises_to_repeat_an_action_that_had_no_answer(world: World, visit: Visit) -> None:
    page = visit(world, refused=[502]).open("job?id=calm")
    page.route("**/jobs/pause", lambda route: route.fulfill(status=502, body="bad gateway"))
    page.get_by_role("button", name="Pause…").click()
    page.get_by_role("dialog").get_by_role("button", name="Pause", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("Look whether the change was made")


def test_of_two_who_edit_a_job_the_second_sees_what_the_first_has_changed(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world()
    first, second = (visit(world, refused=[409]).open("job?id=calm") for _ in range(2))
    for page in (first, second):
        page.get_by_role("button", name="Edit…").click()
        expect(page.get_by_role("dialog")).to_be_visible()
    first.get_by_role("textbox", name="Timeout").fill("30s")
    second.get_by_label("Schedule").select_option("every")
    second.get_by_role("textbox", name="Period").fill("15")
    expect(second.get_by_role("dialog")).to_contain_text("every 15 s: the next times")
    confirm(first, "Save")
    expect(first.locator(".options")).to_contain_text("30 s")
    wait_until(lambda: world.get("job?id=calm")["timeout"])
    second.get_by_role("button", name="Save").click()
    wait_until(lambda: not second.get_by_role("dialog").is_visible() or second.get_by_role("alert").count())
    if second.get_by_role("dialog").is_visible():  # it had not heard of the other change
        expect(second.get_by_role("alert")).to_contain_text("Somebody has changed the job")
        expect(second.get_by_role("textbox", name="Timeout")).to_have_value("30")
        second.get_by_role("button", name="Save").click()
    expect(second.get_by_text("every 15 s").first).to_be_visible()
    assert (world.get("job?id=calm")["timeout"], world.get("job?id=calm")["schedule"]) == (30, "every 15 s")


def test_a_job_that_is_removed_while_somebody_looks_leaves_its_history(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world()
    user = visit(world, refused=[404])
    jobs, job = user.open("jobs?tag=calm"), user.opened("job?id=counts")
    expect(job.get_by_role("heading", level=1)).to_have_text("counts")
    world.post("jobs/remove", {"ids": ["counts"]})
    expect(jobs.locator("tr.gone")).to_contain_text("counts")
    expect(job.get_by_text("Somebody has removed this job")).to_be_visible()


def test_users_who_may_only_look_see_no_action_and_are_refused(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world(app={"read_only": True})
    page = visit(world).open("job?id=counts")
    expect(page.get_by_role("heading", level=1)).to_have_text("counts")
    assert not page.get_by_role("button", name=re.compile("…")).count()
    page.goto(f"{world.base}/jobs?tag=calm")
    rows(page)
    page.keyboard.press("x")
    page.keyboard.press("p")
    assert not page.get_by_role("dialog").count()
    assert world.status("/api/v1/jobs/pause", "POST", {"ids": ["counts"]}) == 403


# -- when things go wrong --------------------------------------------------------------------------------------------


def test_a_page_is_live_again_when_the_server_is_back_and_loses_nothing(make_world: MakeWorld, visit: Visit) -> None:
    world = make_world()
    user = visit(world)
    page = user.open("jobs?tag=calm")
    before = rows(page)
    world.close()
    expect(page.locator(".connection.reconnecting")).to_be_visible()
    assert rows(page) == before
    back = world.restarted()
    try:
        expect(page.locator(".connection.live")).to_be_visible()
        back.post("jobs/pause", {"ids": ["counts"], "reason": "after the restart"})
        expect(page.get_by_text("after the restart")).to_be_visible()
    finally:
        back.close()
    user.told.clear()  # of connections that failed


def test_eight_tabs_share_one_stream_and_another_takes_over(make_world: MakeWorld, visit: Visit) -> None:
    user = visit(make_world())
    user.open("jobs?tag=calm")
    tabs = [user.page, *(user.opened("jobs?tag=calm") for _ in range(7))]
    for tab in tabs:
        expect(tab.locator(".connection.live")).to_be_visible()
        expect(tab.locator(".figure").first).to_contain_text("/s")
    streams = "performance.getEntriesByType('resource').filter(({name}) => name.endsWith('api/v1/events')).length"
    assert [tab.evaluate(streams) for tab in tabs[1:]] == [0] * 7
    tabs[0].close()
    wait_until(lambda: any(tab.evaluate("navigator.locks.query().then(({held}) => held.length)") for tab in tabs[1:]))
    for tab in tabs[1:]:
        expect(tab.locator(".connection.live")).to_be_visible()
