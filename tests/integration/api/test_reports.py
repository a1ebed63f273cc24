"""Reports and statements over the API, as finance reads them."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest

from chalicelib.services.ports import QueueUnavailable
from tests.integration.api.conftest import Api, Place, meter, person, registration, shs
from tests.integration.api.moving import work
from tests.integration.api.test_reconciliations import scheduled
from tests.integration.company import FixedClock
from tests.integration.conftest import Cloud


def settle(api: Api, cloud: Cloud) -> None:
    """Settle what is queued."""
    for message in cloud.take("payments"):
        body = message["body"]
        api.wiring.settle.settle(body["payment_id"], body["customer_id"], body["serial_number"])


def pay(api: Api, cloud: Cloud, serial_number: str, amount: str, key: str) -> str:
    """Money over the counter; the payment's id."""
    reply = api.send(
        "POST",
        "/payments/cash",
        {"serial_number": serial_number, "amount": amount},
        role="office",
        headers={"Idempotency-Key": key},
    )
    assert reply.status == 202, reply.text
    settle(api, cloud)
    payment_id: str = reply.json["payment_id"]
    return payment_id


@pytest.fixture
def household(api: Api, cloud: Cloud, place: Place, clock: FixedClock) -> str:
    """A customer with a meter and a solar home system, who has paid for both, and has credit."""
    api.post("/registrations", registration(person(place), meter(place)), "field")
    api.post("/registrations", registration({"customer_id": "C1"}, shs()), "office")
    clock.move(timedelta(minutes=1))
    return "C1"


def test_finance_asks_for_a_report_and_takes_its_files(
    api: Api, cloud: Cloud, household: str, clock: FixedClock
) -> None:
    pay(api, cloud, "SHS1", "700", "k1")
    clock.move(timedelta(minutes=1))
    reply = api.post("/reports", {"from": "2026-03-10", "to": "2026-03-10"}, "finance")
    assert reply.status == 202
    assert (reply.json["state"], reply.json["files"]) == ("running", [])
    work(api, cloud)
    report = api.get(f"/reports/{reply.json['report_id']}", "operations").json
    assert (report["state"], report["interim"], report["from"]) == ("done", True, None)
    text, table = report["files"]
    read = api.get(text["path"], "finance")
    assert read.headers["content-type"].startswith("text/plain")
    assert read.text.splitlines()[4] == report["sentence"]
    assert "  Money in (1)                        700.00\n" in read.text
    sheet = api.get(table["path"], "finance")
    assert sheet.headers["content-disposition"] == f'attachment; filename="{table["name"]}"'
    rows = list(csv.DictReader(io.StringIO(sheet.text.removeprefix("\ufeff"), newline="")))
    assert {"section": "money_in", "item": "cash", "amount": "700.00"}.items() <= rows[6].items()
    assert "\r\n" in sheet.text


def test_rows_are_taken_file_by_file_and_have_no_text(
    api: Api, cloud: Cloud, household: str, clock: FixedClock
) -> None:
    payment_id = pay(api, cloud, "SHS1", "700", "k1")
    clock.move(timedelta(minutes=1))
    asked = {"from": "2026-03-10", "to": "2026-03-10", "contents": "rows"}
    report_id = api.post("/reports", asked, "finance").json["report_id"]
    work(api, cloud)
    files = api.get(f"/reports/{report_id}", "finance").json["files"]
    assert [(file["name"], file["rows"]) for file in files] == [
        ("payments-0001.csv", 1),
        ("lines-0001.csv", 1),
        ("entries-0001.csv", 2),
    ]
    assert payment_id in api.get(files[0]["path"], "finance").text
    assert api.get(f"/reports/{report_id}/text", "finance").status == 404


def test_the_schedule_closes_the_day_and_the_list_shows_it(
    api: Api, cloud: Cloud, household: str, clock: FixedClock
) -> None:
    clock.move(timedelta(days=1))
    scheduled(api)
    work(api, cloud)
    [report] = api.get("/reports?limit=5", "finance").json["items"]
    assert (report["report_id"], report["kind"]) == ("day-2026-03-10", "day")
    assert report["sentence"] == "All money is accounted for."
    assert [file["path"] for file in report["files"]] == [
        "/reports/day-2026-03-10/text",
        "/reports/day-2026-03-10/files/2",
    ]
    assert api.get("/reports/day-2026-03-10/files/2", "finance").status == 200
    for path in ("files/1", "files/0", "files/3", "files/x"):
        assert api.get(f"/reports/day-2026-03-10/{path}", "finance").code == "not_found"
    assert api.get("/reports/day-2026-03-11", "finance").code == "not_found"
    assert api.get("/exports/day-2026-03-10", "finance").status == 404


def test_a_period_is_two_days_that_exist(api: Api) -> None:
    for body in ({"from": "2026-03-10"}, {"from": "2026-02-30", "to": "2026-03-10"}):
        assert api.post("/reports", body, "finance").code == "invalid"
    wrong = api.post("/reports", {"from": "2026-03-11", "to": "2026-03-11"}, "finance")
    assert [error["field"] for error in wrong.json["errors"]] == ["to"]


def test_a_report_that_cannot_be_queued_is_asked_for_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: object) -> None:
        raise QueueUnavailable

    monkeypatch.setattr(api.wiring.queues, "move", unavailable)
    body = {"from": "2026-03-10", "to": "2026-03-10"}
    assert api.post("/reports", body, "finance").status == 503


# --- statements -------------------------------------------------------------------------------


def statement(api: Api, query: str = "from=2026-03-01&to=2026-03-10") -> Any:
    return api.get(f"/customers/C1/statement?{query}", "finance").json


def test_a_statement_agrees_with_the_account(
    api: Api, cloud: Cloud, household: str, clock: FixedClock
) -> None:
    pay(api, cloud, "SHS1", "700", "k1")
    pay(api, cloud, "47001", "125", "k2")
    told = statement(api)
    account = api.get("/customers/C1/account").json
    assert told["opening"] == {"credit": "0.00", "to_pay": "0.00", "carried": "0.00"}
    assert told["closing"]["credit"] == account["credit"]
    assert told["closing"]["to_pay"] == account["plans"][0]["open"]
    carried = [d["carry"]["amount"] for d in account["devices"] if d["kind"] == "meter"]
    assert [told["closing"]["carried"]] == carried
    assert [(m["what"], m["amount"]) for m in told["movements"]] == [
        ("registered", None),
        ("registered", None),
        ("cash", "700.00"),
        ("cash", "125.00"),
    ]
    paid = told["movements"][2]
    assert paid["change"] == {"credit": "0.00", "to_pay": "-700.00", "carried": "0.00"}
    assert paid["lines"] == [{"kind": "time", "ref": "SHS1", "amount": "700.00"}]
    assert paid["tokens"] == [{"serial_number": "SHS1", "kind": "time", "units": "7"}]


def test_a_later_statement_begins_where_the_first_ended(
    api: Api, cloud: Cloud, household: str, clock: FixedClock
) -> None:
    pay(api, cloud, "SHS1", "700", "k1")
    first = statement(api)
    clock.move(timedelta(days=1))
    pay(api, cloud, "SHS1", "800", "k2")
    second = statement(api, "from=2026-03-11&to=2026-03-11")
    assert second["opening"] == first["closing"]
    assert len(second["movements"]) == 1
    assert statement(api) == first


def test_money_that_is_in_no_account_yet_is_told_and_changes_nothing(
    api: Api, cloud: Cloud, household: str
) -> None:
    api.send(
        "POST",
        "/payments/cash",
        {"serial_number": "SHS1", "amount": "700"},
        role="office",
        headers={"Idempotency-Key": "k1"},
    )
    last = statement(api)["movements"][-1]
    assert (last["status"], last["amount"], last["lines"]) == ("received", "700.00", [])
    assert last["change"] == {"credit": "0.00", "to_pay": "0.00", "carried": "0.00"}
    text = api.get("/customers/C1/statement/text?from=2026-03-01&to=2026-03-10").text
    assert "paid 700.00 by cash (received)\n" in text


def test_a_statement_is_text_and_csv_too(api: Api, cloud: Cloud, household: str) -> None:
    payment_id = pay(api, cloud, "SHS1", "700", "k1")
    period = "from=2026-03-10&to=2026-03-10"
    text = api.get(f"/customers/C1/statement/text?{period}", "office").text.splitlines()
    total = api.get("/customers/C1/account").json["plans"][0]["open"]
    assert text[2] == "2026-03-10 to 2026-03-10, amounts in KES"
    assert "2026-03-10  paid 700.00 by cash" in text
    assert "  days SHS1: 700.00" in text
    assert text[-1] == (
        f"At the end: credit 0.00, still to pay on plans {total}, carried on meters 0.00"
    )
    reply = api.get(f"/customers/C1/statement/csv?{period}", "office")
    assert reply.headers["content-disposition"].endswith('C1-2026-03-10-2026-03-10.csv"')
    rows = list(csv.reader(io.StringIO(reply.text.removeprefix("\ufeff"), newline="")))
    assert [row[1] for row in rows[1:]] == [
        *("opening", "registered", "registered", "cash", "line", "closing")
    ]
    assert rows[4][2:6] == [payment_id, "", "", "700.00"]
    assert rows[5][3:6] == ["time", "SHS1", "700.00"]
    assert rows[6][6:] == ["0.00", total, "0.00", "KES"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-03-10", "to"),
        ("to=2026-03-10", "from"),
        ("from=2026-03-10&to=2026-03-09", "to"),
        ("from=2025-03-09&to=2026-03-10", "to"),
        ("from=2026-03-10&to=2026-03-11", "to"),
    ],
)
def test_a_period_that_cannot_be_told_is_refused(
    api: Api, household: str, query: str, field: str
) -> None:
    wrong = api.get(f"/customers/C1/statement?{query}", "office")
    assert (wrong.status, [each["field"] for each in wrong.json["errors"]]) == (422, [field])


def test_nobody_s_statement_is_not_found(api: Api) -> None:
    missing = api.get("/customers/C9/statement?from=2026-03-10&to=2026-03-10", "office")
    assert missing.code == "not_found"
