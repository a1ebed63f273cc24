"""Writes the table of all payment channels, from what their modules state about themselves.

``python -m infra.channels`` writes ``docs/channels/README.md``; a test compares the two.
"""

from __future__ import annotations

from importlib import import_module

from chalicelib.channels.interface import Channel
from chalicelib.services.ports import RefusalClass
from chalicelib.wiring import CHANNELS
from infra.package import ROOT

PAGE = ROOT / "docs/channels/README.md"

_BEGINNING = """\
# Payment channels

Written from the modules by `make channels`: change them, not this page.

What refusing a payment with a wrong serial number means depends on who moves first:

| class | what happens to a wrong serial |
| --- | --- |
| asks first | the provider asks before money moves, and is told no |
| two phase | the money is reserved; our no cancels it |
| we start | the serial is checked before anybody is asked for money |
| told after | the money has moved: it goes back through the provider, or waits for a person |

Whatever the class, money that has moved is never dropped: without a valid device it goes back by
itself where the provider has a way back, else it is held for a person.

"""
_COLUMNS = (
    *("channel", "countries", "direction", "class", "how a caller is known", "a repetition is"),
    *("where the serial is", "amounts", "the provider repeats and waits", "way back"),
    *("what finds an unheard payment", "unverified"),
)


def table() -> str:
    """The whole page."""
    rows = [_COLUMNS, ("---",) * len(_COLUMNS), *map(_cells, _channels())]
    return _BEGINNING + "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _channels() -> list[Channel]:
    return [import_module(path).CHANNEL for path in CHANNELS]


def _cells(channel: Channel) -> tuple[str, ...]:
    stated = channel.stated
    return (
        f"[{channel.key}]({channel.key}.md)",
        stated.countries,
        stated.direction,
        _CLASSES[channel.refusal_class],
        stated.caller,
        stated.repeated,
        stated.serial,
        stated.amounts,
        stated.retries,
        stated.reversal,
        stated.confirmed,
        "; ".join(stated.unverified),
    )


_CLASSES = {choice: choice.value.replace("_", " ") for choice in RefusalClass}


if __name__ == "__main__":
    PAGE.write_text(table(), encoding="utf-8")
