"""The ids of plans."""

from __future__ import annotations

import base64
import secrets


def new_plan_id(customer_id: str) -> str:
    """An id that no plan has: ``p-``, whose it is, and ten letters and digits.

    Who pays a plan knows nothing but its id, and no index has to be kept for that.
    """
    letters = base64.b32encode(secrets.token_bytes(7)).decode().lower()[:10]
    return f"p-{customer_id}-{letters}"


def customer_of_plan(plan_id: str) -> str:
    """Whose plan it is; empty where it is no id of a plan."""
    return plan_id.removeprefix("p-").rpartition("-")[0] if plan_id.startswith("p-") else ""
