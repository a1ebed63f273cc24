"""Files, in the private bucket of the deployment. Each is deleted by the bucket after a month."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.runtime import aws, environment
from chalicelib.services.ports import OutcomeUnknown, TryAgain


class S3Files:
    """The port ``Files`` on S3."""

    def put(self, key: str, content: bytes) -> None:
        """Keep a file, in the place of one of that key.

        Raises:
            OutcomeUnknown: see there.
        """
        bucket = environment.files_bucket()
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
            answer = s3.get_object(Bucket=environment.files_bucket(), Key=key)
            content: bytes = answer["Body"].read()
        except s3.exceptions.NoSuchKey:
            return None
        except (BotoCoreError, ClientError) as error:
            raise TryAgain(type(error).__name__) from error
        return content
