"""Object stores for tests: an empty place in Amazon S3 (moto) or Azure Blob Storage (Azurite), with what looks inside.

Nothing here uses the product's code.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import obstore
from obstore.store import AzureStore, S3Store

from tests.support.aws import REGION, Moto
from tests.support.azurite import ACCOUNT, KEY, Azurite

_NUMBERS = itertools.count(1)


class Place:
    """A bucket or container of a test's own, and a folder in it."""

    def __init__(self, url: str, env: Mapping[str, str], store: Any) -> None:
        self.url = url
        """As it is written: `s3://bucket/prefix`."""
        self.env = env
        self.store = store
        """A client of what is below the prefix."""

    def keys(self, below: str | None = None) -> dict[str, int]:
        """Every object, with its size."""
        return {each["path"]: each["size"] for page in obstore.list(self.store, below) for each in page}

    def read(self, key: str) -> bytes:
        return bytes(obstore.get(self.store, key).bytes())

    def write(self, key: str, data: bytes) -> None:
        obstore.put(self.store, key, data)

    def remove(self, key: str) -> None:
        obstore.delete(self.store, key)


def on_s3(moto: Moto) -> Place:
    """A new bucket; its client speaks to moto."""
    bucket = f"bucket-{next(_NUMBERS)}"
    moto.client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
    store = S3Store(
        bucket,
        prefix="team/artifacts",
        endpoint=moto.url,
        region=REGION,
        access_key_id=moto.env["AWS_ACCESS_KEY_ID"],
        secret_access_key=moto.env["AWS_SECRET_ACCESS_KEY"],
        client_options={"allow_http": True},
    )
    return Place(f"s3://{bucket}/team/artifacts", moto.env, store)


def on_azure(azurite: Azurite) -> Place:
    """A new container; its client speaks to Azurite."""
    container = f"container-{next(_NUMBERS)}"
    azurite.make_container(container)
    store = AzureStore(
        container,
        prefix="team/artifacts",
        account_name=ACCOUNT,
        account_key=KEY,
        endpoint=azurite.env["AZURE_STORAGE_ENDPOINT"],
        client_options={"allow_http": True},
    )
    return Place(f"az://{container}/team/artifacts", azurite.env, store)
