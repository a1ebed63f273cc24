"""Payment providers faked as real HTTP servers, strict about what they receive, with faults.

A new fake is one module that offers a class with the shape of
:class:`~infra.local.fakes.fake.Provider`, made from what the provider gave to the company and the
faults in force; ``made_up()``, what a provider gives to a company; ``secret(given, base_url)``,
what the company then keeps as the channel's secret; and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from infra.local.fakes.fake import OverTls, Provider, Settings
from infra.local.fakes.faults import Faults

PROVIDERS = {
    "airtel": "infra.local.providers.airtel:Airtel",
    "airtel_biller": "infra.local.providers.airtel_biller:AirtelBiller",
    "airtel_tz": "infra.local.providers.airtel_tz:AirtelTz",
    "daraja": "infra.local.providers.daraja:Daraja",
    "flutterwave_v3": "infra.local.providers.flutterwave_v3:FlutterwaveV3",
    "flutterwave_v4": "infra.local.providers.flutterwave_v4:FlutterwaveV4",
    "mesomb": "infra.local.providers.mesomb:MeSomb",
    "mtn_momo": "infra.local.providers.mtn_momo:MtnMomo",
    "paystack": "infra.local.providers.paystack:Paystack",
    "pesapal": "infra.local.providers.pesapal:Pesapal",
    "swifta": "infra.local.providers.swifta:Swifta",
    "vodacom_mz": "infra.local.providers.vodacom_mz:VodacomMz",
    "vodacom_mz_c2b": "infra.local.providers.vodacom_mz_c2b:VodacomMzC2b",
    "vodacom_tz": "infra.local.providers.vodacom_tz:VodacomTz",
    "wave_money": "infra.local.providers.wave_money:WaveMoney",
}
"""The key of each faked provider, and where its class is."""


def make(key: str, settings: Settings, faults: Faults) -> Provider:
    """The fake of the provider ``key``, with the credentials that it is to accept."""
    provider: Provider = _class_of(key)(settings, faults)
    return provider


def made_up() -> dict[str, dict[str, str]]:
    """What every provider gives to a company, made up."""
    return {key: made_up_by(key) for key in PROVIDERS}


def made_up_by(key: str) -> dict[str, str]:
    """What the provider ``key`` gives to a company, made up."""
    given: dict[str, str] = _module_of(key).made_up()
    return given


def secret(key: str, given: Settings, base_url: str) -> dict[str, Any]:
    """The content of the secret ``channels/<key>``, from what was given to the company."""
    content: dict[str, Any] = _module_of(key).secret(given, base_url)
    return content


def paths(key: str, given: Settings) -> dict[str, str]:
    """Where the provider ``key`` reaches the company: paths of our API, by name."""
    templates: Mapping[str, str] = _class_of(key).paths
    return {name: path.format_map(given) for name, path in templates.items()}


def scheme(key: str) -> str:
    """How the fake of the provider ``key`` is spoken to: ``https`` or ``http``."""
    return "https" if issubclass(_class_of(key), OverTls) else "http"


def _module_of(key: str) -> Any:
    return import_module(PROVIDERS[key].partition(":")[0])


def _class_of(key: str) -> type[Any]:
    found: type[Any] = getattr(_module_of(key), PROVIDERS[key].partition(":")[2])
    return found
