"""What an artifact store in a registry has of its own; the contract of all stores is in test_artifact_stores.py."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest

from liftlock.errors import Cancelled, RegistryError
from liftlock.oci import media_types as mt
from liftlock.oci.digest import Digest
from liftlock.oci.manifest import Manifest
from liftlock.release.artifact import ARTIFACT_TYPE
from liftlock.services.session import Session
from liftlock.store.artifact_store import image_tag
from liftlock.store.registry_store import RegistryStore
from tests.store.shelf import LATER, Shelf
from tests.support import peers, remote
from tests.support.registry import Registry


def test_skopeo_reads_a_store_in_a_registry(registry: Registry, repo: str, home: Path) -> None:
    peers.require("skopeo")
    with Session({"HOME": str(home)}) as session:
        target = session.targets.open_writable(f"{registry.host}/{repo}")
        shelf = Shelf(RegistryStore(target), target, lambda *_: None)
        made = shelf.publish("1", web=shelf.image(b"layer"))

    def inspect(tag: str) -> dict[str, object]:
        name = f"docker://{registry.host}/{repo}:{tag}"
        found: dict[str, object] = json.loads(peers.run("skopeo", "inspect", "--raw", "--tls-verify=false", name))
        return found

    document = inspect(f"artifact-{made.id.hex}")
    assert document["artifactType"] == ARTIFACT_TYPE
    assert document["layers"] == [
        {"mediaType": ARTIFACT_TYPE, "digest": str(made.id), "size": len(made.document)},
    ]
    assert remote.get_blob(registry, repo, made.id) == made.document
    assert remote.digest_of(registry, repo, image_tag(made, "web")) == made.images["web"].digest


@pytest.mark.parametrize("deletions", range(5))
def test_a_collection_in_a_registry_that_was_interrupted_is_finished_by_the_next(
    *, deletions: int, registry: Registry, repo: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Session({"HOME": str(home)}) as session:
        target = session.targets.open_writable(f"{registry.host}/{repo}")
        shelf = Shelf(RegistryStore(target), target, lambda *_: None)
        children = [shelf.image(text) for text in (b"amd64", b"arm64")]
        below = [each.descriptor.to_json() for each in children]
        index = Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": below})
        target.put_manifest(index)
        made = shelf.publish("1", web=index)
        delete, done = target.delete_manifest, 0

        def dying(digest: Digest) -> None:
            nonlocal done
            if done == deletions:
                raise Cancelled("the machine is gone")
            done += 1
            delete(digest)

        with monkeypatch.context() as patch:
            patch.setattr(target, "delete_manifest", dying)
            with suppress(Cancelled):
                shelf.store.collect([made], before=LATER)
        shelf.store.collect([made], before=LATER)

        assert [each for each in (*children, index) if target.resolve(each.digest)] == []
        assert list(target.tags()) == []


def test_what_an_index_holds_on_to_goes_after_it(
    registry: Registry, repo: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in Amazon ECR (BatchDeleteImage, "ImageReferencedByManifestList")."""
    with Session({"HOME": str(home)}) as session:
        target = session.targets.open_writable(f"{registry.host}/{repo}")
        shelf = Shelf(RegistryStore(target), target, lambda *_: None)
        child = shelf.image(b"amd64")
        below = [child.descriptor.to_json()]
        index = Manifest.build({"schemaVersion": 2, "mediaType": mt.OCI_INDEX, "manifests": below})
        target.put_manifest(index)
        made = shelf.publish("1", web=index)
        delete = target.delete_manifest

        def holding(digest: Digest) -> None:
            if digest == child.digest and target.resolve(index.digest):
                raise RegistryError("it is referenced by a manifest list", status=400)
            delete(digest)

        monkeypatch.setattr(target, "delete_manifest", holding)
        swept = shelf.store.collect([made], before=LATER)

        assert (swept.objects, len(swept.notes)) == (3, 1)
        assert target.resolve(child.digest) is None


def test_putting_a_document_again_sends_nothing(registry: Registry, repo: str, home: Path) -> None:
    with Session({"HOME": str(home)}) as session:
        target = session.targets.open_writable(f"{registry.host}/{repo}")
        shelf = Shelf(RegistryStore(target), target, lambda *_: None)
        made = shelf.publish("1", web=shelf.image(b"layer"))
    registry.forget()
    with Session({"HOME": str(home)}) as session:
        RegistryStore(session.targets.open_writable(f"{registry.host}/{repo}")).put(made)

    assert not [seen for seen in registry.requests() if repo in seen.path and seen.method in ("POST", "PUT", "PATCH")]
