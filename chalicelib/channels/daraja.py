"""Daraja C2B: M-Pesa Kenya, where a customer pays our paybill and types the serial as account.

Safaricom asks first (validation), then tells that money has moved (confirmation). It signs
nothing: what proves a caller is a secret part of the path, which only Safaricom was told, and
the address it comes from. Both are configured, and several secrets live while one is rotated.

A validation is always answered with HTTP 200, and never with yes unless we mean it. A
confirmation is answered with an error only where it was not stored.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from zoneinfo import ZoneInfo

from chalicelib.channels.claimed_serial import claimed_serial
from chalicelib.channels.interface import (
    BODY_BYTES_MAX,
    Channel,
    Described,
    Desk,
    Endpoint,
    texts,
)
from chalicelib.channels.strict_json import Malformed, Number, read_object
from chalicelib.domain.errors import InvalidAmount, MwangaError, Refusal
from chalicelib.domain.money import Currency, parse_amount
from chalicelib.domain.payment import Claim
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.ports import (
    ProviderAnswer,
    ProviderRequest,
    RefusalClass,
    SecretMissing,
)

KEY = "daraja"
SECRET = "channels/daraja"  # noqa: S105 - the name of a secret, not a secret
SHILLING = Currency("KES", 2)
AMOUNT_MINOR_MAX = 10**12
"""No report names more than ten thousand million shillings. What may be *paid* is judged later:
money that has moved is stored, however much it is."""

KENYA = ZoneInfo("Africa/Nairobi")

BAD_ACCOUNT = "C2B00012"
BAD_AMOUNT = "C2B00013"
BAD_SHORT_CODE = "C2B00015"
OTHER = "C2B00016"

CODES: Mapping[Refusal, str] = {
    Refusal.INVALID_AMOUNT: BAD_AMOUNT,
    Refusal.WRONG_CURRENCY: OTHER,
    Refusal.UNKNOWN_DEVICE: BAD_ACCOUNT,
    Refusal.DEVICE_UNASSIGNED: BAD_ACCOUNT,
    Refusal.NO_TARIFF: BAD_ACCOUNT,
    Refusal.NO_PLAN: BAD_ACCOUNT,
    Refusal.NOTHING_TO_PAY: OTHER,
    Refusal.TOO_SMALL: BAD_AMOUNT,
}
"""What Safaricom is told for each refusal; the customer's SMS says no more than "rejected"."""

_SHORT_CODE = re.compile(r"[0-9]{5,8}")
_TRANSACTION = re.compile(r"[A-Za-z0-9]{1,40}")
_TIME = re.compile(r"[0-9]{14}")


class WrongPath(MwangaError):
    """The secret part of the path is none of ours: the caller learns nothing."""

    code = "wrong_path_secret"


class WrongAddress(MwangaError):
    """The caller's address is not one of Safaricom's."""

    code = "wrong_address"


class ReportRejected(MwangaError):
    """Nothing can be done with a report as it is. ``provider_code`` says so to Safaricom."""

    provider_code = OTHER


class Unreadable(ReportRejected):
    """No claim can be made of the body."""

    code = "unreadable"


class UnreadableAmount(Unreadable):
    """What was paid cannot be read, or is not above zero."""

    provider_code = BAD_AMOUNT


class WrongShortCode(ReportRejected):
    """The money is said to have fallen into a pot that is not ours."""

    code = "wrong_short_code"
    provider_code = BAD_SHORT_CODE


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the secret says: our paybill, the live path secrets, and who may call."""

    short_code: str
    path_secrets: tuple[str, ...]
    networks: tuple[IPv4Network | IPv6Network, ...]


# --- the endpoints --------------------------------------------------------------------------


def validation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Safaricom's question before money moves: yes, or one of its codes for no.

    Where we cannot tell, the answer is no: a yes would take money that we might have to give back.
    """
    try:
        configuration = _admitted(request, desk)
        refusal = desk.question(_claim(request, configuration))
    except (WrongPath, WrongAddress) as intruder:
        return _turned_away(intruder, desk)
    except ReportRejected as wrong:
        _note(wrong, desk)
        return _rejected(wrong.provider_code)
    except MwangaError as failed:
        _note(failed, desk)
        return _rejected(OTHER)
    if refusal is not None:
        return _rejected(CODES[refusal])
    return ProviderAnswer(200, {"ResultCode": "0", "ResultDesc": "Accepted"})


def confirmation(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """Safaricom's word that money has moved. It is stored whatever its serial.

    A receipt that comes again with another amount or serial is recorded and answered with
    success: sending it once more would change nothing, a person must look.
    """
    try:
        configuration = _admitted(request, desk)
        desk.accept(_claim(request, configuration), money_moved=True)
    except (WrongPath, WrongAddress) as intruder:
        return _turned_away(intruder, desk)
    except ReportRejected as wrong:
        _note(wrong, desk)
        return _rejected(wrong.provider_code, status=400)
    except ReferenceConflict as conflict:
        _note(conflict, desk)
    except MwangaError as failed:
        _note(failed, desk)
        return _rejected(OTHER, status=503)
    return ProviderAnswer(200, {"ResultCode": 0, "ResultDesc": "Accepted"})


def _described(*statuses: int) -> Described:
    """Both have one form, and one answer: code and words."""
    answer = {
        "type": "object",
        "required": ["ResultCode", "ResultDesc"],
        "properties": {
            "ResultCode": {"type": ["string", "integer"]},
            "ResultDesc": {"type": "string"},
        },
    }
    return Described(
        proof="An unguessable part of the path, and an address of the provider's.",
        body=texts("TransID", "TransAmount", "BillRefNumber", "BusinessShortCode", "TransTime"),
        answers=dict.fromkeys(statuses, answer),
    )


CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Kenya (Daraja C2B)",
    refusal_class=RefusalClass.ASKS_FIRST,
    endpoints=(
        Endpoint(
            "daraja_validation",
            "POST",
            "/payments/daraja/{path_secret}/validation",
            validation,
            _described(200, 403, 404),
        ),
        Endpoint(
            "daraja_confirmation",
            "POST",
            "/payments/daraja/{path_secret}/confirmation",
            confirmation,
            _described(200, 400, 403, 404, 503),
        ),
    ),
)


def _rejected(code: str, status: int = 200) -> ProviderAnswer:
    return ProviderAnswer(status, {"ResultCode": code, "ResultDesc": "Rejected"})


def _turned_away(intruder: MwangaError, desk: Desk) -> ProviderAnswer:
    desk.journal.event("caller_refused", channel=KEY, reason=intruder.code)
    desk.journal.count("CallersRefused", channel=KEY, reason=intruder.code)
    return _rejected(OTHER, status=404 if isinstance(intruder, WrongPath) else 403)


def _note(error: MwangaError, desk: Desk) -> None:
    """Something is wrong with a report, or with us: operations must see it."""
    desk.journal.event("report_failed", channel=KEY, reason=error.code, detail=error.detail)
    desk.journal.count("ReportsFailed", channel=KEY, reason=error.code)


# --- who is calling -------------------------------------------------------------------------


def _admitted(request: ProviderRequest, desk: Desk) -> Configuration:
    """The configuration, once the caller has shown the path's secret from an address we know."""
    configuration = _configuration(desk.secret(SECRET))
    shown = request.path_parameters.get("path_secret", "").encode("utf-8", "replace")
    fits = [hmac.compare_digest(shown, s.encode()) for s in configuration.path_secrets]
    if not any(fits):
        raise WrongPath
    if not _is_within(request.source_address, configuration.networks):
        raise WrongAddress
    return configuration


def _is_within(address: str, networks: tuple[IPv4Network | IPv6Network, ...]) -> bool:
    try:
        caller = ip_address(address)
    except ValueError:
        return False
    return any(caller in network for network in networks)


def _configuration(content: Mapping[str, Any]) -> Configuration:
    """Read the secret. Nothing in it is optional: an empty list of addresses admits nobody.

    Raises:
        SecretMissing: it is not in its agreed form.
    """
    short_code = content.get("short_code")
    if not isinstance(short_code, str) or _SHORT_CODE.fullmatch(short_code) is None:
        raise SecretMissing(SECRET)
    try:
        networks = tuple(ip_network(address) for address in _texts(content, "addresses"))
    except ValueError:
        raise SecretMissing(SECRET) from None
    return Configuration(short_code, _texts(content, "path_secrets"), networks)


def _texts(content: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = content.get(name)
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise SecretMissing(SECRET)
    return tuple(texts)


# --- what is said -----------------------------------------------------------------------------


def _claim(request: ProviderRequest, configuration: Configuration) -> Claim:
    """The claim in a report. Validation and confirmation have the same form.

    The payer's number is masked or hashed by Safaricom, so it is not kept.

    Raises:
        WrongShortCode, Unreadable: see there.
    """
    if len(request.body) > BODY_BYTES_MAX:
        raise Unreadable("too large")
    try:
        body = read_object(request.body)
    except Malformed as malformed:
        raise Unreadable(malformed.detail) from None
    if _text(body, "BusinessShortCode") != configuration.short_code:
        raise WrongShortCode
    transaction = _text(body, "TransID")
    if _TRANSACTION.fullmatch(transaction) is None:
        raise Unreadable("TransID")
    return Claim(
        channel=KEY,
        source=f"mpesa_ke.{configuration.short_code}",
        transaction=transaction,
        reference=transaction,
        serial_number=claimed_serial(_text(body, "BillRefNumber")),
        amount_minor=_amount(_text(body, "TransAmount")),
        currency=SHILLING.code,
        paid_at=_paid_at(_text(body, "TransTime")),
    )


def _text(body: Mapping[str, Any], name: str) -> str:
    """A field as text. The values are texts as documented; a number is read as it is written."""
    value = body.get(name)
    if isinstance(value, Number):
        return value.text
    return value.strip() if isinstance(value, str) else ""


def _amount(text: str) -> int:
    try:
        return parse_amount(text, SHILLING, AMOUNT_MINOR_MAX)
    except InvalidAmount:
        raise UnreadableAmount("TransAmount") from None


def _paid_at(text: str) -> datetime | None:
    """``YYYYMMDDhhmmss`` in Kenya's time; ``None`` where it is no time."""
    if _TIME.fullmatch(text) is None:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=KENYA).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
