"""The gateway that hands SMS to developers."""

from __future__ import annotations

import json
import socket

import pytest

from chalicelib.services.ports import Message, MessageState, SmsFailed
from chalicelib.sms import log
from chalicelib.sms.log import LogGateway
from tests.unit.channels.front_desk import RecordingJournal
from tests.unit.scripted_server import answering, sending, serving

SMS = Message(
    payment_id="direct.demo-r-1",
    number=1,
    to="+254712345678",
    language="en",
    body="Token: 1234 5678 9012 3456 7890",
    state=MessageState.QUEUED,
)


def test_each_sms_is_posted_where_developers_read_it():
    with serving(answering(b"", status="204 No Content")) as server:
        LogGateway(f"{server.url}/sms", RecordingJournal()).send(SMS)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /sms HTTP/1.1\r\n")
    assert json.loads(body) == {
        "to": "+254712345678",
        "body": "Token: 1234 5678 9012 3456 7890",
        "payment_id": "direct.demo-r-1",
        "number": 1,
    }


def test_without_an_address_a_line_says_that_there_was_an_sms_but_not_what_it_said():
    journal = RecordingJournal()
    LogGateway(None, journal).send(SMS)
    (event,) = journal.events
    assert event["payment_id"] == "direct.demo-r-1"
    assert "1234 5678" not in str(event)


def test_the_line_on_standard_output_shows_neither_number_nor_token(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("SMS_LOG_URL", raising=False)
    log.make().send(SMS)
    printed = capsys.readouterr().out
    assert json.loads(printed)["event"] == "sms"
    assert "71234" not in printed
    assert "1234 5678" not in printed


def test_the_deployment_says_where_sms_go(monkeypatch: pytest.MonkeyPatch):
    with serving(answering(b"")) as server:
        monkeypatch.setenv("SMS_LOG_URL", f"{server.url}/sms")
        log.make().send(SMS)
        assert server.connections == 1


@pytest.mark.parametrize("status", ["302 Found", "400 Bad", "500 Oops"])
def test_an_sms_that_was_not_taken_has_failed(status: str):
    headers = "Location: http://127.0.0.1:1/\r\n"
    with serving(answering(b"", status=status, headers=headers)) as server:
        with pytest.raises(SmsFailed):
            LogGateway(server.url, RecordingJournal()).send(SMS)
        assert server.connections == 1


def test_an_sms_of_which_nothing_is_heard_has_failed():
    with serving(sending(b"")) as server, pytest.raises(SmsFailed):
        LogGateway(server.url, RecordingJournal()).send(SMS)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(SmsFailed):
        LogGateway(f"http://127.0.0.1:{port}", RecordingJournal()).send(SMS)
