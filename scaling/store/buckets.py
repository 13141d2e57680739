"""Which bucket a URI names, and the clients that talk to it.

    s3://BUCKET/PREFIX?region=…&endpoint_override=…&scheme=…
    gs://BUCKET/PREFIX                                           also gcs://
    az://CONTAINER/PREFIX                                        account: AZURE_STORAGE_ACCOUNT_NAME
    abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX

A URI is printed, logged and handed to jobs, so it holds no secret. Credentials come from the
environment, from the role of the machine or pod, or from a profile of `~/.aws` (SSO too).
"""

from __future__ import annotations

import importlib.util
import os
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from obstore.store import AzureStore, GCSStore, S3Store

from scaling.store.files import StoreError
from scaling.store.paths import is_inside

_SCHEMES = {"s3": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfss": "az"}
_OPTIONS = {
    "s3": ("endpoint_override", "region", "scheme"),
    "gs": ("endpoint_override", "scheme"),
    "az": ("endpoint_override", "scheme"),
}
_ABFSS = re.compile(r"([a-z0-9$-]{3,63})@([a-z0-9]{3,24})\.dfs\.core\.windows\.net")
_BUCKET = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._-]{1,221}")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]{1,253}(/[A-Za-z0-9._/-]*)?")
_REGION = re.compile(r"[a-z0-9-]{2,40}")

# What says where keys or a role come from without a file of the user's.
_GIVEN = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_WHERE = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or a role",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, or a service account of the machine",
    "az": "AZURE_STORAGE_ACCOUNT_NAME with AZURE_STORAGE_ACCOUNT_KEY, or a managed identity",
}


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A prefix of a bucket."""

    scheme: str
    """`s3`, `gs` or `az`."""
    name: str
    root: str
    """Prefix of every key, without a slash at its ends; "" for the whole bucket."""
    account: str | None = None
    """Of Azure, where the URI names it."""
    region: str | None = None
    endpoint: str | None = None
    """URL of a server that is not the provider's own."""

    def __str__(self) -> str:
        """The URI as it may be printed: without its query."""
        place = f" at {self.endpoint}" if self.endpoint else ""
        return f"{self.scheme}://{self.name}{f'/{self.root}' if self.root else ''}{place}"

    @property
    def where_credentials(self) -> str:
        """What to set where there are none."""
        hint = ""
        if self.scheme == "s3" and aws_files() and importlib.util.find_spec("boto3") is None:
            hint = " (a profile of ~/.aws needs boto3: pip install boto3)"
        return _WHERE[self.scheme] + hint


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long requests are waited for, in seconds."""

    small: float = 20.0
    """One request of a small file, a listing or a look."""
    bulk: float = 600.0
    """One part of a large file."""
    first: float = 8.0
    """All tries of the first question, which finds out whether anybody is there."""
    tries: float = 240.0
    """All tries of any other request; below the life of a signature and of most credentials."""


def read_uri(uri: str) -> Bucket:
    """The bucket and prefix of a URI; StoreError, which repeats no secret, for any other."""
    given, divided, rest = uri.partition("://")
    scheme = _SCHEMES.get(given)
    place, _, query = rest.partition("?")
    known = _ABFSS.fullmatch(place.partition("/")[0]) if given == "abfss" else None
    if "@" in (query if known else rest) or "%40" in rest or place.count("@") > 1:
        raise StoreError(
            f"a store's URI ({given}://…) may hold no secret, and what stands before an @ is one:"
            " put the credentials into the environment"
        )
    options = _options(given, query, _OPTIONS.get(scheme or "", ()))
    if scheme is None or not divided:
        raise StoreError(
            f"there is no kind of store {given}://…; valid: a folder, {', '.join(_SCHEMES)}"
        )
    bucket, _, prefix = place.partition("/")
    if given == "abfss" and known is None:
        raise StoreError(
            "a store's URI abfss://… is abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PREFIX"
        )
    name, account = (known[1], known[2]) if known else (bucket, None)
    if not _BUCKET.fullmatch(name):
        raise StoreError(
            f"a store's URI {given}://{name}… names no bucket: {given}://BUCKET/PREFIX"
        )
    root = unquote(prefix.rstrip("/"))
    if "#" in place or (root and not is_inside(root)):
        raise StoreError(
            f"a store's URI {given}://{name}/… has a prefix that is none: its parts, divided by /,"
            " may not be empty, '.' or '..', nor hold a backslash, a # or a control character"
        )
    region = options.get("region")
    if region is not None and not _REGION.fullmatch(region):
        raise StoreError(f"a store's URI {given}://{name}/… has a region that is none")
    return Bucket(
        scheme=scheme,
        name=name,
        root=root,
        account=account,
        region=region,
        endpoint=_endpoint(given, options),
    )


def _options(scheme: str, query: str, valid: tuple[str, ...]) -> dict[str, str]:
    """Options of a URI's query; StoreError for one that may be a secret."""
    found = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if name not in valid or not equals or name in found:
            # What is no name may be the secret.
            shown = f"{name!r}" if equals and re.fullmatch(r"[a-z_]{1,40}", name) else "a part"
            raise StoreError(
                f"a store's URI ({scheme}://…) may hold no secret, and {shown} of its query is no"
                f" option of such stores, or there twice; valid: {', '.join(valid) or 'none'}. Put"
                " credentials into the environment"
            )
        found[name] = unquote(value)
    return found


def _endpoint(scheme: str, options: dict[str, str]) -> str | None:
    """URL of the server that a URI names; None for the provider's own."""
    protocol, server = options.get("scheme"), options.get("endpoint_override")
    if protocol not in (None, "http", "https"):
        raise StoreError(f"a store's URI ({scheme}://…) has a scheme= other than http and https")
    if server is None:
        if protocol == "http":
            raise StoreError(
                f"a store's URI ({scheme}://…) asks for http of the provider itself; scheme=http"
                " needs an endpoint_override"
            )
        return None
    given, divided, host = server.partition("://")
    if not divided:
        given, host = protocol or "https", server
    if given not in ("http", "https") or not _HOST.fullmatch(host) or protocol not in (None, given):
        raise StoreError(
            f"a store's URI ({scheme}://…) has an endpoint_override that is no http(s)://HOST:PORT,"
            " or another protocol than its scheme="
        )
    return f"{given}://{host.rstrip('/')}"


# Clients

_tried_in: list[int] = []
"""The process that used a client first. Its threads are not there after a fork."""


def check_process() -> None:
    """OSError in a process that was forked after a client had been used."""
    if not _tried_in:
        _tried_in.append(os.getpid())
    if _tried_in[0] != os.getpid():
        raise OSError(
            f"process {os.getpid()} was forked from {_tried_in[0]} after that had used an object"
            " store, whose threads do not live on: start such processes by 'spawn' or 'forkserver'"
        )


def connect(bucket: Bucket, patience: Patience, kind: str) -> Any:
    """A client of a bucket; nothing is asked yet but what region and profile it takes.

    Args:
        bucket: What it is for.
        patience: How long its requests are waited for.
        kind: `first`, `small` or `bulk`, as in `Patience`.

    PermissionError, which says what to set, where there can be no credentials.
    """
    shared: dict[str, Any] = {
        "client_options": {
            "allow_http": bool(bucket.endpoint and bucket.endpoint.startswith("http://")),
            "connect_timeout": timedelta(seconds=min(5.0, patience.small)),
            "timeout": timedelta(seconds=patience.bulk if kind == "bulk" else patience.small),
        },
        "retry_config": {
            "max_retries": 60,
            "retry_timeout": timedelta(
                seconds=patience.first if kind == "first" else patience.tries
            ),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=15),
                "base": 2,
            },
        },
    }
    if bucket.scheme == "gs":
        if bucket.endpoint is not None:
            shared["base_url"] = bucket.endpoint
        return GCSStore(bucket.name, **shared)
    if bucket.scheme == "az":
        if bucket.account is not None:
            shared["account_name"] = bucket.account
        if bucket.endpoint is not None:
            shared["endpoint"] = bucket.endpoint
        return AzureStore(bucket.name, **shared)
    provider = profile_credentials()
    region = bucket.region or environment_region() or getattr(provider, "config", {}).get("region")
    if bucket.endpoint is not None:
        shared["endpoint"] = bucket.endpoint
        shared["virtual_hosted_style_request"] = False
    elif region is None:
        region = asked_region(f"https://{bucket.name}.s3.amazonaws.com")
    if provider is not None:
        shared["credential_provider"] = provider
    return S3Store(bucket.name, region=region or "us-east-1", conditional_put="etag", **shared)


def environment_region() -> str | None:
    """The region that the environment names."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def asked_region(url: str, timeout: float = 10.0) -> str | None:
    """The region of a bucket by a HEAD of its URL, which needs no credentials; None if unsaid."""
    request = urllib.request.Request(url, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            said = answer.headers.get("x-amz-bucket-region")
    except urllib.error.HTTPError as error:
        said = error.headers.get("x-amz-bucket-region")
    except OSError:
        return None
    return str(said) if said else None


def aws_files() -> list[Path]:
    """The user's files of profiles that exist."""
    named = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
    )
    return [path for path in (Path(name).expanduser() for name in named) if path.is_file()]


def profile_credentials() -> Callable[[], Any] | None:
    """Credentials by boto3 where a profile is named, or only `~/.aws` may hold some; else None.

    None leaves it to the storage library: keys and tokens of the environment, then the role of the
    machine. PermissionError with what to do where neither can find any.
    """
    profile = os.environ.get("AWS_PROFILE")
    if not profile and any(os.environ.get(name) for name in _GIVEN):
        return None
    found = bool(profile or aws_files())
    problem = ""
    if found:
        try:
            return _of_boto3(profile)
        except ImportError:
            problem = "a profile of ~/.aws needs boto3: pip install boto3"
        except ValueError as error:
            problem = str(error)
    if profile:
        raise PermissionError(f"AWS_PROFILE={profile}: {problem}")
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        raise PermissionError(
            f"no credentials of S3 were found ({problem or 'no role may be asked for'}): set"
            f" {_WHERE['s3']}"
        )
    return None


def _of_boto3(profile: str | None) -> Callable[[], Any]:
    """The provider of a profile, None for the default one; ValueError if it gives no credentials.

    ImportError without boto3.
    """
    import boto3
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    try:
        provider = Boto3CredentialProvider(
            boto3.Session(profile_name=profile), ttl=timedelta(minutes=5)
        )
        provider()
    except BotoCoreError as error:
        raise ValueError(str(error).splitlines()[0]) from error
    return provider
