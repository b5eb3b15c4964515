"""What an error of an S3 server means for the person who set it up."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    NoCredentialsError,
)

from renku_metrics.errors import StoreError

NO_ANSWER = (EndpointConnectionError, ConnectTimeoutError, HTTPClientError)
# botocore lets through what the system says of a file or program of credentials.
S3_ERRORS = (ClientError, BotoCoreError, OSError)


def explain(error: Exception, bucket: str, address: str) -> StoreError:
    """The error in one line, with what to do."""
    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    if isinstance(error, NoCredentialsError):
        code = "NoCredentials"
    denied = "access denied; let these credentials read, write and list this bucket"
    ended = "the credentials have ended; renew them"
    elsewhere = "the bucket is in another region; set AWS_REGION to it"
    known = {
        "NoCredentials": "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
        "NoSuchBucket": f"there is no bucket {bucket}; create it, or correct the address",
        "AccessDenied": denied,
        # The answer to a HEAD request has no body that could say more.
        "403": denied,
        "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID; set one that it knows",
        "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID; set the one that does",
        "ExpiredToken": ended,
        "InvalidToken": ended,
        "RequestTimeTooSkewed": "the clocks of this machine and the server differ; set them right",
        "PermanentRedirect": elsewhere,
        "AuthorizationHeaderMalformed": elsewhere,
    }.get(code)
    if known:
        return StoreError(f"{address}: {known}")
    endpoint = "AWS_ENDPOINT_URL, or the endpoint_url of an audit log"
    if isinstance(error, NO_ANSWER):
        advice = f"start that server, or correct {endpoint}"
    else:
        advice = f"correct the address, the AWS_ variables, or {endpoint}"
    return StoreError(f"{address}: {' '.join(str(error).split())}; {advice}")
