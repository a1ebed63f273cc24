"""Lets coverage look away while AWS is asked.

Tracing slows down every line that runs, and most of those lines are botocore's and moto's. Nothing
of ours that is counted (rules and services) runs below a client's call.
"""

from __future__ import annotations

import sys
from functools import wraps
from typing import Any

from botocore.client import BaseClient

_ask = BaseClient._make_api_call


@wraps(_ask)
def _ask_untraced(self: BaseClient, operation: str, parameters: Any) -> Any:
    tracer = sys.gettrace()
    if tracer is None:
        return _ask(self, operation, parameters)
    sys.settrace(None)
    try:
        return _ask(self, operation, parameters)
    finally:
        sys.settrace(tracer)


def requests_to_aws() -> None:
    """From now on. Doing it again changes nothing."""
    BaseClient._make_api_call = _ask_untraced
