"""The platform's own credentials for object stores, if it has any.

If the environment has no credentials, clients of object stores ask the cloud machine's metadata service. On other
machines that address may belong to somebody else or to nobody, so ctprune asks only on machines of that cloud.
"""

from __future__ import annotations

import configparser
import os
from pathlib import Path
from typing import Any

#: With any of these variables, the store's client finds its credentials in the environment.
_S3 = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GS = (
    "GOOGLE_SERVICE_ACCOUNT",
    "GOOGLE_SERVICE_ACCOUNT_PATH",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
)
_AZ = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_CLIENT_ID",
    "AZURE_CLIENT_ID",
    "AZURE_STORAGE_TOKEN",
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
)

#: The vendor that a machine's firmware names if it belongs to the cloud.
_VENDORS = {"s3": "Amazon EC2", "gs": "Google Compute Engine", "az": "Microsoft Corporation"}

#: How to give credentials, by scheme.
ADVICE = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS",
    "az": "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    "http": "credentials cannot be given to web servers: take an object store or DICOMweb",
    "https": "credentials cannot be given to web servers: take an object store or DICOMweb",
}


def credentials(scheme: str) -> dict[str, Any] | None:
    """Options of the store's client for this machine's credentials; None if it has none.

    An empty dict means that the client finds them by itself.
    """
    named = {"s3": _S3, "gs": _GS, "az": _AZ}.get(scheme, ())
    if any(os.environ.get(name) for name in named):
        return {}
    if scheme == "s3":
        found = _profile()
        if found:
            return found
    if scheme == "gs" and _gcloud_file().is_file():
        return {}
    return {} if _is_machine_of(scheme) else None


def _profile() -> dict[str, Any]:
    """The keys of a profile in AWS's credentials file."""
    home = Path.home() / ".aws"
    profile = os.environ.get("AWS_PROFILE", "default")
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read([os.environ.get("AWS_SHARED_CREDENTIALS_FILE", home / "credentials")], encoding="utf-8")
        section = parser[profile]
        found = {
            "access_key_id": section["aws_access_key_id"],
            "secret_access_key": section["aws_secret_access_key"],
        }
    except (configparser.Error, KeyError, UnicodeDecodeError):
        return {}
    token = section.get("aws_session_token")
    return found | ({"session_token": token} if token else {})


def _gcloud_file() -> Path:
    config = os.environ.get("CLOUDSDK_CONFIG")
    folder = Path(config) if config else Path.home() / ".config" / "gcloud"
    return folder / "application_default_credentials.json"


def _is_machine_of(scheme: str) -> bool:
    vendor = _VENDORS.get(scheme)
    if vendor is None or os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    for name in ("sys_vendor", "product_name"):
        try:
            if Path("/sys/class/dmi/id", name).read_text(encoding="ascii").strip() == vendor:
                return True
        except (OSError, UnicodeDecodeError):
            continue
    return False
