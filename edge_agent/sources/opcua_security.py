"""How a source's sessions are secured: the endpoint, the channel's policy, the login (OPC 10000-4, 6.1 and 7.40).

What GetEndpoints says is unauthenticated: it only brings the certificate, which has to be trusted already. Security is
what the tag map says or nothing; no answer of a server can lower it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeVar

from asyncua import ua
from asyncua.crypto.security_policies import (
    SecurityPolicy,
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
    SecurityPolicyNone,
)
from cryptography import x509

from edge_agent.config.devices import OpcUaSource
from edge_agent.errors import ConfigurationError, SourceError
from edge_agent.sources.opcua_pki import Own, Pki, application_uris, described, first_of_chain, password_of

_POLICIES: Final[dict[str, type[SecurityPolicy]]] = {
    "Basic256Sha256": SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": SecurityPolicyAes256Sha256RsaPss,
}
_ENCRYPTING: Final = frozenset(policy.URI for policy in _POLICIES.values())
"""The policies of user tokens that a password is trusted to; Basic256 and Basic128Rsa15 are broken."""
_NAMES: Final = {
    **{policy.URI: name for name, policy in _POLICIES.items()},
    SecurityPolicyNone.URI: "None",
}
_ENCRYPTED: Final = ua.MessageSecurityMode.SignAndEncrypt
T = TypeVar("T")


class Security:
    """What the tag map says of one source's security, applied to what its server says."""

    def __init__(self, source: OpcUaSource, pki: Pki | None) -> None:
        """Raises ConfigurationError where certificates are needed and there is no `pki` for them."""
        if pki is None and (source.security is not None or source.user is not None):
            raise ConfigurationError(f"source {source.name}: security and logins need a folder of certificates")
        self._source = source
        self._pki = pki
        policy, _, mode = (source.security or "").partition("/")
        self._policy = _POLICIES[policy] if policy else SecurityPolicyNone
        self._mode = ua.MessageSecurityMode[mode] if mode else ua.MessageSecurityMode.None_

    @property
    def is_secured(self) -> bool:
        """Whether the channel is signed; if not, it needs neither certificates nor endpoints."""
        return self._source.security is not None

    async def password(self) -> str | None:
        """Read anew at each connect: it may have been changed meanwhile. Raises SourceError."""
        file = self._source.password_file
        return None if file is None else await self._in_thread(password_of, file)

    async def own(self) -> Own:
        """The agent's certificate. Raises SourceError."""
        return await self._in_thread(self._the_pki().own, self._source.application)

    async def channel(self, endpoints: Sequence[ua.EndpointDescription], own: Own) -> SecurityPolicy:
        """The channel's security at the endpoint of the policy and mode wanted, if its certificate is trusted.

        Raises SourceError.
        """
        endpoint = self._endpoint(endpoints)
        data = endpoint.ServerCertificate or b""
        server = await self._in_thread(self._the_pki().check, data, self._source.name, self._source.trust)
        self._check_uri(endpoint, server)
        made: SecurityPolicy = self._policy(server, own.certificate, own.key, self._mode)
        return made

    async def tokens(self, created: ua.CreateSessionResult, channel: SecurityPolicy) -> list[ua.UserTokenPolicy]:
        """The one policy that the login may be sent by, from what the (now authenticated) session says.

        A password goes encrypted for a trusted certificate, or plain through an encrypted channel, or not at all.
        Raises SourceError.
        """
        endpoint = self._endpoint(created.ServerEndpoints or [])
        if self.is_secured and channel.peer_certificate:
            self._check_uri(endpoint, first_of_chain(channel.peer_certificate))
        offered = [self._explicit(policy, endpoint) for policy in endpoint.UserIdentityTokens or []]
        if self._source.user is None:
            return self._anonymous(offered)
        named = [policy for policy in offered if policy.TokenType is ua.UserTokenType.UserName]
        if not named:
            raise self._error(f"the server takes no user and password, only {_listed(offered)}")
        encrypting = [policy for policy in named if policy.SecurityPolicyUri in _ENCRYPTING]
        if encrypting:
            if not self.is_secured:
                certificate = created.ServerCertificate or b""
                await self._in_thread(self._the_pki().check, certificate, self._source.name, self._source.trust)
            return encrypting[:1]
        plain = [policy for policy in named if policy.SecurityPolicyUri == SecurityPolicyNone.URI]
        if plain and self._mode is _ENCRYPTED:
            return plain[:1]
        raise self._error(
            "the password is not sent: the channel is not encrypted, and the server would take it unencrypted or by a "
            "broken policy; write `security: Basic256Sha256/SignAndEncrypt`"
        )

    def _anonymous(self, offered: list[ua.UserTokenPolicy]) -> list[ua.UserTokenPolicy]:
        found = [policy for policy in offered if policy.TokenType is ua.UserTokenType.Anonymous]
        if offered and not found:
            raise self._error(f"the server wants a login, by {_listed(offered)}: add `login` to the source")
        return found[:1]

    def _endpoint(self, endpoints: Sequence[ua.EndpointDescription]) -> ua.EndpointDescription:
        for endpoint in endpoints:
            is_wanted = endpoint.SecurityPolicyUri == self._policy.URI and endpoint.SecurityMode is self._mode
            if is_wanted and (endpoint.EndpointUrl or "").startswith(ua.OPC_TCP_SCHEME):
                return endpoint
        offered = sorted({_endpoint_name(endpoint) for endpoint in endpoints}) or ["nothing"]
        raise self._error(f"the server offers no {self._source.security}, but {', '.join(offered)}")

    def _check_uri(self, endpoint: ua.EndpointDescription, certificate: x509.Certificate) -> None:
        """The ApplicationUri of a server is the one in its certificate (OPC 10000-4, 6.1.3)."""
        uri = endpoint.Server.ApplicationUri
        if uri not in application_uris(certificate):
            raise self._error(
                f"the server calls itself {uri}, but its certificate ({described(certificate)}) is for "
                f"{', '.join(application_uris(certificate)) or 'no application URI'}: give it a certificate of its own"
            )

    def _explicit(self, policy: ua.UserTokenPolicy, endpoint: ua.EndpointDescription) -> ua.UserTokenPolicy:
        """An empty policy is the endpoint's (OPC 10000-4, 7.41)."""
        uri = policy.SecurityPolicyUri or endpoint.SecurityPolicyUri
        return ua.UserTokenPolicy(policy.PolicyId, policy.TokenType, SecurityPolicyUri=uri)

    def _the_pki(self) -> Pki:
        assert self._pki is not None  # noqa: S101 - __init__ refused
        return self._pki

    async def _in_thread(self, read: Callable[..., T], *arguments: object) -> T:
        try:
            return await asyncio.to_thread(read, *arguments)
        except SourceError as error:
            raise self._error(str(error)) from error

    def _error(self, why: str) -> SourceError:
        return SourceError(f"{self._source.name} ({self._source.url}): {why}")


def _listed(policies: Iterable[ua.UserTokenPolicy]) -> str:
    return ", ".join(sorted({policy.TokenType.name for policy in policies})) or "nothing"


def _endpoint_name(endpoint: ua.EndpointDescription) -> str:
    policy = _NAMES.get(endpoint.SecurityPolicyUri or "", endpoint.SecurityPolicyUri)
    return "None" if policy == "None" else f"{policy}/{endpoint.SecurityMode.name}"
