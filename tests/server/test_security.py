"""Who is let in, what every answer carries, and what is written down."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat

import pytest

from overdue_ml.errors import ConfigError, ResourceError
from overdue_ml.server import access
from overdue_ml.server.access import AccessLog, Sessions, Tokens
from overdue_ml.server.run import Access, Address, prepare
from overdue_ml.server.settings import ServeConfig, Sources

TOKEN = "correct-horse-battery-staple"
SAME = {"origin": "http://127.0.0.1:8080"}


def sources_of(policy, name):
    return re.search(rf"(?:^|; ){name} ([^;]*)", policy)[1].split()


@pytest.mark.parametrize("address", [
    "/", "/card?customer=SYN000000050", "/card?customer=nobody", "/export.csv", "/static/page.css",
    "/nothing", "/?sort=nonsense", "/login",
])  # fmt: skip
def test_every_answer_carries_the_headers(client, address):
    headers = client.get(address).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cache-control"] == "no-store"
    assert headers["x-frame-options"] == "DENY"
    policy = headers["content-security-policy"]
    assert sources_of(policy, "default-src") == ["'none'"]
    assert sources_of(policy, "frame-ancestors") == ["'none'"]
    assert sources_of(policy, "base-uri") == ["'none'"]
    assert "unsafe" not in policy
    assert "script-src" not in policy


def test_the_styles_of_a_card_are_named_by_their_hashes(client):
    answer = client.get("/card?customer=SYN000000050")
    styles = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    hashes = [f"'sha256-{base64.b64encode(hashlib.sha256(s.encode()).digest()).decode()}'" for s in styles]
    assert len(hashes) == 2
    assert sources_of(answer.headers["content-security-policy"], "style-src") == hashes


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
@pytest.mark.parametrize("address", ["/", "/card?customer=SYN000000050", "/export.csv", "/static/page.css"])
def test_nothing_but_reading_is_routed(client, method, address):
    answer = client.ask(method, address, headers=SAME)
    assert answer.status_code == 405
    assert "x-content-type-options" in answer.headers


@pytest.mark.parametrize(("host", "status"), [
    ("127.0.0.1", 200), ("127.0.0.1:9", 200), ("localhost:8080", 200), ("[::1]:8080", 200),
    ("evil.example", 421), ("127.0.0.1.evil.example", 421), ("localhost.evil.example:8080", 421),
    ("127.0.0.1@evil.example", 421), ("0.0.0.0:8080", 421), ("", 421), ("[", 421),
])  # fmt: skip
def test_on_loopback_a_strangers_name_is_refused(client, host, status):
    assert client.get("/", headers={"host": host}).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "bank.example", "::"])
def test_others_may_look_only_with_a_token(site, client_of, host):
    with pytest.raises(ConfigError, match="no token is set"):
        site(host=host)
    client = client_of(site(host=host, environment={"OVERDUE_ML_TOKEN": TOKEN}), "bank.example")
    assert client.get("/").status_code == 303


def test_nothing_is_shown_without_the_token(site, client_of, log_lines):
    client = client_of(site(environment={"OVERDUE_ML_TOKEN": TOKEN}))
    for address in ("/", "/card?customer=SYN000000050", "/export.csv", "/export.xlsx", "/nothing"):
        answer = client.get(address)
        assert answer.status_code == 303
        assert answer.headers["location"].startswith("/login?next=%2F")
        assert answer.content == b""
        answer = client.get(address, headers={"authorization": "Bearer wrong"})
        assert answer.status_code == 401
        assert "SYN" not in answer.text
    assert client.get("/login").status_code == 200
    assert log_lines() == []
    headers = {"authorization": f"Bearer {TOKEN}"}
    assert client.get("/card?customer=SYN000000050", headers=headers).status_code == 200
    assert log_lines()[0]["user"] == "bearer"


def test_login_gives_a_cookie_that_is_not_the_token_and_logout_ends_it(site, client_of, tmp_path, log_lines):
    file = tmp_path / "tokens"
    file.write_text(f"# officers\nchen:{TOKEN}\nberg:another-long-enough-token\n", encoding="utf-8")
    client = client_of(site(token_file=file))
    form = {"token": TOKEN, "next": "/?tier=high", "name": "somebody else"}
    answer = client.ask("POST", "/login", data=form, headers=SAME)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?tier=high")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert client.get("/").status_code == 200
    assert "chen" in client.get("/").text
    client.get("/card?customer=SYN000000050")
    answer = client.ask("POST", "/logout", headers=SAME)
    assert answer.status_code == 303
    value = cookie.partition("=")[2].partition(";")[0]
    assert client.get("/", headers={"cookie": f"overdue_ml_session={value}"}).status_code == 303
    # The name is that of the token, whatever was typed.
    assert [(line["event"], line["user"]) for line in log_lines()] == [
        ("login", "chen"), ("card", "chen"), ("logout", "chen"),
    ]  # fmt: skip


def test_a_wrong_token_is_refused_and_what_was_typed_is_not_logged(site, client_of, tmp_path):
    client = client_of(site(environment={"OVERDUE_ML_TOKEN": TOKEN}))
    for form in ({"token": "wrong-wrong-wrong-wrong", "name": TOKEN}, {"name": "x"}, {"token": TOKEN}, {}):
        answer = client.ask("POST", "/login", data=form, headers=SAME)
        assert answer.status_code == 401
        assert "session" not in answer.headers["set-cookie"]
    log = (tmp_path / "log" / "access.jsonl").read_text()
    assert log.count("login_refused") == 4
    assert TOKEN not in log
    big = client.ask("POST", "/login", content=b"token=" + b"x" * 100_000, headers=SAME)
    assert big.status_code == 401


@pytest.mark.parametrize("headers", [
    {}, {"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"},
    {"origin": "http://127.0.0.1:8081"}, {"origin": "file://127.0.0.1:8080"},
    {"origin": "null", "sec-fetch-site": "cross-site"}, {"origin": "null", "sec-fetch-site": "same-site"},
])  # fmt: skip
def test_forms_of_other_sites_are_refused(site, client_of, headers):
    client = client_of(site(environment={"OVERDUE_ML_TOKEN": TOKEN}))
    for address in ("/login", "/logout"):
        answer = client.ask("POST", address, data={"token": TOKEN, "name": "x"}, headers=headers)
        assert answer.status_code == 403


def test_without_a_referrer_the_browsers_word_or_a_strict_cookie_is_taken(site, client_of):
    app = site(environment={"OVERDUE_ML_TOKEN": TOKEN})
    form, unknown = {"token": TOKEN, "name": "x"}, {"origin": "null"}
    assert client_of(app).ask("POST", "/login", data=form, headers=unknown).status_code == 403
    said = unknown | {"sec-fetch-site": "same-origin"}
    assert client_of(app).ask("POST", "/login", data=form, headers=said).status_code == 303
    client = client_of(app)
    assert "SameSite=strict" in client.get("/login").headers["set-cookie"]
    assert client.ask("POST", "/login", data=form, headers=unknown).status_code == 303
    told = unknown | {"sec-fetch-site": "cross-site"}
    assert client.ask("POST", "/login", data=form, headers=told).status_code == 403


@pytest.mark.parametrize("next_address", [
    "//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)", "/\n/evil.example",
    "",
])  # fmt: skip
def test_the_login_leads_nowhere_else(site, client_of, next_address):
    client = client_of(site(environment={"OVERDUE_ML_TOKEN": TOKEN}))
    form = {"token": TOKEN, "name": "x", "next": next_address}
    assert client.ask("POST", "/login", data=form, headers=SAME).headers["location"] == "/"


def test_tokens_are_read_from_file_or_environment_and_must_be_long(tmp_path):
    file = tmp_path / "tokens"
    file.write_text(f"{TOKEN}\n", encoding="utf-8")
    assert Tokens.read(file, {}).owner(TOKEN) == ""
    assert Tokens.read(file, {}).owner(TOKEN + " ") is None
    assert not Tokens.read(None, {})
    for text, match in (("short", "has 5 characters"), ("# nothing\n", "no token"), ("ann:short", "5 char")):
        file.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=match):
            Tokens.read(file, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        Tokens.read(tmp_path / "none", {})
    with pytest.raises(ConfigError, match="has 3 characters"):
        Tokens.read(None, {"OVERDUE_ML_TOKEN": "abc"})


def test_a_login_ends_by_itself(monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(access.time, "monotonic", lambda: clock[0])
    sessions = Sessions(hours=1.0)
    value = sessions.begin("ann")
    clock[0] += 3599
    assert sessions.user(value) == "ann"
    clock[0] += 2
    assert sessions.user(value) is None
    # However many log in, only so many are kept: the oldest makes room.
    first = sessions.begin("first")
    for _ in range(1000):
        sessions.begin("other")
    assert sessions.user(first) is None


def test_the_log_says_who_when_and_whom_and_only_grows(site, client_of, lender, log_lines, tmp_path):
    client = client_of(site(user="officer 7"))
    client.get("/?q=SYN000000050")
    assert log_lines() == []  # a list names nobody in particular
    client.get("/card", params={"customer": "two\nlines"})
    other = client_of(site(user="officer 8"))
    other.get("/card", params={"customer": "<script>alert(1)</script>", "lang": "zh"})
    first, second = log_lines()
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", first.pop("at"))
    assert first == {"user": "officer 7", "event": "card", "customer_id": "two\nlines",
                     "run": "as_of=2022-08-31.run2", "lang": "en"}  # fmt: skip
    assert (second["user"], second["customer_id"], second["lang"]) == (
        "officer 8", "<script>alert(1)</script>", "zh",
    )  # fmt: skip
    assert stat.S_IMODE((tmp_path / "log" / "access.jsonl").stat().st_mode) == 0o600


def test_by_default_the_log_stands_beside_the_runs(lender, client_of):
    client_of(prepare(Sources(lender.out), ServeConfig(), Address(), Access(), {})).get("/card?rank=1")
    (line,) = (lender.out / "access_log" / "access.jsonl").read_text().splitlines()
    assert json.loads(line)["user"] == "local"


def test_what_cannot_be_written_down_is_not_shown(site, client_of, tmp_path, monkeypatch):
    client = client_of(site())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(access.os, "write", full)
    for address in ("/card?customer=SYN000000050", "/export.csv"):
        answer = client.get(address)
        assert answer.status_code == 503
        assert "access log cannot be written" in answer.text
        assert "SYN000000050" not in answer.text
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResourceError, match="access log cannot be written"):
        AccessLog(tmp_path / "file")


def test_the_remains_of_a_line_do_not_spoil_the_next(tmp_path):
    log = AccessLog(tmp_path)
    log.path.write_bytes(b'{"at": "2022')
    log.write("ann", "card", customer_id="A")
    torn, whole = log.path.read_text().splitlines()
    assert torn == '{"at": "2022'
    assert json.loads(whole)["customer_id"] == "A"


def test_a_bug_tells_nothing_of_customers(client, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("SYN000000050 broke it")

    monkeypatch.setattr("overdue_ml.server.cards.CardShelf.render", broken)
    answer = client.get("/card?customer=SYN000000050")
    assert answer.status_code == 500
    assert "SYN" not in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "RuntimeError" in caplog.text
    assert "SYN" not in caplog.text


def test_tls_needs_both_files(lender, tmp_path):
    address = Address(certificate=tmp_path / "c.pem")
    with pytest.raises(ConfigError, match="both"):
        prepare(Sources(lender.out), ServeConfig(), address, Access(log_folder=tmp_path), {})
    assert Address("::1", 9).url == "http://[::1]:9/"


def test_a_missing_extra_is_named(lender, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"fastapi, uvicorn; pip install 'overdue_ml\[serve\]'"):
        prepare(Sources(lender.out), ServeConfig(), Address(), Access(), {})


def test_a_folder_without_runs_is_said(tmp_path):
    with pytest.raises(ConfigError, match="no scoring run"):
        prepare(Sources(tmp_path), ServeConfig(), Address(), Access(), {})
    assert not (tmp_path / "access_log").exists()


def test_the_command_refuses_what_the_page_refuses(lender, capsys, monkeypatch):
    from overdue_ml import cli

    monkeypatch.delenv("OVERDUE_ML_TOKEN", raising=False)
    asked = []
    monkeypatch.setattr("overdue_ml.server.run.run_server", lambda app, address: asked.append(address))
    words = ["serve", "--out", str(lender.out)]
    assert cli.run([*words, "--host", "0.0.0.0"]) == 2
    assert "no token is set" in capsys.readouterr().err
    assert cli.run([*words, "--lang", "xx"]) == 2
    assert cli.run([*words, "--set", "export_rows=0"]) == 2
    assert asked == []
    assert cli.run([*words, "--port", "8123", "--mask-ids", "--set", "page_size=25"]) == 0
    assert asked == [Address(port=8123)]
    told = capsys.readouterr().err
    assert "http://127.0.0.1:8123/" in told
    assert "in clear" not in told
    monkeypatch.setenv("OVERDUE_ML_TOKEN", TOKEN)
    assert cli.run([*words, "--host", "0.0.0.0"]) == 0
    assert "in clear" in capsys.readouterr().err
