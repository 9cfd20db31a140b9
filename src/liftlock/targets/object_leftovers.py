"""Parts of objects that were never finished: what a killed process leaves in Amazon S3.

Azure forgets them after a week by itself ("Put Block"); Google Cloud Storage needs a lifecycle rule of the bucket. S3
keeps them until they are aborted or a lifecycle rule does that (Amazon S3 API, "ListMultipartUploads").
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from liftlock.errors import AccessDenied, ConfigError
from liftlock.oci.bucket import BucketName

__all__ = ["abort_uploads"]


def abort_uploads(name: str, env: Mapping[str, str], before: dt.datetime, *, dry_run: bool) -> int:
    """End the uploads below this place that were begun earlier; how many there were. Only Amazon S3 has any.

    Raises `ConfigError` without boto3, `AccessDenied` when S3 refuses.
    """
    place = BucketName.parse(name)
    if place.scheme != "s3":
        return 0
    try:
        from boto3.session import Session
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        raise ConfigError("boto3 is not installed", hint="pip install 'liftlock[aws]'") from None
    try:
        client = Session(
            aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=env.get("AWS_SESSION_TOKEN"),
            region_name=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION"),
            profile_name=env.get("AWS_PROFILE") if not env.get("AWS_ACCESS_KEY_ID") else None,
        ).client("s3", endpoint_url=env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL"))
        prefix = f"{place.prefix}/" if place.prefix else ""
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=place.bucket, Prefix=prefix)
        found = [each for page in pages for each in page.get("Uploads", ()) if each["Initiated"] < before]
        for each in () if dry_run else found:
            client.abort_multipart_upload(Bucket=place.bucket, Key=each["Key"], UploadId=each["UploadId"])
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
        raise AccessDenied(f"{name}: Amazon S3 does not tell of them ({code})") from None
    return len(found)
