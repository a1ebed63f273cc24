"""Tells the company something, as a provider does: one HTTP call, no repetition."""

from __future__ import annotations

from collections.abc import Mapping

import urllib3

from infra.local.fakes.fake import Answer

SECONDS_PER_CALL = 30
"""So long an answer of the company is awaited."""


def deliver(
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
    method: str = "POST",
) -> Answer:
    """Tells the company, once, and tells here how the company answered.

    The JSON of the answer: ``webhook_status`` (``None`` where there was no answer),
    ``webhook_answer`` (the text of the company's body), and ``error`` where there was none.
    """
    try:
        with urllib3.PoolManager(retries=False, timeout=SECONDS_PER_CALL) as pool:
            answer = pool.request(method, url, body=body, headers=dict(headers))
    except urllib3.exceptions.HTTPError as error:
        return Answer.of({"webhook_status": None, "webhook_answer": "", "error": str(error)}, 502)
    text = answer.data.decode("utf-8", "replace")
    return Answer.of({"webhook_status": answer.status, "webhook_answer": text})
