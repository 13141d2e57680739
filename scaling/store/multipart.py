"""Multipart uploads to S3 that were begun and not ended: their parts cost money until aborted.

The storage library cannot list them, so two requests are signed here by hand (AWS Signature
Version 4). Azure forgets such parts by itself after a week; GCS has a rule of the bucket for them.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import urllib.error
import urllib.request
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

from scaling.store.buckets import Bucket, asked_region, environment_region, profile_credentials
from scaling.store.files import Entry

_TIMEOUT = 30.0
# Pages of 1,000 uploads; a bucket with more is one without a rule.
_MOST_PAGES = 100


# No right to ask, or a server that does not know the question.
_REFUSALS = (400, 401, 403, 405, 501)


class _Refused(PermissionError):
    """The server does not say, or not to us."""


def unfinished_uploads(bucket: Bucket) -> list[Entry] | None:
    """Uploads below a bucket's prefix, in the order of names; an entry's tag is the upload's id.

    Their size is unknown and said to be 0. None where they cannot be listed: not S3, a server that
    does not do it, keys without the right to, or a role's, which only the storage library holds.
    OSError of one line otherwise.
    """
    keys = _keys(bucket)
    if keys is None:
        return None
    found: list[Entry] = []
    query = {"uploads": "", "prefix": f"{bucket.root}/" if bucket.root else ""}
    for _ in range(_MOST_PAGES):
        try:
            tree = ElementTree.fromstring(_ask(bucket, keys, "GET", "", query))
        except _Refused:
            return None
        for upload in tree.iter():
            if _tag(upload) == "Upload":
                told = {_tag(child): child.text or "" for child in upload}
                found.append(
                    Entry(
                        name=told["Key"].removeprefix(query["prefix"]),
                        size=0,
                        at=datetime.fromisoformat(told["Initiated"].replace("Z", "+00:00")),
                        tag=told["UploadId"],
                    )
                )
        told = {_tag(child): child.text or "" for child in tree}
        if told.get("IsTruncated") != "true":
            break
        query["key-marker"] = told["NextKeyMarker"]
        query["upload-id-marker"] = told["NextUploadIdMarker"]
    return sorted(found, key=lambda entry: (entry.name, entry.tag))


def abort_upload(bucket: Bucket, entry: Entry) -> None:
    """Abort an upload of `unfinished_uploads`; nothing happens where it is gone."""
    keys = _keys(bucket)
    if keys is None:
        raise OSError(errno.ENOTSUP, f"uploads of {bucket} cannot be aborted from here")
    key = f"{bucket.root}/{entry.name}" if bucket.root else entry.name
    try:
        _ask(bucket, keys, "DELETE", key, {"uploadId": entry.tag})
    except FileNotFoundError:
        return


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _keys(bucket: Bucket) -> dict[str, Any] | None:
    """Keys of S3 that can be seen from here: of the environment, or of a profile by boto3."""
    if bucket.scheme != "s3":
        return None
    provider = profile_credentials()
    if provider is not None:
        return dict(provider())
    key, secret = os.environ.get("AWS_ACCESS_KEY_ID"), os.environ.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    token = os.environ.get("AWS_SESSION_TOKEN")
    return {"access_key_id": key, "secret_access_key": secret, "token": token}


def _ask(
    bucket: Bucket, keys: dict[str, Any], method: str, key: str, query: dict[str, str]
) -> bytes:
    """The answer to a signed request; FileNotFoundError for 404, else OSError of one line.

    Args:
        bucket: Which bucket.
        keys: What signs.
        method: Of HTTP.
        key: Of an object; "" asks the bucket.
        query: Parameters, not quoted.
    """
    region = bucket.region or environment_region()
    if region is None and bucket.endpoint is None:
        region = asked_region(f"https://{bucket.name}.s3.amazonaws.com")
    region = region or "us-east-1"
    base = bucket.endpoint or f"https://s3.{region}.amazonaws.com"
    path = f"{urlsplit(base).path}/{quote(bucket.name)}" + (
        f"/{quote(key, safe='/~')}" if key else ""
    )
    asked = "&".join(
        f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(query.items())
    )
    host = urlsplit(base).netloc
    headers = _signed(method, host, path, asked, region=region, keys=keys)
    url = f"{urlsplit(base).scheme}://{host}{path}?{asked}"
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            return bytes(answer.read())
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise FileNotFoundError(errno.ENOENT, f"{bucket} has no such upload") from error
        if error.code in _REFUSALS:
            raise _Refused(errno.EACCES, f"{bucket} refuses it ({error.code})") from error
        raise OSError(errno.EIO, f"{bucket} answers {error.code} about its uploads") from error
    except urllib.error.URLError as error:
        raise OSError(errno.EHOSTUNREACH, f"nobody answers at {bucket}") from error


def _signed(
    method: str, host: str, path: str, query: str, *, region: str, keys: dict[str, Any]
) -> dict[str, str]:
    """Headers of a request without a body, signed (AWS Signature Version 4).

    Args:
        method: Of HTTP.
        host: With its port.
        path: Quoted.
        query: Quoted and sorted.
        region: Of the bucket.
        keys: Key, secret and token.
    """
    now = datetime.now(UTC)
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    empty = hashlib.sha256(b"").hexdigest()
    headers = {"host": host, "x-amz-content-sha256": empty, "x-amz-date": stamp}
    if keys.get("token"):
        headers["x-amz-security-token"] = keys["token"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    canonical = "\n".join([method, path, query, lines, names, empty])
    scope = f"{day}/{region}/s3/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()]
    )
    sign = f"AWS4{keys['secret_access_key']}".encode()
    for part in (day, region, "s3", "aws4_request", text):
        sign = hmac.new(sign, part.encode(), hashlib.sha256).digest()
    credential = f"{keys['access_key_id']}/{scope}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={sign.hex()}"
    )
    return {name: value for name, value in headers.items() if name != "host"}
