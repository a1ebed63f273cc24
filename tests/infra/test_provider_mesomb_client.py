"""MeSomb's own published client, against the fake and against the signatures that we make."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import patch

import pytest
from pymesomb import mesomb as client_settings
from pymesomb.exceptions import PermissionDeniedException
from pymesomb.operations import PaymentOperation
from pymesomb.signature import Signature

from chalicelib.channels.mesomb_api import authorization, keys_of
from infra.local.providers import secret
from tests.infra.running_fakes import Running, running

KEY = "mesomb"


@pytest.fixture
def fakes(tmp_path: Path) -> Iterator[Running]:
    """The fake alone, at which the client looks for MeSomb."""
    with (
        running(tmp_path, only=(), providers_only=(KEY,)) as started,
        patch.object(client_settings, "host", started.urls[KEY]),
    ):
        yield started


def operation(fakes: Running, secret_key: str | None = None) -> PaymentOperation:
    given = fakes.given[KEY]
    return PaymentOperation(
        given["application_key"], given["access_key"], secret_key or given["secret_key"]
    )


def test_the_client_collects_and_refunds_at_the_fake(fakes: Running) -> None:
    collected = operation(fakes).make_collect(
        amount=100, service="MTN", payer="237670000000", country="KE", currency="KES", trx_id="t-1"
    )
    assert collected.is_operation_success() and collected.is_transaction_success()
    refunded = operation(fakes).refund_transaction(trx_id=collected.transaction.pk)
    assert refunded.is_operation_success()


def test_the_fake_refuses_the_client_s_wrong_key(fakes: Running) -> None:
    with pytest.raises(PermissionDeniedException):
        operation(fakes, "another key").make_collect(
            amount=100, service="MTN", payer="237670000000", country="KE", currency="KES"
        )


def test_our_signature_is_the_client_s(fakes: Running) -> None:
    given = fakes.given[KEY]
    keys = keys_of(secret(KEY, given, fakes.urls[KEY]))
    url = f"{fakes.urls[KEY]}/api/v1.1/payment/collect/"
    at = datetime(2026, 1, 8, 9, 0, tzinfo=UTC)
    body = {"amount": 100, "payer": "237670000000"}
    sent = json.dumps(body, separators=(",", ":")).encode()
    theirs = Signature.sign_request(
        "payment",
        "POST",
        url,
        at,
        "nonce-1",
        {"access_key": given["access_key"], "secret_key": given["secret_key"]},
        {"content-type": "application/json"},
        body,
    )
    assert theirs == authorization(keys, "POST", url, at, "nonce-1", sent)
