"""What one operation knows of one registry: its challenge, the scopes it is going to need, the tokens it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from liftlock.auth.bearer import (
    Answer,
    Grant,
    Offer,
    basic,
    choose,
    failure,
    parse_scopes,
    realm_url,
    same_origin,
    token_flow,
    united,
)
from liftlock.auth.secret import Credential, Secret
from liftlock.errors import AccessDenied, Cancelled, LiftlockError, Throttled
from liftlock.oci.distribution import Challenge, Scope, error_codes, parse_challenges
from liftlock.transport.client import Transport
from liftlock.transport.messages import Request, Response
from liftlock.typed import NamedTuple, Protocol, TypeVar

__all__ = ["Credentials", "Session", "read_answer", "twin"]

E = TypeVar("E", bound=LiftlockError)

ANSWER_LIMIT = 1 << 20
"""Bytes of a token answer or an error body; a token with many scopes has some ten thousand."""
SCOPES_PER_TOKEN = 40
"""More make an ``Authorization`` field beyond the 8 KiB that nginx and others take, and a query as long."""
LONGEST_MARGIN = 30.0
"""Seconds before its end at which a token is no longer used; for short-lived ones a quarter of their life."""


class Credentials(Protocol):
    """Where credentials come from; the keychain is one."""

    def find(self, registry: str, repository: str) -> Credential | None: ...

    def trouble(self, registry: str) -> LiftlockError | None: ...


class Token(NamedTuple):
    """A token, as it is kept."""

    secret: Secret
    scopes: Sequence[Scope]
    """What it was asked for; a server may have granted less without saying so."""
    good_until: float

    def covers(self, needed: Iterable[Scope]) -> bool:
        held = {(scope.kind, scope.repository): scope.actions for scope in self.scopes}
        return all(scope.actions <= held.get((scope.kind, scope.repository), frozenset()) for scope in needed)


class Attempt(NamedTuple):
    """With what a request is signed; with nothing when no challenge is known, or nobody to answer it."""

    header: str = ""
    credential: Credential | None = None
    token: Token | None = None


class Session:
    """Signs the requests of one operation to one registry. Its lock makes threads wait for one token request."""

    def __init__(self, registry: str, transport: Transport, keychain: Credentials, clock: Callable[[], float]) -> None:
        self._registry = registry
        self._transport = transport
        self._keychain = keychain
        self._clock = clock
        self._lock = Lock()
        self._key = transport.memory_key(registry)
        self._offer = _remembered(transport.memory.get(self._key, "challenge"))
        self._confirmed = False
        """Whether the registry itself made the offer in this operation; a remembered one may be outdated."""
        self._asked = False
        """Whether it was asked for an offer that its other answers do not make."""
        self._wanted: list[Scope] = []
        self._tokens: list[Token] = []
        self._alone = False
        """Whether it grants no token for several repositories (go-containerregistry#1679)."""
        self._refused: dict[tuple[Offer, tuple[Scope, ...]], AccessDenied] = {}
        self._failure: LiftlockError | None = None
        self._failures = 0

    @property
    def _base_url(self) -> str:
        return self._transport.base_url(self._registry)

    def want(self, scope: Scope) -> None:
        """Include this scope in every token from now on."""
        with self._lock:
            self._want(scope)

    def send(self, request: Request, scope: Scope | None, *, redirects: bool) -> Response:
        """Send until it is no longer refused: unsigned when no challenge is known, signed, and with a fresh token."""
        attempt = self._sign(scope)
        refused: Attempt | None = None
        while True:
            response = self._send(request, attempt, redirects)
            if not same_origin(response.url, self._base_url):
                return response  # what a redirect's target asks for is not the registry's word
            if response.status in (403, 404) and self._may_be_hiding(scope, attempt):
                response.close()
                self._asked = True
                refused, attempt = attempt, self._answer(self._ping(), scope, attempt)
                continue
            if response.status != 401:
                if refused is not None:
                    self._learn(refused, attempt)
                return response
            challenges, said = _challenges(response), _said(response)
            challenges = challenges if choose(challenges) else self._ping()
            renewed = attempt.header and refused is not None and refused.header
            if renewed or choose(challenges) is None:
                raise self._denied(scope, attempt, said)
            refused, attempt = attempt, self._answer(challenges, scope, attempt)
            if attempt.header in ("", refused.header):
                raise self._denied(scope, attempt, said)

    # --- sending --------------------------------------------------------------------------------------------------

    def _send(self, request: Request, attempt: Attempt, redirects: bool) -> Response:
        if attempt.header:
            request = request._replace(headers={**request.headers, "Authorization": attempt.header})
        return self._transport.send(request, redirects=redirects)

    def _ping(self) -> list[Challenge]:
        """The challenge of ``/v2/``, for registries whose other answers have none (old GCR)."""
        url = f"{self._base_url}/v2/"
        response = self._transport.send(Request("GET", url), redirects=False)
        answer = read_answer(response)
        if answer.status in (408, 429) or answer.status >= 500:
            raise failure(url, answer)
        return _challenges(response) if answer.status == 401 else []

    def _may_be_hiding(self, scope: Scope | None, attempt: Attempt) -> bool:
        """Whether this may be a registry that shows strangers less, and does not tell them that it knows others."""
        return not attempt.header and not self._asked and self._credential(scope) is not None

    def _learn(self, refused: Attempt, attempt: Attempt) -> None:
        """Remember what has just worked."""
        before, after, offer = refused.token, attempt.token, self._offer
        if before is not None and after is not None and before.covers(after.scopes) and not after.covers(before.scopes):
            self._alone = True
        if offer is not None:
            fact = {"scheme": offer.scheme, "realm": offer.realm, "service": offer.service}
            self._transport.memory.put(self._key, "challenge", fact)

    # --- signing --------------------------------------------------------------------------------------------------

    def _sign(self, scope: Scope | None) -> Attempt:
        """Sign with what is known; with nothing when no challenge is, or the remembered one proves outdated."""
        with self._turn():
            if scope is not None:
                self._want(scope)
            if self._offer is None:
                return Attempt()
            credential = self._credential(scope)
            try:
                return self._attempt(self._offer, scope, (), credential)
            except (Cancelled, Throttled):
                raise
            except LiftlockError:
                if self._confirmed:
                    raise
                # The realm was only remembered: the registry's own word comes before an error about it.
                self._offer = None
                self._transport.memory.put(self._key, "challenge", None)
                return Attempt()

    def _answer(self, challenges: Sequence[Challenge], scope: Scope | None, refused: Attempt) -> Attempt:
        """Sign anew, after these challenges to what was ``refused``; with nothing when none of them is known."""
        offer = choose(challenges)
        if offer is None:
            return Attempt()
        said = next(each.parameters for each in challenges if each.scheme == offer.scheme)
        # What the registry says it needs: more than was thought for a mount, or for IBM's DELETE.
        extra = parse_scopes(said.get("scope", ""))
        with self._turn():
            if offer != self._offer:
                self._offer = offer
                self._tokens.clear()
            self._confirmed = True
            self._tokens = [token for token in self._tokens if token is not refused.token]
            # A token that covers it, and is not over: the server may have granted less than it was asked for.
            short = refused.token is not None and refused.token.covers(extra) and said.get("error") != "invalid_token"
            return self._attempt(offer, scope, extra, self._credential(scope), alone=short)

    def _attempt(
        self,
        offer: Offer,
        scope: Scope | None,
        extra: Sequence[Scope],
        credential: Credential | None,
        *,
        alone: bool = False,
    ) -> Attempt:
        if offer.scheme == "basic":
            if credential is None or credential.kind != "password":
                return Attempt(credential=credential)
            return Attempt(basic(credential), credential)
        if credential is not None and credential.kind == "bearer":
            return Attempt(f"Bearer {credential.secret.reveal()}", credential)
        own = [] if scope is None else [scope]
        needed = united([*own, *extra])
        now = self._clock()
        token = next((each for each in self._tokens if each.good_until > now and each.covers(needed)), None)
        if token is None:
            token = self._new_token(offer, own, needed, credential, alone=alone or self._alone)
            self._tokens.insert(0, token)
        return Attempt(f"Bearer {token.secret.reveal()}", credential, token)

    def _new_token(
        self, offer: Offer, own: list[Scope], needed: list[Scope], credential: Credential | None, *, alone: bool
    ) -> Token:
        """A token for all that is wanted; where that is refused, for the request's own scope."""
        everything = needed if alone else self._union(needed, credential)
        try:
            return self._fetch(offer, everything, credential)
        except AccessDenied:
            if everything == own:
                raise
        token = self._fetch(offer, own, credential)
        self._alone = True
        return token

    def _union(self, needed: list[Scope], credential: Credential | None) -> list[Scope]:
        """What is needed, and what is wanted with the same credential, in groups of fixed membership."""
        same = [scope for scope in self._wanted if self._credential(scope) == credential]
        names = {(scope.kind, scope.repository) for scope in needed}
        index = next((i for i, each in enumerate(same) if (each.kind, each.repository) in names), 0)
        start = index - index % SCOPES_PER_TOKEN
        return united([*needed, *same[start : start + SCOPES_PER_TOKEN]])

    def _fetch(self, offer: Offer, scopes: list[Scope], credential: Credential | None) -> Token:
        key = (offer, tuple(scopes))
        if key in self._refused:
            # To ask again with a password that was refused locks accounts.
            raise twin(self._refused[key])
        url = realm_url(offer.realm, self._base_url)
        self._transport.guard(self._base_url, url)
        asked = self._clock()
        try:
            grant = self._run(url, offer.service, scopes, credential)
        except AccessDenied as error:
            error.message = f"{self._registry}: {error.message}"
            error.hint = self._hint(credential)
            self._refused[key] = error
            raise
        lifetime = max(0.0, grant.lifetime)
        return Token(grant.token, scopes, asked + lifetime - min(LONGEST_MARGIN, lifetime / 4))

    def _run(self, url: str, service: str, scopes: list[Scope], credential: Credential | None) -> Grant:
        flow = token_flow(url, service, scopes, credential)
        request = next(flow)
        while True:
            try:
                request = flow.send(read_answer(self._transport.send(request)))
            except StopIteration as end:
                granted: Grant = end.value
                return granted

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock. Those who waited while another's token request failed share its error, and do not ask."""
        seen = self._failures
        with self._lock:
            if self._failures != seen and self._failure is not None:
                raise twin(self._failure)
            try:
                yield
            except AccessDenied:
                raise  # says something of its own scope only
            except LiftlockError as error:
                self._failure = twin(error)
                self._failures += 1
                raise

    def _want(self, scope: Scope) -> None:
        for index, known in enumerate(self._wanted):
            if (known.kind, known.repository) == (scope.kind, scope.repository):
                self._wanted[index] = known._replace(actions=known.actions | scope.actions)
                return
        self._wanted.append(scope)

    def _credential(self, scope: Scope | None) -> Credential | None:
        repository = scope.repository if scope is not None and scope.kind == "repository" else ""
        return self._keychain.find(self._registry, repository)

    # --- refusals -------------------------------------------------------------------------------------------------

    def _denied(self, scope: Scope | None, attempt: Attempt, said: str) -> AccessDenied:
        credential = attempt.credential or self._credential(scope)
        what = f"{'/'.join(sorted(scope.actions))} of {scope.repository}" if scope is not None else "access"
        who = f"asked as {credential.username!r}" if credential is not None else "asked without credentials"
        return AccessDenied(
            f"{self._registry} refuses {what}, {who}{f' ({said})' if said else ''}", hint=self._hint(credential)
        )

    def _hint(self, credential: Credential | None) -> str:
        login = f"liftlock login {self._registry}"
        return login if credential is None else f"check what {credential.username!r} may do there, or: {login}"


def read_answer(response: Response) -> Answer:
    """An answer, read to its end and closed; raises `CorruptContent` when it is far too long for one."""
    try:
        return Answer(response.status, response.headers, response.read(ANSWER_LIMIT))
    finally:
        response.close()


def _challenges(response: Response) -> list[Challenge]:
    return parse_challenges(response.headers.all("WWW-Authenticate"))


def _said(response: Response) -> str:
    """The error codes of an answer, which is read and closed; a body that cannot be read says nothing."""
    try:
        return ", ".join(error_codes(read_answer(response).body)[0])
    except Cancelled:
        raise
    except LiftlockError:
        return ""


def _remembered(fact: object) -> Offer | None:
    """A challenge from the memory of hosts; None when there is none, or none that makes sense."""
    if not isinstance(fact, dict):
        return None
    scheme, realm, service = (fact.get(name) for name in ("scheme", "realm", "service"))
    if scheme == "basic":
        return Offer("basic")
    if scheme == "bearer" and isinstance(realm, str) and realm and isinstance(service, str):
        return Offer("bearer", realm, service)
    return None


def twin(error: E) -> E:
    """The same error once more, for another thread: it adds its own side and traceback."""
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(error.__dict__)
    return twin
