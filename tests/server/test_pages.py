"""What the routes answer: lists, filters, orders, cards, exports, languages."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import shutil
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pandas as pd
import pytest

from overdue_ml.errors import ConfigError
from overdue_ml.explain import load_wording
from overdue_ml.jobs.cards import CardBook, mask_id
from overdue_ml.reports import render_card
from overdue_ml.server.settings import ServeConfig
from overdue_ml.server.words import load_words


class Parsed(HTMLParser):
    """Tags with their attributes, and the customers of the list in their order."""

    def __init__(self, page):
        super().__init__()
        self.tags = []
        self.customers = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.tags.append((tag, attributes))
        address = urlsplit(attributes.get("href") or "")
        if tag == "a" and address.path == "/card" and "rel" not in attributes:
            asked = parse_qs(address.query, keep_blank_values=True, strict_parsing=True)
            self.customers += asked.get("customer", []) + asked.get("rank", [])

    def links(self, rel):
        return [a["href"] for tag, a in self.tags if tag == "a" and a.get("rel") == rel]


def shown(client, **params):
    answer = client.get("/", params={"size": "200"} | params)
    assert answer.status_code == 200, answer.text
    return Parsed(answer.text).customers


def ordered(scores, by, ascending, **more):
    return scores.sort_values([by, "rank"], ascending=[ascending, True], **more)["customer_id"].tolist()


def test_the_newest_run_comes_first_and_others_can_be_chosen(client, lender):
    page = client.get("/").text
    keys = re.findall(r'<option value="(2022[^"]*)"( selected)?>([^<]*)', page)
    assert keys == [
        ("2022-08-31.run2", " selected", "31 August 2022, run 2"),
        ("2022-08-31", "", "31 August 2022"),
        ("2022-07-31", "", "31 July 2022"),
    ]
    assert shown(client) == ordered(lender.scores, "rank", True)
    july = pd.read_parquet(lender.out / "as_of=2022-07-31" / "scores.parquet")
    assert shown(client, run="2022-07-31") == ordered(july, "rank", True)
    for key in ("2022-09-30", "../records", "as_of=2022-07-31", "."):
        assert client.get("/", params={"run": key}).status_code == 400


def test_orders_and_their_reverse(client, lender):
    scores = lender.scores
    for sort, by, ascending in (
        ("rank", "rank", True),
        ("expected", "expected_overdue_amount", False),
        ("probability", "p_overdue", False),
        ("due", "next_due_date", True),
    ):
        assert shown(client, sort=sort) == ordered(scores, by, ascending, na_position="last"), sort
        # The other way round, and who has nothing due is last all the same.
        present = scores[scores[by].notna()]
        missing = scores[scores[by].isna()].sort_values("rank")["customer_id"].tolist()
        expected = ordered(present, by, ascending)[::-1] + missing
        assert shown(client, sort=f"-{sort}") == expected, sort
    assert scores["next_due_date"].isna().any()


def test_filters_let_through_whom_they_say(client, lender):
    scores = lender.scores.sort_values("rank")
    status = pd.read_parquet(lender.out / "as_of=2022-08-31.run2" / "suppressed.parquet")
    rule = scores["customer_id"].map(dict(zip(status["customer_id"], status["rule"], strict=True)))
    codes = scores[[f"reason_{i}_code" for i in range(1, 5)]].to_numpy()
    raises = scores[[f"reason_{i}_contribution" for i in range(1, 5)]].to_numpy() > 0
    due = pd.to_datetime(scores["next_due_date"])
    day = dt.date(2022, 9, 10)
    reason = "DEBT_ELSEWHERE"
    for params, mask in (
        ({"tier": "medium"}, scores["tier"] == "medium"),
        ({"reason": reason}, ((codes == reason) & raises).any(axis=1)),
        ({"status": "listed"}, rule.isna()),
        ({"status": "suppressed"}, rule.notna()),
        ({"status": "nothing_due"}, rule == "nothing_due"),
        ({"due_to": str(day)}, due <= pd.Timestamp(day)),
        ({"due_from": str(day)}, due >= pd.Timestamp(day)),
        ({"due_from": str(day), "due_to": str(day)}, due == pd.Timestamp(day)),
        ({"q": "SYN00000010"}, scores["customer_id"].str.startswith("SYN00000010")),
        ({"q": "SYN000000100", "match": "exact"}, scores["customer_id"] == "SYN000000100"),
        ({"q": "SYN00000010", "match": "exact"}, scores["customer_id"] == ""),
        ({"tier": "low", "status": "nothing_due"}, (scores["tier"] == "low") & (rule == "nothing_due")),
        ({"tier": "none of ours"}, scores["tier"] == ""),
    ):
        wanted = scores.loc[mask, "customer_id"].tolist()
        assert shown(client, **params) == wanted, params
        page = client.get("/", params=params).text
        assert f">{len(wanted)} of {len(scores)} customers<" in page
        if len(wanted) == 0:
            assert "Nobody is as the filter asks" in page
    assert ((codes == reason) & ~raises).any()


def test_counts_and_sums_of_the_filter(client, lender):
    medium = lender.scores[lender.scores["tier"] == "medium"]
    page = client.get("/", params={"tier": "medium"}).text
    total = load_wording("en").format_number(medium["expected_overdue_amount"].sum(), "amount")
    assert f"<strong>{total}</strong>" in page
    counts = re.findall(r'<li><span class="badge (\w+)">[^<]*</span> (\d+)', page)
    assert counts == [("high", "0"), ("medium", str(len(medium))), ("low", "0")]


def test_paging_shows_everybody_once(client, lender):
    wanted = ordered(lender.scores, "rank", True)

    def walk(address, rel):
        found = []
        while address:
            parsed = Parsed(client.get(address).text)
            found.append(parsed.customers)
            address = next(iter(parsed.links(rel)), "")
        return found

    parts = [wanted[start : start + 25] for start in range(0, 120, 25)]
    assert walk("/?size=25", "next") == parts
    (last,) = Parsed(client.get("/?size=25").text).links("last")
    assert walk(last, "prev") == parts[::-1]
    (first,) = Parsed(client.get(last).text).links("first")
    assert Parsed(client.get(first).text).customers == parts[0]
    assert Parsed(client.get("/?size=25&page=999").text).customers == parts[-1]


@pytest.mark.parametrize("params", [
    {"sort": "name"}, {"size": "26"}, {"size": "٢٥"}, {"page": "x"}, {"page": "-1"}, {"lang": "xx"},
    {"due_from": "2022-02-30"}, {"due_to": "31.12.2022"}, {"run": "2022-01-01"},
])  # fmt: skip
def test_nonsense_in_an_address_is_said(client, params):
    answer = client.get("/", params=params)
    assert answer.status_code == 400
    assert "This cannot be shown" in answer.text


def test_every_id_leads_to_its_card_however_hostile(client, lender, log_lines):
    page = Parsed(client.get("/?size=200&sort=expected").text)
    assert sorted(page.customers) == sorted(lender.scores["customer_id"])
    links = [a["href"] for t, a in page.tags if t == "a" and urlsplit(a.get("href", "")).path == "/card"]
    hostile = {i for i in page.customers if not i.startswith("SYN")}
    assert len(hostile) == 11
    book = CardBook(lender.out / "as_of=2022-08-31.run2", source=lender.records)
    link_of = dict(zip(page.customers, links, strict=True))
    wanted = [*sorted(hostile), "SYN000000050"]
    for customer, card in zip(wanted, book.make(wanted), strict=True):
        answer = client.get(link_of[customer])
        assert answer.status_code == 200
        # The same card as `explain` writes, below the bar.
        assert render_card(card, book.wording).partition("<body>\n")[2] in answer.text
        assert log_lines()[-1]["customer_id"] == customer
        assert shown(client, q=customer, match="exact") == [customer]
    for tag, attributes in page.tags:
        assert tag not in ("script", "img", "iframe", "object", "base")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_neighbours_are_those_of_the_list(client, lender):
    wanted = shown(client, tier="medium", sort="expected")
    found, address = [], f"/card?tier=medium&sort=expected&size=25&customer={wanted[0]}"
    while address and len(found) < 3:
        page = client.get(address).text
        found.append(re.search(r"<h1><bdi>([^<]*)</bdi>", page)[1])
        assert f"{len(found)} of {len(wanted)} in this list" in page
        address = next(iter(Parsed(page).links("next")), "")
    assert found == wanted[:3]
    last = Parsed(client.get("/card", params={"tier": "medium", "sort": "expected", "customer": wanted[-1],
                                              "size": "25"}).text)  # fmt: skip
    assert not last.links("next")
    (before,) = last.links("prev")
    assert parse_qs(urlsplit(before).query)["customer"] == [wanted[-2]]
    back = next(a["href"] for tag, a in last.tags if tag == "a")
    # 45 customers at 25 a page: the last one stands on the second page.
    assert parse_qs(urlsplit(back).query)["page"] == ["2"]
    assert wanted[-1] in Parsed(client.get(back).text).customers


def test_who_was_not_scored_and_records_that_are_gone(site, client_of, lender, tmp_path, log_lines):
    client = client_of(site())
    for params in ({"customer": "nobody"}, {"rank": "0"}, {"rank": "x"}, {}):
        answer = client.get("/card", params=params)
        assert answer.status_code == 404
        assert "was not scored in this run" in answer.text
    out = shutil.copytree(lender.out / "as_of=2022-08-31", tmp_path / "out" / "as_of=2022-08-31").parent
    manifest = json.loads((out / "as_of=2022-08-31" / "manifest.json").read_text())
    moved = json.dumps(manifest | {"records_source": str(tmp_path / "gone")})
    (out / "as_of=2022-08-31" / "manifest.json").write_text(moved)
    customer = "SYN000000050"
    answer = client_of(site(out=out)).get("/card", params={"customer": customer})
    assert answer.status_code == 503
    assert str(tmp_path / "gone") in answer.text
    answer = client_of(site(out=out, records=lender.source)).get("/card", params={"customer": customer})
    assert answer.status_code == 200
    # Only the card that was shown is in the log.
    assert [line["event"] for line in log_lines()] == ["card"]


def test_a_run_without_contributions_or_lists_is_shown_as_far_as_it_goes(site, client_of, lender, tmp_path):
    folder = shutil.copytree(lender.out / "as_of=2022-08-31", tmp_path / "out" / "as_of=2022-08-31")
    for name in ("contributions", "reminders", "suppressed"):
        (folder / f"{name}.parquet").unlink()
    scores = pd.read_parquet(folder / "scores.parquet")
    scores[[c for c in scores if not c.startswith("reason")]].to_parquet(folder / "scores.parquet")
    client = client_of(site(out=folder.parent))
    assert shown(client) == ordered(scores, "rank", True)
    answer = client.get("/card", params={"customer": "SYN000000050"})
    assert answer.status_code == 503
    assert "was not explained" in answer.text


def test_a_run_that_was_replaced_is_read_again(site, client_of, lender, tmp_path):
    out = tmp_path / "out"
    target = shutil.copytree(lender.out / "as_of=2022-08-31", out / "as_of=2022-08-31")
    client = client_of(site(out=out))
    before = shown(client)
    shutil.rmtree(target)
    shutil.copytree(lender.out / "as_of=2022-08-31.run2", target)
    after = shown(client)
    assert before != after
    assert after == ordered(lender.scores, "rank", True)


def test_ids_may_be_in_any_order(site, client_of, lender, tmp_path):
    folder = shutil.copytree(lender.out / "as_of=2022-08-31", tmp_path / "out" / "as_of=2022-08-31")
    scores = pd.read_parquet(folder / "scores.parquet").sort_values("log_odds")
    scores.to_parquet(folder / "scores.parquet", index=False)
    client = client_of(site(out=folder.parent))
    assert shown(client) == ordered(scores, "rank", True)
    wanted = scores[scores["customer_id"].str.startswith("SYN00000010")].sort_values("rank")["customer_id"]
    assert shown(client, q="SYN00000010") == wanted.tolist()
    assert shown(client, q="客户甲", match="exact") == ["客户甲"]


def test_csv_and_excel_hold_what_is_shown_and_no_formula(client, lender, log_lines):
    openpyxl = pytest.importorskip("openpyxl")
    params = {"sort": "expected", "status": "suppressed", "size": "25", "page": "2"}
    wanted = shown(client, **(params | {"size": "200", "page": "1"}))
    answer = client.get("/export.csv", params=params)
    assert answer.headers["content-disposition"] == 'attachment; filename="overdue_2022-08-31.run2.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))
    assert [r["customer_id"].removeprefix("'") for r in rows] == wanted
    assert not [cell for r in rows for cell in r.values() if cell.startswith(("=", "+", "-", "@"))]
    row = lender.scores.set_index("customer_id").loc[wanted[0]]
    assert float(rows[0]["expected_overdue_amount"]) == row["expected_overdue_amount"]
    assert rows[0]["status"] in {load_words("en").rule(r) for r in ("tier_not_reminded", "nothing_due",
                                                                     "not_due_within_lead_days")}  # fmt: skip
    answer = client.get("/export.xlsx", params=params | {"q": "=", "status": ""})
    sheet = openpyxl.load_workbook(io.BytesIO(answer.content)).active
    cells = [cell for cells in sheet.iter_rows() for cell in cells]
    (found,) = [cell for cell in cells if cell.value == "=cmd|' /C calc'!A0"]
    assert found.data_type == "s"
    assert not [cell for cell in cells if cell.data_type == "f"]
    csv_line, excel_line = log_lines()
    assert csv_line["format"] == "csv"
    assert csv_line["filter"] == {"sort": "expected", "status": "suppressed"}
    assert csv_line["rows"] == csv_line["of"] == len(wanted)
    assert (excel_line["format"], excel_line["filter"]["q"], excel_line["rows"]) == ("xlsx", "=", 1)


def test_an_export_is_cut_at_the_limit_and_says_so(site, client_of, log_lines):
    client = client_of(site(config=ServeConfig(export_rows=10)))
    assert "the first 10 of 120" in client.get("/").text
    answer = client.get("/export.csv")
    assert len(pd.read_csv(io.BytesIO(answer.content))) == 10
    assert (log_lines()[-1]["rows"], log_lines()[-1]["of"]) == (10, 120)


def test_masked_ids_are_in_no_page_address_or_file(site, client_of, lender, log_lines):
    client = client_of(site(mask_ids=True))
    page = client.get("/?size=200").text
    ids = [i for i in lender.scores["customer_id"] if i.startswith("SYN")]
    assert not [i for i in ids if i in page]
    assert mask_id(ids[0]) in page
    link = next(a["href"] for t, a in Parsed(page).tags if t == "a" and a.get("href", "").startswith("/card"))
    card = client.get(link).text
    first = lender.scores.set_index("rank").loc[1, "customer_id"]
    assert first not in card
    assert first not in client.get("/export.csv").text
    # Beginnings of ids would tell them sign by sign.
    assert shown(client, q="SYN") == []
    # Who looked at whom stays on record.
    assert log_lines()[0]["customer_id"] == first


def test_both_languages_have_every_word_with_the_same_placeholders():
    en, zh = load_words("en"), load_words("zh")
    assert en.texts.keys() == zh.texts.keys()
    slots = {w.language: {k: sorted(set(re.findall(r"\{(\w+)\}", t))) for k, t in w.texts.items()}
             for w in (en, zh)}  # fmt: skip
    assert slots["en"] == slots["zh"]
    assert not [k for k, t in zh.texts.items() if t == en.texts[k] and k not in ("export_csv", "export_xlsx")]
    with pytest.raises(ConfigError, match="no page in 'xx'"):
        load_words("xx")


def test_every_rule_of_the_reminder_policy_has_words():
    from overdue_ml import reminders

    for name in (*reminders.RULES, "listed", "suppressed"):
        for lang in ("en", "zh"):
            assert f"rule_{name}" in load_words(lang).texts, name


def test_the_page_speaks_chinese(client, lender):
    page = client.get("/?lang=zh&size=200").text
    assert '<html lang="zh">' in page
    wording = load_wording("zh")
    assert "第2次运行" in page
    assert wording.title("DEBT_ELSEWHERE") in page
    assert re.search(r"\d元<", page)
    assert re.search(r"2022年9月\d+日<", page)
    text = re.sub(r"<bdi>.*?</bdi>|<option.*?</option>|<[^>]*>", "", page, flags=re.DOTALL)
    left = set(re.findall(r"[A-Za-z]{3,}", text)) - {"English", "CSV", "Excel"}
    assert left == {"overdue"}  # the model's name
    card = client.get("/card?lang=zh&customer=SYN000000050").text
    assert "返回名单" in card
    assert wording.text("heading") in card


def test_what_is_not_there_is_said(client):
    for address in ("/card/", "/nothing", "/static/../app.py", "/docs", "/openapi.json"):
        answer = client.get(address)
        assert answer.status_code == 404
        assert "no such page" in answer.text


def test_head_answers_as_get_without_a_body(client):
    answer = client.ask("HEAD", "/")
    assert (answer.status_code, answer.content) == (200, b"")
