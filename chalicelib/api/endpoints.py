"""Mounts the channels' endpoints: each becomes a route, whatever its provider speaks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.api.routes import Answer, Call, Route
from chalicelib.api.shapes import AcceptedShape, CheckoutShape, PaymentShape, QuoteShape
from chalicelib.channels.interface import Channel, Endpoint, NotFound
from chalicelib.domain.payment import Payment
from chalicelib.services.accept import Quote
from chalicelib.services.ports import ProviderRequest, SecretMissing

_ANSWERS: dict[str, dict[int, Any]] = {
    "direct_pay": {202: AcceptedShape, 200: AcceptedShape},
    "direct_quote": {200: QuoteShape},
    "direct_read": {200: PaymentShape},
}
"""What our own routes answer. What providers are answered is theirs to describe."""


def routes_of(channels: Iterable[Channel]) -> list[Route]:
    """A route for every endpoint of every channel. They check their callers themselves."""
    return [_route(channel, endpoint) for channel in channels for endpoint in channel.endpoints]


def _route(channel: Channel, endpoint: Endpoint) -> Route:
    def handler(call: Call[None]) -> Answer:
        _check_is_in_use(channel, call)
        request = ProviderRequest(
            method=endpoint.method,
            path_parameters=call.path,
            headers=call.headers,
            body=call.raw,
            source_address=call.source_address,
            query=call.query,
        )
        answer = endpoint.function(request, call.wiring.desk)
        body = _presented(answer.body, call)
        if isinstance(body, str):
            return Answer(answer.status, body, answer.headers, answer.content_type)
        return Answer(answer.status, body, answer.headers)

    handler.__name__, handler.__doc__ = endpoint.name, endpoint.function.__doc__
    return Route(
        method=endpoint.method,
        path=endpoint.path,
        handler=handler,
        signed=True,
        answers=_answers(endpoint),
        described=endpoint.described,
    )


def _check_is_in_use(channel: Channel, call: Call[None]) -> None:
    """That the company uses the channel. While its secret is as the deployment made it, ``{}``,
    there is nothing at its addresses, and nobody is woken by strangers who ask there.

    Raises:
        NotFound: it does not.
    """
    try:
        content = call.wiring.desk.secret(channel.secret)
    except SecretMissing:
        return  # the channel says that in its provider's own words
    if not content:
        raise NotFound("There is nothing at this address.")


def _answers(endpoint: Endpoint) -> dict[int, Any]:
    """Whoever starts a payment is answered alike, whatever the channel."""
    if endpoint.path.endswith("/checkouts"):
        return {201: CheckoutShape}
    return _ANSWERS.get(endpoint.name, {})


def _presented(body: Any, call: Call[None]) -> Any:
    """Payments and quotes have one shape everywhere; the rest is the provider's own words."""
    if isinstance(body, Payment):
        return call.shapes.payment(body)
    if isinstance(body, Quote):
        return call.shapes.quote(body)
    return body
