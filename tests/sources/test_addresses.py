from __future__ import annotations

from pathlib import Path

import pytest

from ctprune.errors import ConfigError
from ctprune.sources.addresses import as_address, is_address, joined, locate, parse_address


@pytest.mark.parametrize(
    ("text", "shown", "every"),
    [
        ("s3://bucket", "s3://bucket", True),
        ("s3://bucket/", "s3://bucket", True),
        ("s3://bucket/a/b.dcm", "s3://bucket/a/b.dcm", False),
        ("S3://bucket/a/*", "s3://bucket/a/", True),
        ("gs://bucket/a b?#%20/", "gs://bucket/a b?#%20/", True),
        ("az://container/pre*", "az://container/pre", True),
        ("https://Host.org/a/b%20c%25.nii.gz", "https://host.org/a/b c%25.nii.gz", False),
        ("http://127.0.0.1:9000/a.dcm", "http://127.0.0.1:9000/a.dcm", False),
        ("dicomweb+https://pacs/dicom-web/", "dicomweb+https://pacs/dicom-web", True),
        ("dicomweb+https://pacs/dicom-web?PatientID=4711", "dicomweb+https://pacs/dicom-web", True),
        (
            "dicomweb+http://pacs:8042/studies/1.2/series/3.4",
            "dicomweb+http://pacs:8042/studies/1.2/series/3.4",
            True,
        ),
    ],
)
def test_addresses_are_taken_apart(text: str, shown: str, every: bool) -> None:
    address = parse_address(text)
    assert (str(address), address.every) == (shown, every)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("ftp://host/x", "ftp://: addresses of this kind are not read: expected s3://"),
        ("file:///data/x", "name the path without file://"),
        ("s3:///x", "expected a bucket"),
        ("s3://bucket/*/x.dcm", r"expected a \* at the end only"),
        ("https:///x", "expected a host"),
        ("https://host:port/x", "no valid host and port"),
        ("https://host/folder/", "web servers have no listing"),
        ("https://host/x.dcm?X-Amz-Signature=SECRET", "may be a secret"),
        ("https://me:SECRET@host/x.dcm", "https://host: the address holds a user or password"),
        ("s3://SECRET@bucket/x", "s3://bucket: the address holds a user or password"),
        ("dicomweb+https://me:SECRET@pacs/dicom-web", "credentials come from the environment"),
    ],
)
def test_addresses_that_cannot_be_read_are_refused_without_their_secrets(text: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        parse_address(text)
    assert "SECRET" not in str(refused.value)


def test_a_query_is_never_shown() -> None:
    address = parse_address("dicomweb+https://pacs/dicom-web?PatientID=4711&PatientName=Doe^Jane")
    assert dict(address.query) == {"PatientID": "4711", "PatientName": "Doe^Jane"}
    assert "4711" not in f"{address}{address!r}{address.source}{address.server}"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("s3://bucket/a/", "a/b*c?.dcm"),
        ("s3://bucket/pre*", "prefix/x"),
        ("s3://bucket/x.dcm", "x.dcm"),
        ("https://host/a%20b/c%2525%3F.dcm", "a b/c%25?.dcm"),
        ("dicomweb+https://pacs/a/dicom-web", "studies/1/series/2/instances/3"),
    ],
)
def test_what_stands_in_a_manifest_opens_the_same_object_again(text: str, path: str) -> None:
    address = parse_address(text)
    assert locate(joined(address.source, address.relative(path))) == (address.server, path)


def test_only_addresses_are_addresses() -> None:
    assert as_address(Path("s3://bucket/x")) == "s3://bucket/x"
    for path in ("dicoms", "/data/x", "C:/data", "C://data", "./a://b", ""):
        assert as_address(path) is None
        assert not is_address(path)
    # Such a folder can be named as text.
    assert as_address("a:/b") is None
