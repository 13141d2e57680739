"""What an object store or the network says, as an OSError of one line without secrets.

The storage library's errors are texts: a first line, the server's answer, and a debug print with
whole URLs, which may hold a signature. What is told of them here is the status, the server's own
code and message, and why there was no answer.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass

from obstore import exceptions

from scaling.store.buckets import Bucket

FAULTS = (exceptions.BaseError, FileNotFoundError, ValueError)
"""All that a call of the library raises because of what was asked or answered."""

_STATUS = re.compile(r"status code: (\d{3})|code: (\d{3})\)")
_CODE = re.compile(r"<Code>([\w.]{1,80})</Code>")
_MESSAGE = re.compile(r"<Message>([^<\n]{1,200})")
_SERVER_TIME = re.compile(r"<ServerTime>([\w:.+-]{1,40})</ServerTime>")

_NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "AccountIsDisabled")
_CLOCK = ("RequestTimeTooSkewed", "RequestExpired")
_EXPIRED = ("ExpiredToken", "TokenRefreshRequired", "InvalidToken")
_BUSY = ("SlowDown", "ServerBusy", "RequestLimitExceeded", "Throttling", "TooManyRequests")
_NO_CREDENTIALS = (
    "token request",
    "/latest/api/token",
    "/latest/meta-data/",
    "/metadata/identity/",
    "Error getting credential",
    "MissingAccessKeyId",
    "MissingSecretAccessKey",
    "MissingAccount",
    "MissingCredential",
)
_ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IncorrectEndpoint")


@dataclass(frozen=True, kw_only=True)
class Said:
    """What can be told from an error's text."""

    status: int | None
    """HTTP status; None if no answer came."""
    code: str | None
    message: str | None
    text: str
    """All of it. Never shown."""

    @property
    def is_past_end(self) -> bool:
        """Whether a range was asked for that begins at or behind the end of the file."""
        return self.status == 416 or "Wanted range starting at" in self.text

    @property
    def has_no_credentials(self) -> bool:
        """Whether the library found none, or not all."""
        return any(words in self.text for words in _NO_CREDENTIALS)

    @property
    def shown(self) -> str:
        """The server's words."""
        parts = [str(self.status or ""), self.code or "", self.message or ""]
        return ": ".join(part for part in parts if part)


def said_by(error: Exception) -> Said:
    """What an error of the library tells."""
    text = str(error)
    told = text.partition("\n\nDebug source")[0]
    status, code, message = _STATUS.search(told), _CODE.search(told), _MESSAGE.search(told)
    return Said(
        status=int(status[1] or status[2]) if status else None,
        code=code[1] if code else None,
        message=message[1].strip() if message else None,
        text=text,
    )


def is_unsettled(error: Exception) -> bool:
    """Whether a conditional write may be there or may not, so that reading has to tell.

    The condition was refused (perhaps by this very write, sent twice), writes overlapped, or no
    answer came.
    """
    if isinstance(error, exceptions.AlreadyExistsError | exceptions.PreconditionError):
        return True
    if not isinstance(error, exceptions.GenericError):
        return False
    said = said_by(error)
    if said.status is None:
        return not said.has_no_credentials
    # These were tried again by the library, until it gave up.
    return said.status in (408, 409, 412, 429) or said.status >= 500


def os_error(error: Exception, bucket: Bucket, name: str) -> OSError:
    """The OSError for what a request of a file of a bucket came to."""
    said = said_by(error)
    if said.code in _NO_BUCKET or "specified bucket does not exist" in said.text:
        return OSError(
            errno.ENXIO,
            f"there is no bucket {bucket.name!r}. Make it first, or correct the URI",
        )
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(errno.ENOENT, f"there is no file {name!r} in {bucket}")
    if said.code in _CLOCK or "date header" in (said.message or "").lower():
        at = _SERVER_TIME.search(said.text)
        return PermissionError(
            errno.EACCES,
            f"the clock of this machine is off by minutes against the store's"
            f"{f', which has {at[1]}' if at else ''}: set it ({said.shown})",
        )
    if said.has_no_credentials:
        return PermissionError(
            errno.EACCES, f"no credentials were found: set {bucket.where_credentials}"
        )
    if said.code in _EXPIRED:
        return PermissionError(errno.EACCES, f"the credentials have expired ({said.shown})")
    if isinstance(
        error, exceptions.PermissionDeniedError | exceptions.UnauthenticatedError
    ) or said.status in (401, 403):
        return PermissionError(errno.EACCES, f"access is refused ({said.shown})")
    if said.code in _ELSEWHERE or said.status in (301, 307) or "without LOCATION" in said.text:
        return OSError(
            errno.EIO,
            f"the bucket lies in another region: add ?region=… to the URI ({said.shown})",
        )
    if said.status in (429, 503) or said.code in _BUSY:
        return OSError(errno.EBUSY, f"the store asks us to slow down ({said.shown})")
    if said.status is not None:
        return OSError(errno.EIO, f"the store answers {said.shown}")
    if "kind: Timeout" in said.text or "TimedOut" in said.text:
        return TimeoutError(errno.ETIMEDOUT, f"no answer in time from {bucket}")
    if "kind: Connect" in said.text or "dns error" in said.text:
        return OSError(errno.EHOSTUNREACH, f"nobody answers at {bucket}")
    if isinstance(error, exceptions.InvalidPathError | ValueError):
        return OSError(errno.EINVAL, f"{name!r} is no name that object stores take")
    return OSError(errno.EIO, f"the connection to {bucket} broke off ({type(error).__name__})")
