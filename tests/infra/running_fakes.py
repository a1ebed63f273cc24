"""Fakes that run for one test, and how they are asked."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import urllib3
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization.pkcs12 import load_pkcs12

from infra.local import providers, up, vendors
from infra.local.fakes.certificates import make_certificates
from infra.local.fakes.faults import Faults
from infra.local.fakes.server import Fakes
from infra.local.processes import HOST, PromisedPorts

JSON = "application/json;charset=utf-8"

VENDOR_SETTINGS: dict[str, dict[str, str]] = {
    "calin": {"user_id": "U1", "password": "secret"},
    "calin_smart": {
        "company_name": "Mwanga",
        "user_name": "U1",
        "password": "secret",
        "password_vend": "second secret",
    },
    "sparkmeter": {
        "token": "site token",
        "api_key": "key",
        "api_secret": "secret",
        "organization_id": "org-1",
    },
    "angaza": {"client_id": "client", "client_secret": "secret"},
    "gomelong": {"user_id": "U1", "password": "a secret & more"},
    "gomelong_v1": {"user_id": "U1", "password": "a secret & more"},
    "chint": {"user_name": "U1", "password": "secret"},
    "microstar": make_certificates(),
    "stron_v3": {"company_name": "Mwanga", "user_name": "U1", "password": "secret"},
    "sunking": {"client_id": "client", "client_secret": "a secret & more"},
    "spark_shs": {
        "audience": "https://spark.example/api",
        "client_id": "client",
        "client_secret": "secret",
    },
    "steama": {"username": "U1", "password": "secret"},
    "daly_bms": {"username": "U1", "password": "a secret & more"},
    "stron": {"company_name": "Mwanga", "user_name": "U1", "password": "secret"},
}

SECRET_KEY = "sk_test_demo"

PROVIDER_SETTINGS: dict[str, dict[str, str]] = {"paystack": {"secret_key": SECRET_KEY}}
"""What a provider gives to the company, where a test wants to know it beforehand."""

PATIENCE_SECONDS = 2.0
"""How long an answer is waited for."""


@dataclass(frozen=True)
class Running:
    """Where the fakes listen: the base address of each, and those of their common side."""

    urls: Mapping[str, str]
    control: str
    sms: str
    sms_log: Path
    given: Mapping[str, Mapping[str, str]]
    """The settings of each provider: what it gave to the company, and where it reaches it."""

    def order(self, vendor: str, fault: str, **more: Any) -> None:
        """Orders a fault."""
        answer = call("POST", f"{self.control}/faults", {"vendor": vendor, "fault": fault, **more})
        assert answer.status == 204, answer.data

    def clear(self) -> None:
        """Ends all faults."""
        assert call("DELETE", f"{self.control}/faults").status == 204

    def vends(self, query: str = "") -> list[dict[str, Any]]:
        """What the control address tells of vends."""
        items: list[dict[str, Any]] = call("GET", f"{self.control}/vends{query}").json()["items"]
        return items

    def refunds(self, provider: str = "paystack") -> list[dict[str, Any]]:
        """What the control address tells of the refunds of a provider."""
        url = f"{self.control}/refunds?provider={provider}"
        items: list[dict[str, Any]] = call("GET", url).json()["items"]
        return items


@contextmanager
def running(
    folder: Path,
    webhook_url: str = "http://127.0.0.1:9/",
    only: Collection[str] = tuple(vendors.VENDORS),
    providers_only: Collection[str] = ("paystack",),
    given: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[Running]:
    """Starts ``only`` those vendors and those payment providers, and stops them in the end.

    Args:
        folder: where the SMS are written.
        webhook_url: where Paystack sends its webhooks, and below which all other providers do.
        only: the vendors.
        providers_only: the payment providers.
        given: what each provider gave to the company, where a test must know it.
    """
    with PromisedPorts() as promised:
        settings = {
            key: provider_settings(key, webhook_url, (given or {}).get(key))
            for key in providers_only
        }
        yield from _running(folder, settings, only, promised)


def provider_settings(
    key: str, base_url: str, given: Mapping[str, str] | None = None
) -> dict[str, str]:
    """What a provider knows and accepts: what it gave to the company, and where that is reached."""
    if key == "paystack":
        return {"secret_key": SECRET_KEY, "webhook_url": base_url, **(given or {})}
    known = given or import_module(providers.PROVIDERS[key].partition(":")[0]).made_up()
    paths = providers.paths(key, known)
    urls = {name: f"{base_url.rstrip('/')}{path}" for name, path in paths.items()}
    return {**known, "public_url": base_url.rstrip("/"), **urls}


def _running(
    folder: Path,
    settings: Mapping[str, Mapping[str, str]],
    only: Collection[str],
    promised: PromisedPorts,
) -> Iterator[Running]:
    ports = {key: promised.choose(0) for key in ("control", *only, *settings)}
    faults = Faults()
    fakes = Fakes(
        {vendors.make(key, VENDOR_SETTINGS[key], faults): ports[key] for key in only},
        {providers.make(key, known, faults): ports[key] for key, known in settings.items()},
        faults,
        folder / "messages.log",
    )
    control = fakes.open(ports["control"])
    base = f"http://{HOST}:{ports['control']}"
    log = folder / "messages.log"
    yield Running(up.fake_urls(ports), f"{base}/_control", f"{base}/sms", log, settings)
    fakes.clear_faults()
    addresses = (control, *fakes.addresses.values())
    with ThreadPoolExecutor(len(addresses)) as closing:  # each takes a moment
        for address in addresses:
            closing.submit(address.close)


def call(
    method: str, url: str, body: Any = None, tls: ssl.SSLContext | None = None, **headers: str
) -> urllib3.BaseHTTPResponse:
    """One HTTP call without retries, on a connection of its own; JSON unless told otherwise.

    In the names of headers, ``_`` stands for ``-``. ``tls`` is needed for ``https`` only.
    """
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        sent.setdefault("Content-Type", JSON)
    with urllib3.PoolManager(retries=False, timeout=PATIENCE_SECONDS, ssl_context=tls) as pool:
        return pool.request(method, url, body=content, headers=sent)


def client_tls(given: Mapping[str, str], ca_certificate: str | None = None) -> ssl.SSLContext:
    """TLS of a client that shows the certificate which it was given.

    It trusts the authority that it was told of, or another one where that is named.
    """
    context = ssl.create_default_context(cadata=ca_certificate or given["ca_certificate"])
    packed = load_pkcs12(base64.b64decode(given["pkcs12"]), given["pkcs12_password"].encode())
    key = packed.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with NamedTemporaryFile() as file:
        file.write(key + packed.cert.certificate.public_bytes(Encoding.PEM))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def basic(name: str, password: str) -> str:
    """The header of HTTP Basic."""
    return "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()


def without_none(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields but for those that are ``None``: how tests leave a field out."""
    return {name: value for name, value in fields.items() if value is not None}
