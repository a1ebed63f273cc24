"""Manufacturers faked as real HTTP servers, strict about what they receive, with faults.

A new fake is one module that offers a class with the shape of :class:`~.vendor.Vendor`, and one
line here.
"""

from __future__ import annotations

from importlib import import_module

from infra.local.vendors.vendor import Vendor, VendorSettings

VENDORS = {
    "calin": "infra.local.vendors.calin:Calin",
}
"""The key of each faked manufacturer, and where its class is."""


def make(key: str, settings: VendorSettings) -> Vendor:
    """The fake of the manufacturer ``key``, with the credentials that it is to accept."""
    module, _, name = VENDORS[key].partition(":")
    vendor: Vendor = getattr(import_module(module), name)(settings)
    return vendor
