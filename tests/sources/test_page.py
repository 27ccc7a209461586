"""The commands of docs/remote.md run, with servers on loopback in place of those that the page names."""

from __future__ import annotations

import io
import re
import shlex
import zipfile
from pathlib import Path

import ctprune
from tests.conftest import Cli
from tests.sources.pacs import Pacs, serving

PAGE = (Path(__file__).parents[2] / "docs" / "remote.md").read_text(encoding="utf-8")

#: What stands in for the page's servers and buckets.
SERIES = "00aa4bde-4c7b-4a3a-9a6f-1e6d8f2b3c4d"
BUCKETS = re.compile(r"s3://(bucket|idc-open-data|ct-archive)/")


def commands() -> list[list[str]]:
    """The words of each command in the page's blocks; what others than ctprune do is left out."""
    blocks = re.findall(r"^```bash\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [
        shlex.split(line)[1:] for block in blocks for line in block.splitlines() if line.startswith("ctprune ")
    ]


def filled(bucket: Path, files: list[bytes]) -> None:
    """The bucket with a zip file, a series and a folder, and beside it the lists that the page names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as zipped:
        zipped.writestr("1.dcm", files[0])
    for name, content in {
        "downloads/series.zip": packed.getvalue(),
        f"{SERIES}/1.dcm": files[0],
        f"{SERIES}/2.dcm": files[1],
        "2024/1.dcm": files[1],
    }.items():
        (bucket / name).parent.mkdir(exist_ok=True)
        (bucket / name).write_bytes(content)
    (bucket.parent / "idc_manifest.s5cmd").write_text(f"cp s3://bucket/{SERIES}/* .\n")
    (bucket.parent / "series.csv").write_text(f"n,series_aws_url\n1,s3://bucket/{SERIES}/*\n")


def test_the_commands_of_the_page_run(
    bucket: Path, archive: Path, manifest: ctprune.Manifest, tmp_path: Path, cli: Cli
) -> None:
    files = [(archive / name).read_bytes() for name in manifest.kept()["path"][:2]]
    filled(bucket, files)
    pacs = Pacs({("1.2.3.4", "2.1", f"3.{number}"): content for number, content in enumerate(files)})
    shown = commands()
    assert len(shown) == 10
    with serving(pacs) as url:
        for number, words in enumerate(shown):
            # Each in a folder of its own: most of them write to the same one.
            words = [f"{word.rstrip('/')}-{number}" if word == "run/" else word for word in words]
            words = [BUCKETS.sub("s3://bucket/", word) for word in words]
            words = [re.sub(r"^dicomweb\+https?://[^/]+/dicom-web", url, word) for word in words]
            done = cli(*words)
            assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    assert any(query.get("PatientID") == ["4711"] for _, query, _ in pacs.asked)


def test_variables_of_the_page_are_those_that_are_read() -> None:
    from ctprune.sources import web_session

    code = Path(web_session.__file__).read_text(encoding="utf-8")
    for name in set(re.findall(r"CTPRUNE_\w+", PAGE)):
        assert name in code, name
