"""M-Pesa Tanzania: Vodacom's broker reserves a payer's money until our result decides.

A customer pays our business number with the serial as account. The broker posts that to us; we
answer that we have it, no more. Later a worker tells the broker yes, and the money is ours, or no,
and the payer has it back. That result is told until the broker has taken it.

The broker shows who it is by a secret part of the path, its address, and a digest over our service
provider's id, a password and a time. None of them is over the payment itself.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element
from zoneinfo import ZoneInfo

from chalicelib.channels.amounts import UnusableAmount, amount_minor
from chalicelib.channels.asking import OnlyAsked, send
from chalicelib.channels.callers import (
    Intruder,
    check_address,
    check_path,
    is_one_of,
    note_failure,
    note_intruder,
)
from chalicelib.channels.configuration import WEB_ADDRESS, Configuration
from chalicelib.channels.interface import (
    Channel,
    Described,
    Desk,
    Endpoint,
    Stated,
    shown,
    texts,
)
from chalicelib.channels.reports import Unreadable
from chalicelib.channels.xml_bodies import XML, UnreadableXml, child_of, read_xml, texts_of, written
from chalicelib.domain.errors import MwangaError
from chalicelib.domain.payment import Claim, Payment
from chalicelib.runtime import tls
from chalicelib.runtime.one_call import Answer
from chalicelib.runtime.plain_xml import local_name
from chalicelib.runtime.sealed_for import BadPublicKey, sealed_for
from chalicelib.services.accept import ReferenceConflict
from chalicelib.services.claimed_serial import claimed_serial
from chalicelib.services.phones import searched_phone
from chalicelib.services.ports import (
    Paid,
    ProviderAnswer,
    ProviderRefused,
    ProviderRequest,
    ProviderUncertain,
    RefusalClass,
    SecretMissing,
)

KEY = "vodacom_tz"
SECRET = "channels/vodacom_tz"  # noqa: S105 - the name of a secret, not a secret

TANZANIA = ZoneInfo("Africa/Dar_es_Salaam")
DOCUMENT = {"@xmlns": "http://inforwise.co.tz/broker/", "@version": "2.0"}

YES, NO = "0", "999"
"""What we tell of a payment. The broker repeats it to say that it has taken it."""

IDS: Mapping[str, str] = {
    "conversationID": "conversation_id",
    "originatorConversationID": "originator_conversation_id",
    "transactionID": "transaction_id",
}
"""What the broker knows a payment by, beside its receipt, and how we keep that."""

_SP_ID = re.compile(r"[A-Za-z0-9_]{1,20}")
_RECEIPT = re.compile(r"[A-Za-z0-9]{1,40}")
_ID_LENGTH_MAX = 100
_ID = re.compile(rf"[!-~]{{1,{_ID_LENGTH_MAX}}}")
_RESPONSE_CODE = re.compile(r"[A-Za-z0-9]{1,10}")


class WrongPassword(Intruder):
    """The digest is missing, or not made with one of the live passwords for our own id."""

    code = "wrong_password"


# --- the endpoint -----------------------------------------------------------------------------


def payment(request: ProviderRequest, desk: Desk) -> ProviderAnswer:
    """The broker has reserved a payer's money for us. That it is received says nothing of our yes.

    A receipt that comes again with another amount or serial is recorded and answered with
    success: sending it once more would change nothing, a person must look.
    """
    told: Mapping[str, str] = {}
    try:
        secret = Configuration(SECRET, desk.secret(SECRET))
        check_path(request, secret.texts("path_secrets"))
        check_address(request, secret.networks())
        document = read_xml(request.body)
        if _is_heartbeat(document):
            return _answer(200, told)
        _check_password(document, secret)
        told = _fields(document, "transaction")
        desk.reserve(_claim(told, secret))
    except Intruder as intruder:
        note_intruder(intruder, KEY, desk)
        return _answer(intruder.status, told)
    except ReferenceConflict as conflict:
        note_failure(conflict, KEY, desk)
    except (Unreadable, UnreadableXml, UnusableAmount) as wrong:
        note_failure(wrong, KEY, desk)
        return _answer(400, told)
    except MwangaError as failed:
        note_failure(failed, KEY, desk)
        return _answer(503, told)
    return _answer(200, told)


def make(secrets: Callable[[str], Mapping[str, Any]]) -> VodacomProvider:
    """The provider. ``secrets`` reads a secret of the deployment by its name."""
    return VodacomProvider(secrets)


_ANSWER = texts(*IDS, "responseCode", "responseDesc", "serviceStatus", open_ended=False)

CHANNEL = Channel(
    key=KEY,
    name="M-Pesa Tanzania (Vodacom broker)",
    refusal_class=RefusalClass.TWO_PHASE,
    pots=lambda content: (_source(Configuration(SECRET, content)),),
    endpoints=(
        Endpoint(
            "vodacom_tz_payment",
            "POST",
            "/payments/vodacom_tz/{path_secret}",
            payment,
            Described(
                proof="An unguessable part of the path, an address of the provider's, and a digest "
                "over our id, a password and a time.",
                body={"type": "object", "xml": {"name": "mpesaBroker"}},
                answers=dict.fromkeys((200, 400, 401, 403, 404, 503), _ANSWER),
                media_type="text/xml",
            ),
        ),
    ),
    stated=Stated(
        countries="Tanzania",
        direction="tells us of reserved money, we tell our result",
        caller="secret path, list of addresses, digest of a password",
        repeated="`mpesaReceipt`",
        serial="`accountReference`",
        amounts="shillings, as a decimal text",
        retries="not documented; about 2 seconds for an answer. Our result: 48 hours",
        reversal="result 999 while it is reserved; none afterwards",
        confirmed="the broker's acknowledgement of our result; statements",
        unverified=(
            "how often a request without an answer is repeated, and when money is let go",
            "whether a result may be told twice",
            "the namespace that the broker wants (two spellings are about)",
            "what `serviceReceipt` may hold",
        ),
    ),
)


# --- what is said -----------------------------------------------------------------------------


def _is_heartbeat(document: Element) -> bool:
    """Whether the broker only looks whether we are there. It is nobody's payment."""
    if child_of(document, "request") is not None:
        return False
    return local_name(document) == "FailSafe" or child_of(document, "FailSafe") is not None


def _fields(document: Element, part: str) -> Mapping[str, str]:
    """The texts of one part of the request; none where the part is missing."""
    element = child_of(document, "request", part)
    return {} if element is None else texts_of(element)


def _check_password(document: Element, secret: Configuration) -> None:
    """That the broker knows a live password for our own id.

    Raises:
        WrongPassword: it does not.
    """
    sp_id = _sp_id(secret)
    provider = _fields(document, "serviceProvider")
    timestamp = provider.get("timestamp", "")
    live = [digest(sp_id, password, timestamp) for password in secret.texts("sp_passwords")]
    is_known = is_one_of(provider.get("spPassword", ""), live)
    if not is_known or provider.get("spId") != sp_id:
        raise WrongPassword


def digest(sp_id: str, password: str, timestamp: str) -> str:
    """How a password is shown: Base64 of the SHA-256 over the three, one after the other."""
    shown_as = f"{sp_id}{password}{timestamp}".encode()
    return base64.b64encode(hashlib.sha256(shown_as).digest()).decode()


def _source(secret: Configuration) -> str:
    """The pot into which the money falls."""
    return f"mpesa_tz.{_sp_id(secret)}"


def _sp_id(secret: Configuration) -> str:
    return secret.text("sp_id", _SP_ID)


def _claim(told: Mapping[str, str], secret: Configuration) -> Claim:
    """What the broker says of the payment.

    Raises:
        Unreadable: it lacks the receipt, or what a result must name.
        UnusableAmount: see there.
    """
    for name in IDS:
        if _ID.fullmatch(told.get(name, "")) is None:
            raise Unreadable(name)
    receipt = told.get("mpesaReceipt", "")
    if _RECEIPT.fullmatch(receipt) is None:
        raise Unreadable("mpesaReceipt")
    currency = secret.currency()
    initiator = told.get("initiator", "")
    return Claim(
        channel=KEY,
        source=_source(secret),
        transaction=receipt,
        reference=receipt,
        serial_number=claimed_serial(told.get("accountReference", "")),
        amount_minor=amount_minor(told.get("amount"), currency),
        currency=currency.code,
        payer_phone=searched_phone(initiator, "TZ"),
        paid_at=_time(told.get("transactionDate", "")),
        known_as={
            **{ours: told[theirs] for theirs, ours in IDS.items()},
            "initiator": shown(initiator, _ID_LENGTH_MAX),
        },
        proven=False,
    )


def _time(text: str) -> datetime | None:
    """A time as the broker writes it, in UTC; ``None`` where it is none."""
    try:
        written_as = datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=TANZANIA)
        return written_as.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _answer(status: int, told: Mapping[str, str]) -> ProviderAnswer:
    """That a request was received, or was not."""
    is_received = status == 200
    response = {
        **{name: shown(told.get(name, ""), _ID_LENGTH_MAX) for name in IDS},
        "responseCode": YES if is_received else NO,
        "responseDesc": "Received" if is_received else "Not received",
        "serviceStatus": "Success" if is_received else "Failure",
    }
    body = written("mpesaBroker", {**DOCUMENT, "response": response})
    return ProviderAnswer(status, body, content_type=XML)


# --- what we tell the broker --------------------------------------------------------------------


class VodacomProvider(OnlyAsked):
    """Tells the broker our results, over TLS, as whom its certificate knows us."""

    def __init__(
        self,
        secrets: Callable[[str], Mapping[str, Any]],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._secrets = secrets
        self._now = now
        self._kept: tuple[Mapping[str, Any], ssl.SSLContext] | None = None

    def verify(self, payment: Payment) -> Paid | None:
        """The broker cannot be asked about a payment.

        Raises:
            ProviderUncertain: always.
        """
        raise ProviderUncertain("the broker cannot be asked")

    def tell_result(self, payment: Payment) -> None:
        """Tell it yes, or, where the payment has a ``reason``, no.

        Raises:
            ProviderRefused: the broker answered with another code than that result.
            ProviderUnreachable, ProviderUncertain, SecretMissing: tell it again.
        """
        content = self._secrets(SECRET)
        secret = Configuration(SECRET, content)
        broker = secret.part("broker")
        code = NO if payment.reason else YES
        result = {
            "serviceProvider": _credentials(secret, broker, self._now()),
            "transaction": _result(payment, code, broker),
        }
        answer = send(
            "POST",
            broker.text("url", WEB_ADDRESS),
            {"Content-Type": XML, "Accept": "text/xml, application/xml"},
            written("mpesaBroker", {**DOCUMENT, "result": result}).encode(),
            tls=self._context(content, broker),
        )
        _check_taken(answer, code)

    def _context(self, content: Mapping[str, Any], broker: Configuration) -> ssl.SSLContext:
        """The certificate made ready to be shown: once for each content of the secret."""
        if self._kept is None or self._kept[0] != content:
            try:
                pkcs12 = base64.b64decode(broker.text("pkcs12"), validate=True)
                client = tls.ClientCertificate(pkcs12, broker.text("pkcs12_password"))
                made = tls.context(broker.text_if_given("ca_certificate"), client)
            except (binascii.Error, tls.BadCertificate):
                raise SecretMissing(f"{SECRET}: certificates") from None
            self._kept = (content, made)
        return self._kept[1]


def _credentials(secret: Configuration, broker: Configuration, now: datetime) -> dict[str, str]:
    sp_id = _sp_id(secret)
    timestamp = now.astimezone(TANZANIA).strftime("%Y%m%d%H%M%S")
    password = digest(sp_id, broker.text("sp_password"), timestamp)
    return {"spId": sp_id, "spPassword": password, "timestamp": timestamp}


def _result(payment: Payment, code: str, broker: Configuration) -> dict[str, str]:
    """What is told of the payment. Told again, it is the same but for the encryption."""
    if any(ours not in payment.known_as for ours in IDS.values()):
        raise ProviderUncertain("the broker's names for the payment are not known")
    initiator = broker.text("initiator")
    try:
        password = sealed_for(broker.text("initiator_certificate"), initiator.encode())
    except BadPublicKey:
        raise SecretMissing(f"{SECRET}: initiator_certificate") from None
    return {
        "resultType": "Completed",
        "resultCode": code,
        "resultDesc": "Success" if code == YES else "Failure",
        "serviceReceipt": payment.reference,
        "serviceDate": payment.received_at.astimezone(TANZANIA).strftime("%Y-%m-%d %H:%M:%S"),
        "serviceID": broker.text("service_id"),
        "originatorConversationID": payment.known_as["originator_conversation_id"],
        "conversationID": payment.known_as["conversation_id"],
        "transactionID": payment.known_as["transaction_id"],
        "initiator": initiator,
        "initiatorPassword": password,
    }


def _check_taken(answer: Answer, code: str) -> None:
    """That the broker has taken that result.

    Raises:
        ProviderRefused: it clearly answered another code.
        ProviderUncertain: nothing follows from its answer.
    """
    answered = _response_code(answer)
    is_success = 200 <= answer.status < 300
    if is_success and answered == code:
        return
    # Any other status than 400 says nothing of the result, but of us, or of a broken broker.
    is_judged = is_success or answer.status == 400
    if is_judged and answered != code and _RESPONSE_CODE.fullmatch(answered):
        raise ProviderRefused(f"response_{answered}")
    raise ProviderUncertain(f"HTTP status {answer.status}: no clear answer to our result")


def _response_code(answer: Answer) -> str:
    """The code of an answer; empty where there is none."""
    try:
        document = read_xml(answer.body)
        below = () if local_name(document) == "response" else ("response",)
        code = child_of(document, *below, "responseCode")
    except UnreadableXml:
        return ""
    return "" if code is None else (code.text or "").strip()
