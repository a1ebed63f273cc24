"""Files, in private buckets: one deletes each after a month, that of reports keeps all."""

from __future__ import annotations

from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.runtime import aws, environment
from chalicelib.services.ports import OutcomeUnknown, TryAgain


class S3Files:
    """The port ``Files`` on S3. ``bucket`` names the bucket when it is needed."""

    def __init__(self, bucket: Callable[[], str] = environment.files_bucket) -> None:
        self._bucket = bucket

    def put(self, key: str, content: bytes) -> None:
        """Keep a file, in the place of one of that key.

        Raises:
            OutcomeUnknown: see there.
        """
        bucket = self._bucket()
        try:
            aws.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
        except (BotoCoreError, ClientError) as error:
            raise OutcomeUnknown(type(error).__name__) from error

    def get(self, key: str) -> bytes | None:
        """The file; ``None`` where there is none (any more).

        Raises:
            TryAgain: see there.
        """
        s3 = aws.client("s3")
        try:
            answer = s3.get_object(Bucket=self._bucket(), Key=key)
            content: bytes = answer["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise TryAgain(type(error).__name__) from error
        return content
