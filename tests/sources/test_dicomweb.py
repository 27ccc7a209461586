"""DICOMweb, by Orthanc and by a server that does what Orthanc does not."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicomweb_client.api import DICOMwebClient

import ctprune
from ctprune.errors import ConfigError, NetworkError, SourceError
from ctprune.reduction import elsewhere
from ctprune.sources import web_session
from ctprune.sources.addresses import parse_address
from ctprune.sources.connections import Connection, connect
from ctprune.sources.failures import Gone, Refused, TooLarge
from ctprune.sources.found import Found
from tests.experiments import Stages
from tests.sources.orthanc import orthanc
from tests.sources.pacs import Pacs, serving

INSTANCES = {
    ("1.1", "2.1", f"3.{number}"): b"DICM\r\n--a b\r\n\x00" * 100 + str(number).encode() for number in range(25)
} | {("1.2", "2.2", "3.100"): b"x"}


@pytest.fixture
def pacs() -> Pacs:
    return Pacs(dict(INSTANCES))


def find(text: str) -> tuple[Connection, list[Found]]:
    address = parse_address(text)
    connection = connect(address)
    return connection, [found for page in connection.find(address) for found in page]


@pytest.fixture(scope="module")
def held(archive: Path) -> dict[str, Path]:
    """The files of a phantom by instance, without the enhanced object's folder of its own."""
    files = [file for file in archive.rglob("*") if file.is_file() and file.suffix != ".csv"]
    return {str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID): file for file in files}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, held: dict[str, Path]) -> Iterator[str]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), held.values()) as url:
        yield url


def test_orthanc_gives_every_instance_as_it_was_stored(server: str, held: dict[str, Path]) -> None:
    connection, found = find(server)
    by_instance = {one.path.rpartition("/")[2]: one for one in found}
    assert by_instance.keys() == held.keys()
    for instance, (path, stamp) in by_instance.items():
        assert connection.read(path, stamp) == held[instance].read_bytes()
        assert connection.look(path) == stamp


def test_orthanc_finds_what_the_query_asks_for(server: str, held: dict[str, Path]) -> None:
    headers = [pydicom.dcmread(file, stop_before_pixels=True) for file in held.values()]
    patient = headers[0].PatientID
    of_patient = [one for one in headers if one.PatientID == patient]
    study, series = of_patient[0].StudyInstanceUID, of_patient[0].SeriesInstanceUID
    of_series = [one for one in headers if one.SeriesInstanceUID == series]
    expected = {
        f"?PatientID={patient}": len(of_patient),
        f"?PatientID={patient}&Modality=CT": sum(one.Modality == "CT" for one in of_patient),
        f"?PatientID={patient[:-1]}*": sum(one.PatientID[:-1] == patient[:-1] for one in headers),
        f"?PatientID={patient[:-1]}?": sum(one.PatientID[:-1] == patient[:-1] for one in headers),
        f"?StudyInstanceUID=1.2.3,{study}": sum(one.StudyInstanceUID == study for one in headers),
        f"?00100020={patient}&SeriesInstanceUID={series}": len(of_series),
        f"/studies/{study}": sum(one.StudyInstanceUID == study for one in headers),
        f"/studies/{study}/series/{series}": len(of_series),
        f"/studies/{study}/series/{series}/instances/{of_series[0].SOPInstanceUID}": 1,
    }
    assert {query: len(find(server + query)[1]) for query in expected} == expected
    for nothing in ("?PatientID=nobody", "/studies/1.2.3"):
        with pytest.raises(SourceError, match="the server finds no instance"):
            find(server + nothing)


def test_the_reference_client_reads_the_same(server: str) -> None:
    client = DICOMwebClient(server.removeprefix("dicomweb+"))
    connection, found = find(server)
    for path, stamp in found[::7]:
        _, study, _, series, _, instance = path.split("/")
        theirs = client.retrieve_instance(study, series, instance)
        ours = pydicom.dcmread(pydicom.filebase.DicomBytesIO(connection.read(path, stamp)))
        assert ours == theirs


def test_a_server_with_users_wants_them(
    tmp_path: Path, held: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ctprune.sources import connections

    with orthanc(tmp_path, list(held.values())[:2], user="reader", password="sesame") as url:
        with pytest.raises(SourceError, match=r"credentials \(401\): set CTPRUNE_DICOMWEB_TOKEN to a token, or"):
            find(url)
        connections.forget()
        monkeypatch.setenv("CTPRUNE_DICOMWEB_PASSWORD", "reader:sesame")
        assert len(find(url)[1]) == 2


@pytest.mark.parametrize("page", [1000, 7, 1, 0])
def test_all_pages_are_read_however_a_server_cuts_them(pacs: Pacs, page: int) -> None:
    pacs.page = page
    with serving(pacs) as url:
        connection, found = find(url)
        expected = [f"studies/{study}/series/{series}/instances/{one}" for study, series, one in INSTANCES]
        assert sorted(one.path for one in found) == sorted(expected)
        assert connection.look(found[0].path) == found[0].stamp


@pytest.mark.parametrize("packed", [True, False])
def test_an_instance_comes_packed_or_alone(pacs: Pacs, packed: bool) -> None:
    pacs.packed = packed
    with serving(pacs) as url:
        connection, found = find(url)
        for path, stamp in found:
            assert connection.read(path, stamp) == INSTANCES[tuple(path.split("/")[1::2])]  # type: ignore[index]
        assert 'type="application/dicom"; transfer-syntax=*' in pacs.asked[-1][2]["Accept"]


def test_what_passes_is_tried_again_after_the_pause_that_the_server_wants(pacs: Pacs) -> None:
    with serving(pacs) as url:
        connection, found = find(url)
        pacs.fault = lambda path, before: (503, 429, "cut", "reset", 500, None)[before % 6]
        assert connection.read(*found[0]) == INSTANCES["1.1", "2.1", "3.0"]
        pacs.headers = {"Retry-After": "1"}
        pacs.fault = lambda path, before: 503 if before % 6 == 0 else None
        began = time.monotonic()
        assert connection.read(*found[0]) == INSTANCES["1.1", "2.1", "3.0"]
        assert 1 <= time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (403, "access is denied (403)"),
        (404, "the object is gone (404)"),
        (412, "the object changed while it was read (412)"),
        ("packed", "the server packs its answers, which it was asked not to do"),
        (400, "the server answered 400"),
        (302, "the server redirects to another address (302)"),
        ("cut", "the server's answer was cut short, after several attempts"),
    ],
)
def test_what_stays_is_this_instances_reason(pacs: Pacs, fault: Any, reason: str) -> None:
    with serving(pacs) as url:
        connection, found = find(url)
        pacs.fault, pacs.headers = (lambda path, before: fault), {"Location": "http://127.0.0.1:1/elsewhere"}
        with pytest.raises(Refused) as refused:
            connection.read(*found[0])
        assert str(refused.value) == reason


@pytest.mark.parametrize("packed", [True, False])
def test_an_instance_may_have_so_many_bytes(pacs: Pacs, packed: bool) -> None:
    pacs.instances["1.2", "2.2", "3.100"] = bytes(3 << 20)
    pacs.packed = packed
    with serving(pacs) as url:
        connection, [found] = find(f"{url}/studies/1.2")
        assert len(connection.read(*found, most=3 << 20)) == 3 << 20
        with pytest.raises(TooLarge, match="it has more than 2 MiB: download it"):
            connection.read(*found, most=2 << 20)


def test_a_list_may_have_so_many_bytes(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_session, "MOST_OF_PAGE", 5)
    with (
        serving(pacs) as url,
        pytest.raises(ctprune.SourceError, match="its list has more than 0 MiB: name a study or"),
    ):
        find(f"{url}/studies/1.2")


def test_large_instances_are_read_alone_or_not(
    pacs: Pacs, archive: Path, held: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, file in enumerate(list(held.values())[:12]):
        content = file.read_bytes() + (bytes(3 << 20) if number == 3 else b"")
        pacs.instances["1.2", "2.2", f"3.{number}"] = content
    with serving(pacs) as url:
        calm = ctprune.reduce(url, method="all")
        alone: list[object] = []
        monkeypatch.setattr(elsewhere, "_LARGEST_GUESS", 1 << 10)
        monkeypatch.setattr(elsewhere, "_SMALLEST_GUESS", 1 << 10)
        fetch = elsewhere.Fetching._fetch_alone
        monkeypatch.setattr(elsewhere.Fetching, "_fetch_alone", lambda *a: alone.append(a) or fetch(*a))
        assert ctprune.reduce(url, method="all") == calm
        assert len(alone) == 1
        monkeypatch.setattr(elsewhere, "_BESIDE_PIXELS", 0)
        rows = ctprune.reduce(url, method="all", max_slice_mb=2).rows.to_dicts()
    assert calm.counts()["kept"] > 0
    large = [row["path"].rpartition("/")[2] for row in rows if row["code"] == "E-TOO-LARGE"]
    assert large == ["3.3"]
    assert len(rows) == len(calm)


def test_a_server_that_is_away_ends_it() -> None:
    with pytest.raises(NetworkError, match=r":1/d: the server cannot be reached: check the network and rerun"):
        find("dicomweb+http://127.0.0.1:1/d?PatientID=4711")


def test_a_token_is_sent_to_the_server_and_nothing_of_netrc(pacs: Pacs, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    Path(os.environ["HOME"], ".netrc").write_text("machine 127.0.0.1 login me password other\n")
    with serving(pacs) as url:
        find(f"{url}/studies/1.2")
        assert all("Authorization" not in headers for *_, headers in pacs.asked)
    monkeypatch.setenv("CTPRUNE_DICOMWEB_TOKEN", "s3cr3t")
    with serving(pacs) as url:
        find(f"{url}/studies/1.2")
        assert pacs.asked[-1][2]["Authorization"] == "Bearer s3cr3t"


@pytest.mark.parametrize("name", ["CTPRUNE_DICOMWEB_TOKEN", "CTPRUNE_DICOMWEB_PASSWORD"])
def test_credentials_that_cannot_be_sent_are_refused_without_showing_them(
    pacs: Pacs, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "s3cr3t\ns3cr3t")
    with serving(pacs) as url, pytest.raises(ConfigError, match="expected") as refused:
        find(url)
    assert "s3cr3t" not in str(refused.value)


def test_no_log_names_who_was_asked_for(pacs: Pacs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("urllib3", "urllib3.connection", "urllib3.connectionpool", "dicomweb_client.web"):
        caplog.set_level(logging.DEBUG, logger=name)
    pacs.fault = lambda path, before: 503 if before == 0 else "odd"
    with serving(pacs) as url:
        find(f"{url}?PatientID=4711&Modality=CT&SOPInstanceUID=3.100")
    asked = {path.count("/"): query for path, query, _ in pacs.asked}
    assert asked[0]["PatientID"] == ["4711"]
    assert asked[2]["Modality"] == ["CT"]
    assert asked[4]["SOPInstanceUID"] == ["3.100"]
    assert "PatientID" not in asked[2] | asked[4]
    assert "4711" not in caplog.text
    # What others ask is logged as before.
    with serving(pacs) as url:
        DICOMwebClient(url.removeprefix("dicomweb+")).search_for_studies(limit=1, offset=0)
    assert {"urllib3.connection", "urllib3.connectionpool", "dicomweb_client.web"} <= {
        record.name for record in caplog.records
    }


def test_an_experiment_does_not_keep_who_was_asked_for(
    pacs: Pacs, held: dict[str, Path], write: Callable[..., Path], stages: Stages, tmp_path: Path
) -> None:
    pacs.instances = {("1.1", "2.1", name): file.read_bytes() for name, file in list(held.items())[:12]}
    with serving(pacs) as url:
        file = write(sources={"pacs": f"{url}?PatientName=Mustermann"})
        ctprune.run_experiment(file, out=tmp_path / "out")
    written = [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    assert written
    assert not [file for file in written if b"Mustermann" in file.read_bytes()]
    assert f'"{url}"' in (tmp_path / "out/experiment.json").read_text()


@pytest.mark.parametrize(
    ("resource", "sentence"),
    [
        ("/studies/x", "expected studies/UID"),
        ("?limit=3", "limit in the query: all that is found is read"),
    ],
)
def test_queries_that_cannot_be_asked_are_refused(pacs: Pacs, resource: str, sentence: str) -> None:
    with serving(pacs) as url, pytest.raises(SourceError, match=sentence):
        find(url + resource)


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (b"<html>Welcome</html>", "expected DICOM JSON, found something else: is this the address of DICOMweb"),
        (b"[" * 100_000, "expected DICOM JSON, found something else"),
        (b"\xff\xfe\x00", "expected DICOM JSON, found something else"),
        (b'"text"', "expected a list of results in DICOM JSON"),
        (b"7", "expected a list of results in DICOM JSON"),
        (b"[1, 2]", "expected a list of results in DICOM JSON"),
        (b"{}", "no valid UID"),
        (b'[{"0020000D": {"Value": null}}]', "no valid UID"),
        (b'[{"0020000D": {"Value": ["../x"]}}]', "no valid UID"),
    ],
)
def test_a_server_that_answers_something_else_is_refused(pacs: Pacs, results: bytes, sentence: str) -> None:
    pacs.results = results
    with serving(pacs) as url, pytest.raises(SourceError, match=sentence):
        find(url)


def test_uids_of_every_level_are_looked_at(pacs: Pacs) -> None:
    pacs.instances = {("1.1", "../../x", "3.1"): b""}
    with serving(pacs) as url, pytest.raises(SourceError, match="no valid UID"):
        find(url)


def test_values_come_as_they_were_given(pacs: Pacs) -> None:
    with serving(pacs) as url:
        find(
            f"{url}?PatientName=M%C3%BC*%20%26%20A?&StudyInstanceUID=1.2,1.3&StudyDescription=a%2Bb=c&AccessionNumber="
        )
    asked = pacs.asked[0][1]
    assert asked["PatientName"] == ["Mü* & A?"]
    assert asked["StudyInstanceUID"] == ["1.2,1.3"]
    assert asked["StudyDescription"] == ["a+b=c"]
    assert pacs.targets[0].endswith("StudyInstanceUID=1.2,1.3&limit=1000&offset=0")
    assert "M%C3%BC*%20%26%20A?" in pacs.targets[0]


def test_what_is_gone_later_is_gone(pacs: Pacs) -> None:
    with serving(pacs) as url:
        connection, found = find(url)
        pacs.fault = lambda path, before: 404
        with pytest.raises(Gone, match=re.escape("the object is gone (404)")):
            connection.look(found[0].path)


def test_what_a_server_may_send_about_an_instance(pacs: Pacs) -> None:
    known = {"00080018": {"Value": ["3.1"]}, "00200013": None, "00280008": "7", "00280010": {"Value": [512]}}
    pacs.results = b"\xef\xbb\xbf" + json.dumps([known]).encode()
    with serving(pacs) as url:
        assert [one.path for one in find(f"{url}/studies/1.1/series/2.1")[1]] == [
            "studies/1.1/series/2.1/instances/3.1"
        ]


def test_a_pause_that_is_no_number_is_not_taken(pacs: Pacs) -> None:
    pacs.fault, pacs.headers = (lambda path, before: 503 if before == 0 else None), {"Retry-After": "\u00b2"}
    with serving(pacs) as url:
        assert len(find(f"{url}/studies/1.2")[1]) == 1


def test_a_base_with_braces(pacs: Pacs) -> None:
    pacs.base = "/%7Btenant%7D/{/"
    with serving(pacs) as url:
        assert len(find(url)[1]) == len(INSTANCES)


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "the server has nothing there"), (400, "the server answered 400")]
)
def test_an_address_without_dicomweb_is_named(pacs: Pacs, status: int, reason: str) -> None:
    pacs.fault = lambda path, before: status
    with serving(pacs) as url, pytest.raises(SourceError, match=rf"{reason}.*: expected the address below which"):
        find(url)


def test_a_server_is_asked_by_its_name_and_port(pacs: Pacs) -> None:
    with serving(pacs) as url:
        connection, found = find(url)
        connection.read(*found[0])
    assert {headers["Host"] for *_, headers in pacs.asked} == {url.split("/")[2]}
