"""Manufacturers faked as real HTTP servers, strict about what they receive, with faults.

A new fake is one module that offers a class with the shape of
:class:`~infra.local.fakes.fake.Fake`, made from what the manufacturer gave to the company and the
faults in force, and one line here.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from infra.local.fakes.fake import Fake, OverTls, Settings
from infra.local.fakes.faults import Faults

VENDORS = {
    "calin": "infra.local.vendors.calin:Calin",
    "calin_smart": "infra.local.vendors.calin_smart:CalinSmart",
    "sparkmeter": "infra.local.vendors.sparkmeter:SparkMeter",
    "angaza": "infra.local.vendors.angaza:Angaza",
    "gomelong": "infra.local.vendors.gomelong:GomeLong",
    "gomelong_v1": "infra.local.vendors.gomelong_v1:GomeLongV1",
    "chint": "infra.local.vendors.chint:Chint",
    "microstar": "infra.local.vendors.microstar:MicroStar",
    "stron_v3": "infra.local.vendors.stron_v3:StronV3",
    "sunking": "infra.local.vendors.sunking:SunKing",
    "spark_shs": "infra.local.vendors.spark_shs:SparkShs",
    "steama": "infra.local.vendors.steama:Steama",
    "daly_bms": "infra.local.vendors.daly_bms:DalyBms",
    "stron": "infra.local.vendors.stron:Stron",
}
"""The key of each faked manufacturer, and where its class is."""


def make(key: str, settings: Settings, faults: Faults) -> Fake:
    """The fake of the manufacturer ``key``, with the credentials that it is to accept."""
    vendor: Fake = _class_of(key)(settings, faults)
    return vendor


def scheme(key: str) -> str:
    """How the fake of the manufacturer ``key`` is spoken to: ``https`` or ``http``."""
    return "https" if issubclass(_class_of(key), OverTls) else "http"


def _class_of(key: str) -> type[Any]:
    module, _, name = VENDORS[key].partition(":")
    found: type[Any] = getattr(import_module(module), name)
    return found
