"""The faked MeSomb, asked over real HTTP."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3

from infra.local.providers import mesomb, secret
from tests.infra.listening import Company, listening
from tests.infra.running_fakes import Running, call, running, without_none

GIVEN = mesomb.made_up()
REFERENCE = "0f1e2d3c0000400080000000000000a1"
PAYER = "254712000001"

Reply = urllib3.BaseHTTPResponse


@pytest.fixture
def company() -> Iterator[Company]:
    """A company that takes webhooks."""
    with listening() as company:
        yield company


@pytest.fixture
def fakes(tmp_path: Path, company: Company) -> Iterator[Running]:
    """A freshly started MeSomb that tells the company."""
    with running(tmp_path, company.url, (), ["mesomb"], {"mesomb": GIVEN}) as started:
        yield started


# --- what is asked, as documented; changes replace fields, None leaves one out -----------------


def ask(
    fakes: Running,
    method: str,
    path: str,
    fields: Any = None,
    key: str = GIVEN["secret_key"],
    age: int = 0,
    nonce: str | None = None,
    **headers: str,
) -> Reply:
    """One call, signed by the vendor's rule; ``headers`` replace what is sent."""
    url = f"{fakes.urls['mesomb']}/api/v1.1/payment{path}"
    at = urlsplit(url)
    moment = int(time.time()) - age
    signed = {
        "host": f"http://{at.netloc}",
        "x-mesomb-date": str(moment),
        "x-mesomb-nonce": str(time.perf_counter_ns()) if nonce is None else nonce,
    }
    if method == "POST":
        signed = {"content-type": "application/json", **signed}
    body = json.dumps(fields or {}, separators=(",", ":"))
    lines = [f"{name}:{value}" for name, value in signed.items()]
    names = ";".join(signed)
    digest = hashlib.sha1(body.encode()).hexdigest()
    canonical = "\n".join([method, at.path, at.query, *lines, names, digest])
    scope = f"{datetime.fromtimestamp(moment, UTC):%Y%m%d}/payment/mesomb_request"
    digest = hashlib.sha1(canonical.encode()).hexdigest()
    text = f"HMAC-SHA1\n{moment}\n{scope}\n{digest}"
    signature = hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest()
    credential = f"{GIVEN['access_key']}/{scope}"
    sent = {
        **{name.replace("-", "_"): value for name, value in signed.items() if name != "host"},
        "x_mesomb_application": GIVEN["application_key"],
        "Authorization": (
            f"HMAC-SHA1 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        ),
        **headers,
    }
    if method == "POST":
        sent["Content-Type"] = sent.pop("content_type")
    return call(method, url, body.encode() if method == "POST" else None, **sent)


def collect(fakes: Running, key: str = GIVEN["secret_key"], **changes: Any) -> Reply:
    """A payer is asked for 2500."""
    fields = {
        "amount": 2500,
        "service": "AIRTEL",
        "payer": PAYER,
        "country": "KE",
        "currency": "KES",
        "fees": True,
        "trxID": REFERENCE,
        "mode": "asynchronous",
        **changes,
    }
    return ask(fakes, "POST", "/collect/", without_none(fields), key)


def look(fakes: Running, name: str = REFERENCE, source: str = "EXTERNAL") -> list[dict[str, Any]]:
    """What became of a transaction."""
    items: list[dict[str, Any]] = ask(
        fakes, "GET", f"/transactions/?ids={name}&source={source}", nonce=""
    ).json()
    return items


def refund(fakes: Running, **changes: Any) -> Reply:
    """A refund of all that was paid."""
    fields = {"currency": "KES", "conversion": False, **changes}
    if "id" not in fields:
        fields["id"] = look(fakes)[0]["pk"]
    return ask(fakes, "POST", "/refund/", fields)


def control(fakes: Running, name: str, **body: Any) -> Reply:
    """Something that is had done at MeSomb's side."""
    return call("POST", f"{fakes.control}/mesomb/{name}", body)


def refused(answer: Reply) -> tuple[int, str]:
    """The status and the code of an error in MeSomb's form."""
    body = answer.json()
    assert set(body) == {"detail", "code"}
    return answer.status, body["code"]


def signatures(headers: dict[str, str], body: bytes) -> list[bool]:
    """Which of the signatures of a webhook are made with the company's secret."""
    moment, *signed = headers["mesomb-signature"].split(",")
    key = GIVEN["webhook_secret"].encode()
    text = moment.removeprefix("t=").encode() + b"." + body
    digest = hmac.new(key, text, hashlib.sha256).hexdigest()
    return [each == f"v1={digest}" for each in signed]


def test_the_secret_has_what_the_channel_needs() -> None:
    content = secret("mesomb", GIVEN, "http://127.0.0.1:9/mesomb")
    assert content == {
        "base_url": "http://127.0.0.1:9/mesomb/api/v1.1",
        "application_key": GIVEN["application_key"],
        "access_key": GIVEN["access_key"],
        "secret_key": GIVEN["secret_key"],
        "webhook_secrets": [GIVEN["webhook_secret"]],
        "country": "KE",
        "currency": "KES",
        "services": ["MTN", "ORANGE", "AIRTEL"],
    }


class TestCollect:
    def test_the_payer_is_asked_pays_and_the_company_is_told(
        self, fakes: Running, company: Company
    ) -> None:
        answer = collect(fakes).json()
        assert (answer["success"], answer["status"]) == (True, "PENDING")
        assert answer["transaction"]["reference"] == REFERENCE
        assert look(fakes)[0]["status"] == "PENDING"
        assert control(fakes, "pay", reference=REFERENCE).json()["webhook_status"] == 200
        told = company.only()
        assert told.path == "/payments/mesomb/webhook"
        assert signatures(told.headers, told.body) == [True]
        event = told.json()
        assert event["id"].startswith("evt_")
        assert event["type"] == "payment.transaction.success"
        shown = event["data"]["object"]
        assert shown == look(fakes)[0] == look(fakes, shown["pk"], "MESOMB")[0]
        assert (shown["status"], shown["amount"], shown["fees"]) == ("SUCCESS", 2500, 0)
        assert (shown["trxID"], shown["b_party"]) == (REFERENCE, PAYER)

    def test_our_id_and_the_mode_may_be_headers(self, fakes: Running) -> None:
        fields = {
            "amount": 2500.5,
            "service": "MTN",
            "payer": "712000001",
            "country": "KE",
            "currency": "KES",
        }
        headers = {"X_MeSomb_TrxID": "other", "X_MeSomb_OperationMode": "asynchronous"}
        answer = ask(fakes, "POST", "/collect/", fields, **headers).json()
        assert (answer["status"], answer["reference"]) == ("PENDING", "other")
        assert look(fakes, "other")[0]["b_party"] == PAYER

    def test_a_synchronous_one_is_paid_at_once_unless_told_otherwise(self, fakes: Running) -> None:
        assert collect(fakes, mode=None).json()["status"] == "SUCCESS"
        control(fakes, "next", payer=PAYER, status="FAILED")
        answer = collect(fakes, mode="synchronous", trxID="other").json()
        assert (answer["success"], answer["status"]) == (False, "FAILED")
        assert look(fakes, "other")[0]["status"] == "FAILED"

    def test_the_same_id_twice_makes_two_transactions(self, fakes: Running) -> None:
        collect(fakes)
        collect(fakes)
        assert len({item["pk"] for item in look(fakes)}) == 2

    def test_anything_undocumented_is_refused(self, fakes: Running) -> None:
        changes: list[dict[str, Any]] = [
            *({"amount": amount} for amount in (0, 5, -1, "2500", 25.001, True, None)),
            {"service": "VODACOM"},
            {"payer": "+254712000001"},
            {"country": "CM"},
            {"currency": "XAF"},
            {"fees": "yes"},
            {"mode": "later"},
            {"serial_number": "47000123456"},
        ]
        for change in changes:
            assert refused(collect(fakes, **change))[0] == 400, change
        assert look(fakes) == []

    def test_only_the_company_is_answered(self, fakes: Running) -> None:
        assert refused(collect(fakes, key="guess")) == (403, "invalid-signature")
        path = "/transactions/?ids=a&source=EXTERNAL"
        other = {"x_mesomb_application": "other"}
        assert refused(ask(fakes, "GET", path, **other)) == (404, "application-not-found")
        assert refused(ask(fakes, "GET", path, Authorization="")) == (403, "permission-denied")
        assert refused(ask(fakes, "GET", path, age=3600)) == (403, "invalid-date")
        assert refused(ask(fakes, "GET", path, x_mesomb_nonce="x")) == (403, "invalid-signature")
        assert ask(fakes, "POST", "/refund/", {"id": "a"}, nonce="n").status == 400
        assert refused(ask(fakes, "POST", "/refund/", {"id": "a"}, nonce="n"))[0] == 403
        assert refused(ask(fakes, "GET", "/collect/"))[0] == 404


class TestPaying:
    def test_what_was_really_paid_is_told(self, fakes: Running, company: Company) -> None:
        collect(fakes)
        control(fakes, "pay", reference=REFERENCE, amount="1000.50", currency="USD", notify=False)
        assert company.told == []
        assert (look(fakes)[0]["amount"], look(fakes)[0]["currency"]) == (1000.5, "USD")

    def test_a_failure_is_told_and_undoes_no_success(
        self, fakes: Running, company: Company
    ) -> None:
        collect(fakes)
        control(fakes, "pay", reference=REFERENCE, notify=False)
        control(fakes, "pay", reference=REFERENCE, status="FAILED")
        event = company.only().json()
        assert event["type"] == "payment.transaction.failed"
        assert event["data"]["object"]["status"] == "FAILED"
        assert look(fakes)[0]["status"] == "SUCCESS"

    def test_an_event_that_comes_again_keeps_its_id(self, fakes: Running, company: Company) -> None:
        collect(fakes)
        assert control(fakes, "notify", reference=REFERENCE).status == 422
        control(fakes, "pay", reference=REFERENCE, times=2)
        control(fakes, "notify", reference=REFERENCE)
        control(fakes, "notify", reference=REFERENCE, status="FAILED", age=900)
        ids = [told.json()["id"] for told in company.told]
        assert ids[0] == ids[1] == ids[2] != ids[3]
        late = company.told[-1]
        assert signatures(late.headers, late.body) == [True]
        moment = int(late.headers["mesomb-signature"].partition(",")[0].removeprefix("t="))
        assert 890 < time.time() - moment < 910

    def test_somebody_pays_whom_nobody_asked(self, fakes: Running, company: Company) -> None:
        answer = control(fakes, "uninvited", payer="+254733000002", amount=300).json()
        shown = company.only().json()["data"]["object"]
        assert (shown["b_party"], shown["trxID"], shown["amount"]) == ("254733000002", None, 300)
        assert look(fakes, answer["pk"], "MESOMB") == [shown]
        assert refund(fakes, id=answer["pk"]).json()["status"] == "SUCCESS"

    def test_fees_are_a_part_of_what_is_paid_or_on_top(self, fakes: Running) -> None:
        control(fakes, "fees", percent=2)
        shown = collect(fakes).json()["transaction"]
        assert (shown["amount"], shown["fees"]) == (2450, 50)
        shown = collect(fakes, fees=False).json()["transaction"]
        assert (shown["amount"], shown["fees"]) == (2500, 50)

    def test_while_the_secret_is_changed_both_sign(self, fakes: Running, company: Company) -> None:
        collect(fakes)
        control(fakes, "two_signatures", on=True)
        control(fakes, "pay", reference=REFERENCE)
        told = company.only()
        assert signatures(told.headers, told.body) == [False, True]

    def test_an_order_that_makes_no_sense_is_refused(self, fakes: Running) -> None:
        assert control(fakes, "pay", reference=REFERENCE).status == 404
        for name, body in (
            ("pay", {}),
            ("pay", {"reference": REFERENCE, "amount": 0}),
            ("uninvited", {"payer": PAYER}),
            ("next", {"status": "FAILED"}),
        ):
            assert control(fakes, name, **body).status == 422


class TestRefund:
    @pytest.fixture(autouse=True)
    def paid(self, fakes: Running) -> None:
        """A payment."""
        collect(fakes)
        control(fakes, "pay", reference=REFERENCE, notify=False)

    def test_no_more_than_what_is_left_is_given_back(self, fakes: Running) -> None:
        assert refused(refund(fakes, amount=2501)) == (400, "invalid-amount")
        answer = refund(fakes, amount=1000, amount_currency="KES").json()
        assert (answer["status"], answer["transaction"]["amount"]) == ("SUCCESS", 1000)
        assert refund(fakes).json()["transaction"]["amount"] == 1500
        assert refused(refund(fakes)) == (400, "invalid-amount")
        first, second = fakes.refunds("mesomb")
        assert (first["reference"], first["amount"], first["status"]) == (
            REFERENCE,
            1000,
            "SUCCESS",
        )
        assert second["refund_id"] == look(fakes, second["refund_id"], "MESOMB")[0]["pk"]

    def test_only_what_was_paid_is_given_back(self, fakes: Running) -> None:
        collect(fakes, trxID="other")
        other = look(fakes, "other")[0]["pk"]
        assert refused(refund(fakes, id=other)) == (400, "refund-not-allowed")
        assert refused(refund(fakes, id="other")) == (400, "transaction-not-found")
        assert refused(refund(fakes, currency="XAF")) == (400, "invalid-currency")
        assert fakes.refunds("mesomb") == []

    def test_that_it_was_done_is_told(self, fakes: Running, company: Company) -> None:
        fakes.order("mesomb", "pending", times=1)
        pk = look(fakes)[0]["pk"]
        answer = refund(fakes, id=pk).json()
        control(fakes, "notify", refund_id=answer["transaction"]["pk"])
        event = company.only().json()
        assert event["type"] == "payment.refund.success"
        assert event["data"]["object"]["reference"] == pk

    def test_it_may_take_its_time_and_fail(self, fakes: Running) -> None:
        pk = look(fakes)[0]["pk"]
        fakes.order("mesomb", "refund_fails", times=1)
        fakes.order("mesomb", "pending", times=1)
        answer = refund(fakes, id=pk).json()
        looks = [look(fakes, answer["transaction"]["pk"], "MESOMB")[0] for _ in range(2)]
        statuses = [answer["status"], *(shown["status"] for shown in looks)]
        assert statuses == ["PENDING", "PENDING", "FAILED"]
        assert refund(fakes, id=pk).json()["status"] == "SUCCESS"

    def test_faults_of_calls(self, fakes: Running) -> None:
        pk = look(fakes)[0]["pk"]
        fakes.order("mesomb", "error_500", serial_number=REFERENCE, times=1)
        assert refund(fakes, id=pk).status == 500
        fakes.order("mesomb", "refuse", times=2)
        assert refused(refund(fakes, id=pk)) == (400, "refund-not-allowed")
        assert refused(collect(fakes, trxID="other"))[0] == 400
        assert (fakes.refunds("mesomb"), look(fakes, "other")) == ([], [])
        fakes.order("mesomb", "garbage", times=1)
        assert refund(fakes, id=pk).data.startswith(b"<html>")
        assert len(fakes.refunds("mesomb")) == 1
