"""Known vulnerabilities are found, by a database that speaks as https://osv.dev does."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from infra import vulnerabilities
from infra.vulnerabilities import DatabaseUnreachable, Vulnerability, known_of, written

KNOWN = {
    "id": "GHSA-aaaa-bbbb-cccc",
    "aliases": ["CVE-2099-1"],
    "summary": "Lets strangers in",
    "details": "Lets strangers in. At night.",
    "modified": "2026-01-01T00:00:00Z",
    "published": "2026-01-01T00:00:00Z",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [
                {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.1"}]},
            ],
        }
    ],
}


class Database(BaseHTTPRequestHandler):
    """Knows one vulnerability, of one version of one package."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert asked["package"]["ecosystem"] == "PyPI"
        leaky = (asked["package"]["name"], asked["version"]) == ("leaky", "1.0")
        body = json.dumps({"vulns": [KNOWN]} if leaky else {}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def osv_url() -> Iterator[str]:
    """The address of a running database."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Database) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def pins(folder: Path, text: str) -> Path:
    """A file with pinned versions."""
    file = folder / "requirements.txt"
    file.write_text(text)
    return file


def test_what_is_known_of_a_pinned_version_is_found(osv_url: str, tmp_path: Path) -> None:
    file = pins(tmp_path, "-r others.txt\n# tools\nleaky==1.0\ntight==2.0\n")
    assert known_of(file, osv_url) == [
        Vulnerability(
            package="leaky",
            version="1.0",
            names=("CVE-2099-1", "GHSA-aaaa-bbbb-cccc"),
            fixed_in=("1.1",),
            summary="Lets strangers in",
        )
    ]


def test_a_database_that_does_not_answer_is_no_pass(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1/query"
        with pytest.raises(DatabaseUnreachable):
            known_of(pins(tmp_path, "tight==2.0\n"), address)


def test_the_report_says_what_it_is_and_where_it_is_mended(tmp_path: Path) -> None:
    file = pins(tmp_path, "leaky==1.0\n")
    found = Vulnerability("leaky", "1.0", ("A-1", "B-2"), ("1.1",), "Lets a|b in")
    text = written("What runs", file, [found])
    assert "| leaky 1.0 | A-1, B-2 | 1.1 | Lets a/b in |" in text
    assert "Nothing is known" in written("What runs", file, [])


def test_it_asks_about_everything_that_is_pinned() -> None:
    root = vulnerabilities.ROOT
    assert set(vulnerabilities.PINS.values()) == set(root.glob("requirements*.txt"))
