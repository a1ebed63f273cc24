"""The SMS as stored, and the messages in the queues."""

from __future__ import annotations

from dataclasses import replace

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import ClientError, EndpointConnectionError

from chalicelib.runtime import aws
from chalicelib.services.ports import Message, MessageState, QueueUnavailable
from chalicelib.store.messages import DynamoMessages
from chalicelib.store.models import CustomerRow
from chalicelib.store.payments import DynamoPayments
from chalicelib.store.queues import SqsQueues
from tests.integration.conftest import Cloud
from tests.integration.store.examples import (
    CUSTOMER_ID,
    NOW,
    PHONE,
    SHS,
    customer,
    payment,
)
from tests.integration.store.ledger_of_requests import LedgerOfRequests

PAYMENT_ID = payment().payment_id
SMS = Message(PAYMENT_ID, 1, PHONE, "sw", "Asante Asha. 482 716 053", MessageState.QUEUED)


@pytest.mark.usefixtures("cloud")
class TestMessages:
    def test_the_view_for_sending_takes_one_request(
        self, payments: DynamoPayments, ledger: LedgerOfRequests
    ) -> None:
        messages = DynamoMessages()
        payments.create(payment())
        CustomerRow.of(customer()).save()
        messages.put(SMS)
        ledger.clear()
        view = messages.view_for_sending(PAYMENT_ID, 1, CUSTOMER_ID)
        assert view == (payment(), SMS, customer())
        assert ledger.operations == ["BatchGetItem"]

    def test_what_is_not_there_is_none(self) -> None:
        messages = DynamoMessages()
        assert messages.view_for_sending("x-1", 0, "C9") == (None, None, None)
        assert messages.view_for_sending("x-1", 0, None) == (None, None, None)
        assert list(messages.of_payment("x-1")) == []

    def test_the_last_writer_of_a_message_wins(self) -> None:
        messages = DynamoMessages()
        messages.put(SMS)
        sent = replace(SMS, state=MessageState.SENT, attempts=1, sent_at=NOW)
        messages.put(sent)
        assert list(messages.of_payment(PAYMENT_ID)) == [sent]

    def test_messages_of_a_payment_come_by_number(self) -> None:
        messages = DynamoMessages()
        for number in (90, 2, 0, 10):
            messages.put(replace(SMS, number=number))
        messages.put(replace(SMS, payment_id="other-1"))
        found = messages.of_payment(PAYMENT_ID)
        assert [message.number for message in found] == [0, 2, 10, 90]


class TestQueues:
    def test_payments_queue_up_behind_their_customer(self, cloud: Cloud) -> None:
        SqsQueues().settle(payment(), f"{PAYMENT_ID}.3")
        [message] = cloud.take("payments")
        assert message["body"] == {
            "payment_id": PAYMENT_ID,
            "customer_id": CUSTOMER_ID,
            "serial_number": SHS,
        }
        assert message["Attributes"]["MessageGroupId"] == CUSTOMER_ID
        assert message["Attributes"]["MessageDeduplicationId"] == f"{PAYMENT_ID}.3"

    def test_a_payment_without_a_customer_stands_alone(self, cloud: Cloud) -> None:
        SqsQueues().settle(payment(customer_id=None), PAYMENT_ID)
        [message] = cloud.take("payments")
        assert message["body"]["customer_id"] is None
        assert message["Attributes"]["MessageGroupId"] == PAYMENT_ID

    @pytest.mark.parametrize("name", ["x" * 129, "Zoë-1", "with space"])
    def test_what_sqs_does_not_take_as_an_identifier_is_hashed(
        self, cloud: Cloud, name: str
    ) -> None:
        SqsQueues().settle(payment(customer_id=name), name)
        [message] = cloud.take("payments")
        assert message["body"]["customer_id"] == name
        group = message["Attributes"]["MessageGroupId"]
        assert group == message["Attributes"]["MessageDeduplicationId"]
        assert len(group) == 64
        assert group.isalnum()

    def test_a_vend_says_which_attempt_at_which_manufacturer(self, cloud: Cloud) -> None:
        SqsQueues().vend(PAYMENT_ID, 2, 3, "calin")
        [message] = cloud.take("vends")
        assert message["body"] == {
            "payment_id": PAYMENT_ID,
            "number": 2,
            "attempt": 3,
            "manufacturer": "calin",
        }

    def test_an_sms_says_whose_it_is(self, cloud: Cloud) -> None:
        SqsQueues().message(PAYMENT_ID, 90, None)
        [message] = cloud.take("messages")
        assert message["body"] == {"payment_id": PAYMENT_ID, "number": 90, "customer_id": None}

    @pytest.mark.parametrize(("asked", "given"), [(-5, 0), (0, 0), (37, 37), (86_400, 900)])
    def test_a_delay_is_what_sqs_can_do(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, asked: int, given: int
    ) -> None:
        delays: list[int] = []
        client = aws.client("sqs")
        monkeypatch.setattr(
            client, "send_message", lambda **sent: delays.append(sent["DelaySeconds"])
        )
        SqsQueues().vend(PAYMENT_ID, 1, 1, "calin", asked)
        SqsQueues().message(PAYMENT_ID, 1, None, asked)
        assert delays == [given, given]

    @pytest.mark.parametrize(
        "fault",
        [
            EndpointConnectionError(endpoint_url="https://sqs"),
            ClientError({"Error": {"Code": "ServiceUnavailable"}}, "SendMessage"),
        ],
        ids=str,
    )
    def test_a_message_that_may_not_be_queued_is_told(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, fault: Exception
    ) -> None:
        def send_message(**_: object) -> None:
            raise fault

        monkeypatch.setattr(aws.client("sqs"), "send_message", send_message)
        for send in (
            lambda queues: queues.settle(payment(), "1"),
            lambda queues: queues.vend(PAYMENT_ID, 1, 1, "calin"),
            lambda queues: queues.message(PAYMENT_ID, 1, CUSTOMER_ID),
        ):
            with pytest.raises(QueueUnavailable):
                send(SqsQueues())


class TestTraces:
    """A trace goes on behind a queue, because botocore sends SQS what Lambda was given of it."""

    TRACE = "Root=1-67000000-0123456789abcdef01234567;Parent=0123456789abcdef;Sampled=1"

    def sent_headers(self, monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
        """The header with the trace of each request to SQS, as it goes over the line."""
        seen: list[str | None] = []

        def note(request: AWSPreparedRequest, **_: object) -> None:
            header = request.headers.get("X-Amzn-Trace-Id")
            seen.append(header.decode() if isinstance(header, bytes) else header)

        aws.client("sqs").meta.events.register("before-send.sqs", note)
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "mwanga-api")
        return seen

    def test_what_a_function_queues_bears_its_trace(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = self.sent_headers(monkeypatch)
        for trace in (self.TRACE, self.TRACE.replace("0123", "4567")):
            monkeypatch.setenv("_X_AMZN_TRACE_ID", trace)
            SqsQueues().settle(payment(), trace[-30:])
        assert seen == [self.TRACE, self.TRACE.replace("0123", "4567")]

    def test_what_is_queued_outside_of_lambda_bears_none(
        self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen = self.sent_headers(monkeypatch)
        monkeypatch.delenv("_X_AMZN_TRACE_ID", raising=False)
        SqsQueues().settle(payment(), PAYMENT_ID)
        assert seen == [None]
