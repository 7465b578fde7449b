"""A real Chromium clicks through the page: what people see, and that nothing hostile runs or is fetched."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn

from overdue_ml.server.run import Access, Address, prepare
from overdue_ml.server.settings import ServeConfig, Sources

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("OVERDUE_ML_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: set OVERDUE_ML_CHROMIUM")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
         "--disable-background-networking", "--disable-component-update"]  # fmt: skip
PICTURES = Path(__file__).parents[2] / "out" / "screenshots"
TOKEN = "correct-horse-battery-staple"


class Server:
    """The page on a free port, in a thread."""

    def __init__(self, app):
        options = {"host": "127.0.0.1", "port": 0, "log_level": "error", "access_log": False, "ws": "none"}
        self._server = uvicorn.Server(uvicorn.Config(app, **options))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive()
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def stop(self):
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture(scope="module")
def served(lender, tmp_path_factory):
    """The page over the lender's runs; its log in a folder of its own."""
    folder = tmp_path_factory.mktemp("browser")
    server = Server(prepare(Sources(lender.out), ServeConfig(), Address(), Access(None, folder), {}))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium, served):
    """An empty tab in which anything that a hostile id could have done is an error."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    page = context.new_page()
    seen = []
    page.on("dialog", lambda dialog: (seen.append(("dialog", dialog.message)), dialog.dismiss()))
    page.on("pageerror", lambda error: seen.append(("script", str(error))))
    page.on("console", lambda message: seen.append(("console", message.text)))
    page.on("popup", lambda popup: seen.append(("popup", popup.url)))

    def asked(request):
        if not request.url.startswith((f"{served.url}/", "data:,")):
            seen.append(("request", request.url))
        if request.resource_type not in ("document", "stylesheet", "other"):
            seen.append((request.resource_type, request.url))

    page.on("request", asked)
    page.goto(f"{served.url}/")
    yield page
    context.close()
    assert seen == []


def picture(page, name):
    """Kept for people to look at."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=PICTURES / f"serve_{name}.png")


def customers(page):
    return page.locator("tbody th a").all_inner_texts()


def no_wider_than_the_screen(page):
    return page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def test_search_filter_card_language_and_export(tab, lender, served, tmp_path):
    scores = lender.scores.sort_values("rank")
    assert customers(tab)[0] == scores["customer_id"].iloc[0]
    picture(tab, "list")

    tab.get_by_label("Tier", exact=True).select_option("medium")
    tab.get_by_label("Reminder", exact=True).select_option("listed")
    tab.get_by_label("Order", exact=True).select_option("expected")
    tab.get_by_role("button", name="Show").click()
    listed = scores.sort_values(["expected_overdue_amount", "rank"], ascending=[False, True])
    listed = listed[(listed["tier"] == "medium")]["customer_id"].tolist()
    found = customers(tab)
    assert found == [i for i in listed if i in found]
    assert 0 < len(found) < len(listed)
    assert tab.get_by_role("status").inner_text() == f"{len(found)} of {len(scores)} customers"
    assert tab.get_by_label("Tier", exact=True).input_value() == "medium"

    tab.get_by_role("link", name=found[1], exact=True).click()
    assert tab.locator("h1").inner_text() == found[1]
    assert f"2 of {len(found)} in this list" in tab.locator(".officer-bar").inner_text()
    picture(tab, "card")
    tab.get_by_role("link", name="Next customer").click()
    assert tab.locator("h1").inner_text() == found[2]
    tab.get_by_role("link", name="中文").click()
    assert tab.locator("html").get_attribute("lang") == "zh"
    assert "客户风险卡片" in tab.title()
    tab.get_by_role("link", name="返回名单").click()
    assert customers(tab) == found
    assert tab.locator("h1").inner_text() == "到期前客户名单"
    picture(tab, "list_zh")

    with tab.expect_download() as download:
        tab.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["customer_id"] for row in rows] == found
    assert {row["tier"] for row in rows} == {"中风险"}
    assert tab.url.startswith(served.url)


def has_chinese_font():
    if not shutil.which("fc-list"):
        return True
    return bool(subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False).stdout.strip())


@pytest.mark.skipif(not has_chinese_font(), reason="no Chinese font on this machine")
def test_chinese_is_drawn_with_glyphs(tab, served):
    """Two different signs look different; signs without a glyph are all the same box."""
    tab.goto(f"{served.url}/?lang=zh")
    shots = []
    for sign in "风险":
        tab.locator("h1").evaluate("(node, sign) => { node.textContent = sign }", sign)
        shots.append(tab.locator("h1").screenshot())
    assert shots[0] != shots[1]


def test_hostile_ids_are_shown_and_do_nothing(tab, lender, served):
    tab.goto(f"{served.url}/?size=200")
    shown = customers(tab)
    assert "<script>alert(1)</script>" in shown
    assert "\"'><img src=x onerror=alert(1)>" in shown
    addresses = tab.locator("tbody th a").evaluate_all("links => links.map(a => a.href)")
    hostile = [set(text) & set("<%😀{") for text in shown]
    dangerous = [address for address, signs in zip(addresses, hostile, strict=True) if signs]
    # Script, image, braces, the long one and %2F; the others are opened without a browser.
    assert len(dangerous) == 5
    for address in dangerous:
        tab.goto(address)
        assert tab.locator("p.big").count() == 1
        assert urlsplit(tab.url).path == "/card"
    tab.goto(f"{served.url}/")
    box = tab.get_by_label("Customer id")
    box.fill("\"'><img src=x onerror=alert(1)>")
    box.press("Enter")
    assert customers(tab) == ["\"'><img src=x onerror=alert(1)>"]
    assert tab.get_by_label("Customer id").input_value() == "\"'><img src=x onerror=alert(1)>"


def test_even_what_slipped_through_would_not_run(chromium, served):
    """The policy is the second wall: planted into the page by hand, nothing runs and nothing is fetched."""
    page = chromium.new_page()
    blocked, asked = [], []
    page.on("console", lambda message: blocked.append(message.text))
    page.on("dialog", lambda dialog: (asked.append("dialog"), dialog.dismiss()))
    page.on("requestfinished", lambda request: asked.append(request.url))

    def plant(route):
        answer = route.fetch()
        bad = "<script>alert(1)</script><img src=/static/page.css onerror=alert(2)><b style='color:red'>x</b>"
        route.fulfill(response=answer, body=answer.text().replace("<main>", f"<main>{bad}"))

    page.route("**/*", lambda route: plant(route) if urlsplit(route.request.url).path in ("/", "/card")
               else route.continue_())  # fmt: skip
    for address in ("/", "/card?customer=SYN000000050"):
        blocked.clear()
        asked.clear()
        page.goto(f"{served.url}{address}")
        assert "dialog" not in asked
        text = " ".join(blocked)
        # The card's own policy allows styles in the page; that of the header does not.
        for kind in ("script", "style", "image"):
            assert kind in text.lower(), (address, kind, text)
    page.close()


def test_by_keyboard_alone(tab, lender):
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.innerText") == "Skip to the list"
    tab.keyboard.press("Enter")
    assert tab.evaluate("document.activeElement.id") == "list"
    for _ in range(5):
        tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.innerText") == customers(tab)[0]
    outline = tab.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/card?**")
    assert tab.locator("h1").inner_text() == lender.scores.set_index("rank").loc[1, "customer_id"]


def test_everything_that_can_be_used_has_a_name(tab):
    nameless = tab.evaluate(
        """() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select')].filter(node =>
             !(node.innerText || '').trim() && !(node.labels && node.labels.length)).map(n => n.outerHTML)"""
    )
    assert nameless == []
    tree = tab.locator("body").aria_snapshot()
    for name in ('navigation "Language"', 'form "Filter and order of the list"', 'searchbox "Customer id"',
                 'combobox "Tier"', 'navigation "Pages"', "main"):  # fmt: skip
        assert name in tree, name
    assert tab.locator("th[aria-sort=ascending]").inner_text().startswith("Rank")
    assert tab.locator("caption").count() == 1


def test_a_narrow_screen_and_paper(tab, served):
    assert no_wider_than_the_screen(tab)
    head = tab.locator("thead th").first
    tab.mouse.wheel(0, 900)
    tab.wait_for_function("window.scrollY > 300")
    # It sticks: still at the top of the window.
    assert head.bounding_box()["y"] >= -1
    for lang in ("en", "zh"):
        tab.set_viewport_size({"width": 360, "height": 740})
        tab.goto(f"{served.url}/?size=25&lang={lang}")
        assert no_wider_than_the_screen(tab)
        row = tab.locator("tbody tr").first
        assert row.bounding_box()["width"] <= 360
        # One below the other, each with the name of its column.
        above, below = row.locator("> *").nth(0).bounding_box(), row.locator("> *").nth(1).bounding_box()
        assert below["y"] >= above["y"] + above["height"]
        label = row.locator("td").first.evaluate("cell => getComputedStyle(cell, '::before').content")
        assert label == {"en": '"Rank"', "zh": '"排名"'}[lang]
        picture(tab, f"narrow_{lang}")
    tab.emulate_media(media="print")
    assert tab.get_by_role("button", name="查询").count() == 0
    assert tab.locator("tbody tr").first.is_visible()


def test_login_in_the_browser(chromium, lender, tmp_path):
    environment, access = {"OVERDUE_ML_TOKEN": TOKEN}, Access(None, tmp_path)
    server = Server(prepare(Sources(lender.out), ServeConfig(), Address(), access, environment))
    context = chromium.new_context()
    page = context.new_page()
    page.goto(f"{server.url}/?tier=medium")
    assert urlsplit(page.url).path == "/login"
    picture(page, "login")
    page.get_by_label("Your name").fill("Li Na")
    page.get_by_label("Token").fill("wrong-wrong-wrong-wrong")
    page.get_by_role("button", name="Log in").click()
    assert "not known" in page.get_by_role("alert").inner_text()
    page.get_by_label("Your name").fill("Li Na")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/?tier=medium")
    assert "Li Na" in page.locator("header").inner_text()
    cookie = {cookie["name"]: cookie for cookie in context.cookies()}["overdue_ml_session"]
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    page.get_by_role("button", name="Log out").click()
    page.goto(f"{server.url}/")
    assert urlsplit(page.url).path == "/login"
    context.close()
    server.stop()
    assert '"user": "Li Na", "event": "logout"' in (tmp_path / "access.jsonl").read_text()
