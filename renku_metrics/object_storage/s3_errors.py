"""What an error of an S3 server means for the person who set it up."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from renku_metrics.errors import StoreError

S3_ERRORS = (ClientError, BotoCoreError)


def explain(error: Exception, bucket: str, address: str) -> StoreError:
    """The error in one line, with what to do where that is known."""
    code = error.response["Error"].get("Code", "") if isinstance(error, ClientError) else ""
    if isinstance(error, NoCredentialsError):
        code = "NoCredentials"
    denied = "access denied; the credentials need to read, write and list this bucket"
    advice = {
        "NoCredentials": "no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give this machine a role",
        "NoSuchBucket": f"there is no bucket {bucket}; create it, or correct the address",
        "AccessDenied": denied,
        # The answer to a HEAD request has no body that could say more.
        "403": denied,
        "InvalidAccessKeyId": "the server does not know AWS_ACCESS_KEY_ID",
        "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY does not fit AWS_ACCESS_KEY_ID",
    }.get(code)
    return StoreError(f"{address}: {advice or ' '.join(str(error).split())}")
