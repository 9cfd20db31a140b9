"""What is known of particular registries, as data: host pattern → profile. Every quirk carries its thread.

A profile says what *may be tried*; whether it works is then learnt from answers. So an unknown host has the profile
with everything allowed, and a self-hosted Harbor, zot, Nexus, GitLab or Artifactory is handled by its behaviour.

Quirks that need no flag, since every registry is treated so:

- Uploads are never chunked. ECR drops chunks (aws/containers-roadmap#2831), GHCR refuses those above 4 MiB, Artifact
  Registry knows none.
- Where the PUT of an upload takes no bytes, the whole blob comes with one PATCH before it: Artifactory 6
  (docker/buildx#196). That is learnt at the first blob.
- A refused mount (400, 401, 403, 404, 405) becomes an upload: Docker Hub (google/go-containerregistry#1741, #1679),
  old Quay (quay/quay#899), GitLab (estesp/manifest-tool#53).
- A mount that was claimed but did not happen shows at the manifest's PUT (goharbor/harbor#18541), which the copier
  answers by uploading.
- A refused overwrite of a tag that already has the digest is success: ECR 400 (aws/containers-roadmap#2380), Harbor
  412 (goharbor/harbor#15885), Nexus 400 (GoogleContainerTools/jib#3057), Docker Hub 403 (docker/hub-feedback#2466).
- Digests are computed from bytes: Nexus on PostgreSQL sends none, nor does old Quay (quay/quay#1310).
- Without the referrers API (GHCR, distribution 2) the fallback tag is read and kept. Its artifact types may be wrong
  on GHCR, so nothing rests on them; what is written there comes from the manifests.
- A fallback tag that is denied is absent when the list of tags lacks it: Artifactory's virtual repositories deny what
  is not there (google/go-containerregistry#1691).
- A 401 in the middle of an upload begins the blob anew (Azure/acr#841).
- Deleting declares ``delete`` in the scope, without which IBM's registry refuses it.
"""

from __future__ import annotations

from liftlock.oci.hosts import matches
from liftlock.transport.messages import Headers
from liftlock.typed import NamedTuple

__all__ = ["PROFILES", "Profile", "profile_of", "recognised"]


class Profile(NamedTuple):
    """What one kind of registry may be asked."""

    name: str = "unknown"
    mount: bool = True
    """``POST ?mount=…&from=…`` from another repository may give 201."""
    self_mount: bool = True
    """Mounting a repository's blob onto itself may answer "is it there": learnt at the first blob."""
    single_post: bool = False
    """``POST ?digest=…`` with the blob as its body may store it in one request; 202 shows that it does not."""
    denied_means_absent: bool = False
    """403 is also the answer for what does not exist: tolerated in existence checks, never elsewhere."""
    metered: bool = False
    """Reading a manifest counts against a quota; asking for its digest by HEAD does not."""
    manifest_puts_per_second: float = 0.0
    """A rate to stay below; 0 is no limit."""


_ECR = Profile(
    name="Amazon ECR",
    # Mounting is opt-in, and only for blobs that a manifest names (aws/containers-roadmap#2860): 202 is normal and
    # costs nothing, but says nothing about presence either.
    self_mount=False,
    # PutImage: 10 a second and account (AWS service quotas for ECR).
    manifest_puts_per_second=9.0,
)

PROFILES: tuple[tuple[str, Profile], ...] = (
    ("*.dkr.ecr.*.amazonaws.com", _ECR),
    ("*.dkr.ecr.*.amazonaws.com.cn", _ECR),
    ("*.dkr.ecr-fips.*.amazonaws.com", _ECR),
    ("*.dkr-ecr.*.on.aws", _ECR),
    ("*.dkr-ecr-fips.*.on.aws", _ECR),
    # aws/containers-roadmap#1459: no mount between repositories.
    ("public.ecr.aws", _ECR._replace(name="Amazon ECR Public", mount=False)),
    # Only a manifest's GET is a pull (docs.docker.com/docker-hub/usage/pulls).
    ("docker.io", Profile(name="Docker Hub", metered=True)),
    # Mounts have been claimed that did not happen (justrach/nanobrew#320): presence is asked for, not probed.
    ("ghcr.io", Profile(name="GitHub Container Registry", self_mount=False)),
    # quay/quay, endpoints/v2/blob.py: start_blob_upload takes a digest and the whole body.
    ("quay.io", Profile(name="Quay", single_post=True)),
    # google/go-containerregistry#1691, sigstore/cosign#2973: 403 for a missing tag of a virtual repository.
    ("*.jfrog.io", Profile(name="Artifactory", denied_means_absent=True)),
    # containers/skopeo#2484: a nested repository that does not exist is "denied".
    ("registry.gitlab.com", Profile(name="GitLab", denied_means_absent=True)),
    # AliyunContainerService/image-syncer#149, #163.
    ("*.aliyuncs.com", Profile(name="Alibaba Container Registry", denied_means_absent=True)),
    ("*.myhuaweicloud.com", Profile(name="Huawei SWR", denied_means_absent=True)),
)
"""Host pattern → profile; the first match counts. Hosts as references write them: Docker Hub is ``docker.io``."""

_MARKS: tuple[tuple[str, str], ...] = (
    # Artifactory and GitLab on hosts of their own say who they are.
    ("x-jfrog-version", "Artifactory"),
    ("x-artifactory-id", "Artifactory"),
    ("gitlab-container-registry-version", "GitLab"),
)


def profile_of(registry: str) -> Profile:
    """The profile of a registry by its host; the most permissive one for a host that is not known."""
    host = registry.lower()
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    return next((profile for pattern, profile in PROFILES if matches(pattern, name)), Profile())


def recognised(headers: Headers) -> Profile | None:
    """The profile of a self-hosted registry that says in its answers what it is."""
    kind = next((kind for field, kind in _MARKS if field in headers), None)
    return next((profile for _, profile in PROFILES if profile.name == kind), None)
