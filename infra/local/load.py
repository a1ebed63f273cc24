"""Fills a fresh local stack: its secrets, its staff and the company's settings."""

from __future__ import annotations

import base64
import json
import secrets
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from infra.local import processes, providers
from infra.local.deploy import STACK, client
from infra.local.fakes.certificates import make_certificates
from infra.local.vendors import spark_shs, sunking
from infra.local.vendors.chint import PATH as CHINT_PATH
from infra.package import REGION, ROOT
from infra.staff import make_staff

ROLES = ("admin", "office", "field", "agent", "operations", "finance")

PARTNERS = ("demo", "demo2")

COMPANY: dict[str, Any] = {
    "company": "Mwanga Local",
    "country": "KE",
    "currency": "KES",
    "time_zone": "Africa/Nairobi",
    "languages": ("en", "sw"),
}
"""The settings of the local company."""


SMS_RULE = {
    "senders": ["M-PESA"],
    "template": (
        "Confirmado [transaction_ref]. Recebeste [amount] de [sender_phone] [*]"
        "Conteudo: [device_serial]"
    ),
}
"""How the payment SMS look that the local company's phone gets."""


class LoadingFailed(Exception):
    """The tables could not be filled. The text is what the services said."""


def _word() -> str:
    return secrets.token_urlsafe(24)


def _vendors() -> dict[str, dict[str, str]]:
    return {
        "calin": {"user_id": f"MWANGA{secrets.randbelow(10_000):04}", "password": _word()},
        "calin_smart": {
            "company_name": "Mwanga Local",
            "user_name": f"mwanga{secrets.randbelow(10_000):04}",
            "password": _word(),
            "password_vend": _word(),
        },
        "sparkmeter": {
            "token": _word(),
            "api_key": secrets.token_hex(16),
            "api_secret": _word(),
            "organization_id": str(uuid4()),
        },
        "angaza": {"client_id": secrets.token_hex(8), "client_secret": _word()},
        "gomelong": {"user_id": f"mwanga{secrets.randbelow(10_000):04}", "password": _word()},
        "gomelong_v1": {"user_id": f"mwanga{secrets.randbelow(10_000):04}", "password": _word()},
        "chint": {"user_name": f"mwanga{secrets.randbelow(10_000):04}", "password": _word()},
        "microstar": make_certificates(),
        "stron_v3": {
            "company_name": "Mwanga Local",
            "user_name": f"mwanga{secrets.randbelow(10_000):04}",
            "password": _word(),
        },
        "sunking": {"client_id": secrets.token_hex(8), "client_secret": _word()},
        "spark_shs": {
            "audience": "https://kits.mwanga.example/api",
            "client_id": secrets.token_hex(8),
            "client_secret": _word(),
        },
        "steama": {"username": f"mwanga{secrets.randbelow(10_000):04}", "password": _word()},
        "daly_bms": {"username": f"mwanga{secrets.randbelow(10_000):04}", "password": _word()},
        "stron": {
            "company_name": "Mwanga Local",
            "user_name": f"mwanga{secrets.randbelow(10_000):04}",
            "password": _word(),
        },
    }


@dataclass(frozen=True)
class Generated:
    """All that is made up for one local cloud; nothing of it is used twice or anywhere else."""

    staff: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            role: {"email": f"{role}@mwanga.example", "password": _word()} for role in ROLES
        }
    )
    partners: dict[str, str] = field(default_factory=lambda: {name: _word() for name in PARTNERS})
    vendors: dict[str, dict[str, str]] = field(default_factory=_vendors)
    """What each faked manufacturer accepts: the credentials it gave to the company."""
    providers: dict[str, dict[str, str]] = field(default_factory=providers.made_up)
    """What each faked payment provider gave to the company."""
    sms_gateway_secret: str = field(default_factory=_word)
    device_key: str = field(
        default_factory=lambda: base64.b64encode(secrets.token_bytes(32)).decode()
    )


def fill_secrets(
    endpoint: str, generated: Generated, fakes: Mapping[str, str], public_url: str
) -> None:
    """Puts the generated secrets where an operator puts the real ones.

    Args:
        endpoint: the emulator.
        generated: what was made up.
        fakes: the base address of each fake, by its key.
        public_url: where providers reach the API.
    """
    manager = client("secretsmanager", endpoint)
    for name, content in secret_contents(generated, fakes, public_url).items():
        manager.put_secret_value(SecretId=f"{STACK}/{name}", SecretString=json.dumps(content))


def secret_contents(
    generated: Generated, fakes: Mapping[str, str], public_url: str
) -> dict[str, Any]:
    """What is in each secret, as the docs pages of channels and manufacturers describe it."""
    sparkmeter = generated.vendors["sparkmeter"]
    koios = {name: value for name, value in sparkmeter.items() if name != "token"}
    microstar = generated.vendors["microstar"]
    site = {"base_url": f"{fakes['sparkmeter']}/site", "token": sparkmeter["token"]}
    return {
        "channels/direct": {
            "partners": {name: [secret] for name, secret in generated.partners.items()}
        },
        "channels/sms_parser": {
            "enabled": True,
            "gateway_secrets": [generated.sms_gateway_secret],
            "currency": COMPANY["currency"],
            "source": "sms.local",
            "rules": [SMS_RULE],
        },
        **{
            f"channels/{key}": providers.secret(
                key, {**given, "public_url": public_url}, fakes[key]
            )
            for key, given in generated.providers.items()
        },
        "manufacturers/calin": {"base_url": fakes["calin"], **generated.vendors["calin"]},
        "manufacturers/calin_smart": {
            "base_url": fakes["calin_smart"],
            **generated.vendors["calin_smart"],
            "time_zone": "UTC",
        },
        "manufacturers/sparkmeter": {
            "koios": {"base_url": f"{fakes['sparkmeter']}/koios", **koios},
            "sites": {"site": site},
        },
        "manufacturers/angaza": {"base_url": fakes["angaza"], **generated.vendors["angaza"]},
        "manufacturers/gomelong": {
            "base_url": fakes["gomelong"],
            **generated.vendors["gomelong"],
        },
        "manufacturers/gomelong_v1": {
            "base_url": fakes["gomelong_v1"],
            **generated.vendors["gomelong_v1"],
        },
        "manufacturers/chint": {
            "base_url": f"{fakes['chint']}{CHINT_PATH}",
            **generated.vendors["chint"],
        },
        "manufacturers/microstar": {
            "base_url": fakes["microstar"],
            "pkcs12": microstar["pkcs12"],
            "pkcs12_password": microstar["pkcs12_password"],
            "ca_certificate": microstar["ca_certificate"],
        },
        "manufacturers/stron_v3": {"base_url": fakes["stron_v3"], **generated.vendors["stron_v3"]},
        "manufacturers/sunking": {
            "base_url": f"{fakes['sunking']}/v2",
            "auth_url": f"{fakes['sunking']}{sunking.LOG_IN_PATH}",
            **generated.vendors["sunking"],
        },
        "manufacturers/spark_shs": {
            "base_url": f"{fakes['spark_shs']}{spark_shs.API_PATH}",
            "auth_url": f"{fakes['spark_shs']}{spark_shs.LOG_IN_PATH}",
            **generated.vendors["spark_shs"],
        },
        "manufacturers/steama": {"base_url": fakes["steama"], **generated.vendors["steama"]},
        "manufacturers/daly_bms": {"base_url": fakes["daly_bms"], **generated.vendors["daly_bms"]},
        "manufacturers/stron": {"base_url": fakes["stron"], **generated.vendors["stron"]},
        "device-keys": {"current": "k1", "keys": {"k1": generated.device_key}},
    }


def fill_staff(endpoint: str, pool_id: str, generated: Generated) -> None:
    """Makes one member of staff for each role, as somebody does in the console."""
    pool = client("cognito-idp", endpoint)
    for role, member in generated.staff.items():
        make_staff(pool, pool_id, member["email"], role)
        pool.admin_set_user_password(
            UserPoolId=pool_id,
            Username=member["email"],
            Password=member["password"],
            Permanent=True,
        )


def fill_tables(endpoint: str, state: Path) -> None:
    """Sets the company's settings, with the service that the API uses.

    It runs in a process of its own, whose environment is that of this stack, and before the API
    is first asked: nothing has to wait until it forgets what it knew.

    Raises:
        LoadingFailed: the text says why.
    """
    environment = processes.environment(
        state,
        AWS_DEFAULT_REGION=REGION,
        AWS_ENDPOINT_URL=endpoint,
        MWANGA_STAGE="local",
        PYTHONPATH=str(ROOT),
        TABLE_PREFIX=f"{STACK}-",
    )
    run = subprocess.run(
        [sys.executable, "-m", "infra.local.load"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if run.returncode != 0:
        raise LoadingFailed(run.stdout)


def main() -> None:
    """Fills the tables of the stack that the environment names."""
    from chalicelib.services.company import Choices
    from chalicelib.wiring import wiring

    wiring.keep_company.replace(Choices(**COMPANY), actor="local cloud")


if __name__ == "__main__":
    main()
