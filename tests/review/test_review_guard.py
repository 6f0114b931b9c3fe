"""Who may ask the review server anything: its own page, opened once by the link."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from visiting import Visitor

EVERYTHING = [
    ("GET", "/"),
    ("GET", "/assets/review.js"),
    ("GET", "/api/photos"),
    ("GET", "/thumbnail/1"),
    ("POST", "/api/marks"),
    ("POST", "/api/give"),
    ("POST", "/api/plan"),
    ("POST", "/api/apply"),
    ("POST", "/api/undo"),
]


def test_the_link_opens_the_page_once(visitor: Visitor) -> None:
    link = visitor.url.partition(str(visitor.port))[2]

    status, headers, _ = visitor.ask("GET", link, without=("Cookie",))

    assert status == 403
    assert "set-cookie" not in headers
    assert visitor.ask("GET", "/")[0] == 200


def test_the_cookie_is_for_this_page_alone(
    serve: Callable[..., Visitor], wedding: Any, scoring_of: Callable[[], Any]
) -> None:
    visitor = serve(scoring_of(), wedding)

    _, headers, body = visitor.ask("GET", visitor.url.partition(str(visitor.port))[2])

    attributes = {part.strip().lower() for part in headers["set-cookie"].split(";")[1:]}
    assert {"httponly", "samesite=strict", "path=/"} <= attributes
    assert headers["location"].startswith("/#")
    assert body == b""


def test_a_wrong_token_opens_nothing_and_spends_nothing(
    serve: Callable[..., Visitor], wedding: Any, scoring_of: Callable[[], Any]
) -> None:
    visitor = serve(scoring_of(), wedding)

    for query in ("", "?token=", "?token=wrong", "?token=%00", "?other=1", "?token=%E9"):
        assert visitor.ask("GET", f"/open{query}")[0] == 403

    visitor.enter()
    assert visitor.ask("GET", "/")[0] == 200


def test_without_the_cookie_nothing_is_answered(visitor: Visitor) -> None:
    for method, path in EVERYTHING:
        body = {} if method == "POST" else None
        assert visitor.ask(method, path, body, without=("Cookie",))[0] == 403
        assert visitor.ask(method, path, body, Cookie="rali-review=x; other=y")[0] == 403
        assert visitor.ask(method, path, body, Cookie=visitor.headers["Cookie"][:-1])[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_name_of_the_server_is_refused(visitor: Visitor, host: str) -> None:
    for method, path in [*EVERYTHING, ("GET", "/open")]:
        body = {} if method == "POST" else None
        status, headers, _ = visitor.ask(method, path, body, Host=host.format(port=visitor.port))
        assert status == 421
        assert not [name for name in headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "origin", [None, "null", "http://evil.example", "http://127.0.0.1:1", "https://127.0.0.1:{port}"]
)
def test_another_page_can_decide_nothing(visitor: Visitor, origin: str | None) -> None:
    headers = {} if origin is None else {"Origin": origin.format(port=visitor.port)}
    for method, path in EVERYTHING:
        if method == "POST":
            status, answered, _ = visitor.ask(method, path, {}, without=("Origin",), **headers)
            assert status == 403
            assert not [name for name in answered if name.startswith("access-control")]
            status, answered, _ = visitor.ask("OPTIONS", path, without=("Origin",), **headers)
            assert status == 403
            assert not [name for name in answered if name.startswith("access-control")]


def test_another_page_can_show_no_picture(visitor: Visitor) -> None:
    photo_id = visitor.names()["IMG_01.jpg"]

    for site in ("cross-site", "same-site"):
        assert visitor.ask("GET", f"/thumbnail/{photo_id}", Sec_Fetch_Site=site)[0] == 403
    assert visitor.ask("GET", f"/thumbnail/{photo_id}", Origin="http://127.0.0.1:1")[0] == 403
    assert visitor.ask("GET", f"/thumbnail/{photo_id}", Sec_Fetch_Site="same-origin")[0] == 200


def test_the_cookie_alone_which_other_ports_see_asks_and_decides_nothing(visitor: Visitor) -> None:
    for method, path in (("GET", "/api/photos"), ("POST", "/api/marks"), ("GET", "/api/stars")):
        assert visitor.ask(method, path, {} if method == "POST" else None, without=("X-Rali-Key",))[0] == 403


def test_a_form_of_another_page_is_no_json(visitor: Visitor) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        assert visitor.ask("POST", "/api/marks", {"marks": []}, Content_Type=kind)[0] == 415


def test_no_body_is_larger_than_it_needs_to_be(visitor: Visitor) -> None:
    assert visitor.ask("POST", "/api/marks", {"marks": ["x" * 1_100_000]})[0] == 413


def test_everything_is_kept_to_this_page(visitor: Visitor) -> None:
    for path in ("/", "/assets/review.js", "/api/photos", "/nothing", f"/thumbnail/{visitor.names()['IMG_01.jpg']}"):
        _, headers, _ = visitor.ask("GET", path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert not [name for name in headers if name.startswith("access-control")]


def test_nothing_else_is_served(visitor: Visitor) -> None:
    photo_id = str(visitor.names()["IMG_01.jpg"])
    for path in (
        "/../../etc/passwd",
        "/assets/../guard.py",
        "/assets/%2e%2e/guard.py",
        "/assets/..%2fguard.py",
        "/assets//etc/passwd",
        "/thumbnail/..%2f..%2fetc%2fpasswd",
        "/thumbnail/999999",
        "/thumbnail/-1",
        "/thumbnail/1e3",
        "/thumbnail/" + "9" * 5000,
        "/preview/0x1",
        "/crop/{id}?x=-1&y=0&w=9&h=9",
        "/crop/{id}?x=0&y=0&w=0&h=9",
        "/crop/{id}?x=0&y=0&w=99999&h=9",
        "/crop/{id}",
        "/docs",
    ):
        assert visitor.ask("GET", path.replace("{id}", photo_id))[0] == 404, path


def test_photos_of_the_catalog_outside_the_scope_are_not_served(
    visitor: Visitor, tmp_path: Any, remember: Callable[..., Any], rows: Callable[..., Any]
) -> None:
    from fakes import write_jpeg

    private = write_jpeg(tmp_path / "private" / "diary.jpg", 77)
    remember({private: 1.0})
    ((photo_id,),) = rows("SELECT id FROM photos WHERE name = ?", b"diary.jpg")

    for path in ("thumbnail", "preview"):
        assert visitor.ask("GET", f"/{path}/{photo_id}")[0] == 404
    assert visitor.ask("POST", "/api/marks", {"marks": [[photo_id, "reject"]]})[0] == 400
    assert visitor.ask("POST", "/api/give", {"photo": photo_id, "stars": 1})[0] == 400


def test_it_listens_on_the_loopback_interface_alone(visitor: Visitor) -> None:
    addresses = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}

    for address in addresses - {"127.0.0.1"}:
        with socket.socket() as other:
            other.settimeout(2)
            assert other.connect_ex((address, visitor.port)) != 0


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(min_size=1, max_size=200))
def test_no_bytes_end_the_server(visitor: Visitor, raw: bytes) -> None:
    with socket.create_connection(("127.0.0.1", visitor.port), timeout=5) as connection:
        connection.sendall(raw + b"\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass

    assert visitor.ask("GET", "/")[0] == 200
