"""Payment providers faked as real HTTP servers, strict about what they receive, with faults.

A new fake is one module that offers a class with the shape of
:class:`~infra.local.fakes.fake.Provider`, made from what the provider gave to the company and the
faults in force, and one line here.
"""

from __future__ import annotations

from importlib import import_module

from infra.local.fakes.fake import Provider, Settings
from infra.local.fakes.faults import Faults

PROVIDERS = {
    "paystack": "infra.local.providers.paystack:Paystack",
}
"""The key of each faked provider, and where its class is."""


def make(key: str, settings: Settings, faults: Faults) -> Provider:
    """The fake of the provider ``key``, with the credentials that it is to accept."""
    module, _, name = PROVIDERS[key].partition(":")
    provider: Provider = getattr(import_module(module), name)(settings, faults)
    return provider
