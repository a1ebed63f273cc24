"""The payment page as HTML: no script, nothing loaded from elsewhere, small enough for any phone.

Whatever a stranger typed is escaped where it is shown.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from chalicelib.api.pay_words import PayWords
from chalicelib.channels.interface import Channel

STYLE = (
    "body{font:18px/1.4 sans-serif;max-width:28em;margin:0 auto;padding:1em;color:#1d2530}"
    "label{display:block;margin:.8em 0 .2em}"
    "input,select,button{font:inherit;width:100%;box-sizing:border-box;padding:.6em;"
    "border:1px solid #66707c;border-radius:.3em}"
    "button{margin-top:1em;background:#0b57a4;color:#fff;border:0}"
    "a{color:#0b57a4}p.w{border-left:.3em solid #b3261e;padding-left:.6em}"
)
POLICY = (
    "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'; style-src "
    f"'sha256-{base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'"
)
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
CONTENT_TYPE = "text/html; charset=utf-8"

LOOK_AGAIN_SECONDS = 6


def page(
    language: str, words: PayWords, company: str, body: Iterable[str], refresh: str = ""
) -> str:
    """A whole page. ``refresh`` is where it goes by itself: seconds, and perhaps an address."""
    meta = f'<meta http-equiv="refresh" content="{escape(refresh)}">' if refresh else ""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"{meta}<title>{escape(words.title)}</title><style>{STYLE}</style></head><body><main>"
        f"<p>{escape(company)}</p><h1>{escape(words.title)}</h1>{''.join(body)}"
        "</main></body></html>"
    )


def form(
    words: PayWords,
    currency: str,
    channels: Sequence[Channel],
    typed: Mapping[str, str],
    problem: str | None,
) -> Iterable[str]:
    """What the payer fills in, with what they had typed before and what is wrong with it."""
    if problem is not None:
        yield f'<p class="w" role="alert">{escape(problem)}</p>'
    if not channels:
        yield f"<p>{escape(words.nobody)}</p>"
        return
    yield '<form method="post" action="pay">'
    yield _field("serial_number", words.serial_number, typed, required=True)
    amount = words.amount.format(currency=currency)
    yield _field("amount", amount, typed, required=True, kind='inputmode="decimal"')
    yield f'<label for="channel">{escape(words.how)}</label><select id="channel" name="channel">'
    for channel in channels:
        chosen = " selected" if typed.get("channel") == channel.key else ""
        yield f'<option value="{channel.key}"{chosen}>{escape(channel.name)}</option>'
    yield "</select>"
    if any(channel.payer_needs for channel in channels):
        yield _field("phone", words.phone, typed, kind='type="tel" autocomplete="tel"')
    yield f"<button>{escape(words.go_on)}</button></form>"


def _field(
    name: str, label: str, typed: Mapping[str, str], *, required: bool = False, kind: str = ""
) -> str:
    must = " required" if required else ""
    value = escape(typed.get(name, ""))
    return (
        f'<label for="{name}">{escape(label)}</label>'
        f'<input id="{name}" name="{name}" value="{value}" maxlength="80"{must} {kind}>'
    )


def confirmation(words: PayWords, told: Iterable[str], typed: Mapping[str, str], money: str) -> str:
    """What the payment would bring, to be confirmed."""
    hidden = "".join(
        f'<input type="hidden" name="{name}" value="{escape(value)}">'
        for name, value in typed.items()
        if value
    )
    lines = "".join(f"<li>{escape(line)}</li>" for line in told)
    return (
        f"<h2>{escape(words.check)}</h2><ul>{lines}</ul>"
        f'<form method="post" action="pay">{hidden}'
        f'<button name="confirmed" value="yes">{escape(words.pay.format(money=money))}</button>'
        f'</form><p><a href="pay">{escape(words.back)}</a></p>'
    )


def link(address: str, text: str) -> str:
    """One link, as a paragraph."""
    return f'<p><a href="{escape(address)}">{escape(text)}</a></p>'


def said(text: str) -> str:
    """One sentence, as a paragraph."""
    return f"<p>{escape(text)}</p>"
