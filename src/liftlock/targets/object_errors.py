"""What object stores answer when they do not do it, as our errors.

obstore's own text shows URLs (which may carry a signature) and bodies: of it only the service's error code is shown,
which is one word (Amazon S3 API Reference, "Error responses"; Azure, "Blob service error codes").
"""

from __future__ import annotations

import re

from liftlock.errors import AccessDenied, CorruptContent, LiftlockError, NotFound, RegistryError, TransportError

__all__ = ["is_gone", "object_error"]

_CODE = re.compile(r"<Code>(?:<!\[CDATA\[)?([A-Za-z]{3,60})")
_STATUS = re.compile(r"non-2xx status code: (\d{3})")

_NO_BUCKET = frozenset({"NoSuchBucket", "ContainerNotFound", "ResourceNotFound", "AccountIsDisabled"})
_EXPIRED = frozenset({"ExpiredToken", "RequestExpired", "TokenRefreshRequired", "ExpiredTokenException"})
_REFUSED = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "AuthenticationFailed"})

_METADATA = ("/latest/api/token", "/latest/meta-data/", "/metadata/identity/", "/computeMetadata/")
"""Parts of the URLs where a cloud's machines get credentials: it is asked last, where nothing else gave any."""


def is_gone(error: BaseException) -> bool:
    """Whether the answer says that this object is not there, in a bucket that is."""
    return isinstance(error, FileNotFoundError) and _code(error) not in _NO_BUCKET


def object_error(error: BaseException, name: str, action: str) -> LiftlockError:
    """The error of a call: ``name`` is the store, ``action`` what could not be done."""
    from obstore.exceptions import PermissionDeniedError, UnauthenticatedError

    code, status, where = _code(error), _status(error), f"{name}: cannot {action}"
    said = f" ({code or status})" if code or status else ""
    if any(url in str(error) for url in _METADATA):
        return AccessDenied(f"{where}: no credentials are found", hint="sign in, or set the variables of your cloud")
    if code in _NO_BUCKET:
        return NotFound(
            f"{where}: there is no such bucket{said}", hint="Liftlock makes none: make it, or check its name"
        )
    if code in _EXPIRED:
        return AccessDenied(f"{where}: the credentials have expired{said}", hint="sign in again; what was sent stays")
    if code in _REFUSED or status == 401 or isinstance(error, UnauthenticatedError):
        return AccessDenied(f"{where}: the credentials are not accepted{said}", hint="check those of this environment")
    if status == 403 or isinstance(error, PermissionDeniedError):
        return AccessDenied(
            f"{where}: these credentials lack the right{said}", hint="see docs/how-to/keep-artifacts.md"
        )
    if isinstance(error, FileNotFoundError):
        return NotFound(f"{where}: it is not there{said}")
    if status == 416:
        return CorruptContent(f"{where}: it has fewer bytes than it should have")
    if status:
        return RegistryError(f"{where}: the store answered with an error{said}", status=status)
    return TransportError(f"{where}: no usable answer came", hint="check the endpoint, the network and the proxy")


def _code(error: BaseException) -> str:
    found = _CODE.search(str(error))
    return found[1] if found else ""


def _status(error: BaseException) -> int:
    found = _STATUS.search(str(error))
    return int(found[1]) if found else 0
