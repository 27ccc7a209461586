"""A reduction in an object store, and its copy on this machine, on which all work is done.

    run/manifest.parquet                               written last: if it is there, all else is
    run/about-DIGEST/                                  what belongs to that manifest; DIGEST is its SHA-256
        summary.json, config.yaml, …, sha256.json      the last names the others with their SHA-256
    run/parts/claim.json                               what all shards agree on
    run/parts/shard-00003-of-00008/part-DIGEST.parquet rows, put as they are read
    run/parts/shard-00003-of-00008/read.json           the shard is read

An object store has no locks. None is needed: a part is named by its bytes and says how it was read, so two calls
of one shard, even one that was taken for dead, only publish the same thing twice. The manifest is written if there
is none, or if it is still the one that this run began with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ctprune.environment.progress import Count
from ctprune.errors import ManifestError, NetworkError, OutputError, SourceError
from ctprune.files.checksums import seal, sha256_of, unseal
from ctprune.manifest.remote_parts import DIGITS, EMBEDDINGS, RemoteParts
from ctprune.manifest.run_address import (
    MANIFEST_NAME,
    prefix_of,
    remove_temporary,
    said,
    speaking_of_copy,
    temporary_folder,
    writing_copy,
)
from ctprune.manifest.shards import (
    PARTS_NAME,
    READ,
    READING,
    SELECTED,
    Shard,
    check_claim,
    read_claim,
    remove_shard,
    shard_folders,
    shard_of,
    write_claim,
)

if TYPE_CHECKING:
    from ctprune.sources.prefix import Entry

_SUMS, _AGREED = "sha256.json", f"{PARTS_NAME}/claim.json"

#: Tries to fetch a run that others are publishing or removing parts of.
_TRIES = 5

_STAGES = (READING, READ, SELECTED)


class RemoteRun:
    """A reduction below an address of an object store.

    Attributes:
        name: The address, as shown.
        folder: Its copy on this machine.
        remove_copy: Removes the copy; called when nothing refers to the run any more, or when the process ends.

    Args:
        address: The run's address.
        note: Called with a sentence about something that cannot be used.

    Raises:
        ConfigError: The address is not in an object store, or has no prefix.
        MissingExtraError: The extra `cloud` is not installed.
        OutputError: No folder for temporary files can be written.
    """

    def __init__(self, address: str, note: Callable[[str], None] = lambda sentence: None) -> None:
        self._prefix = prefix_of(address)
        self.name = str(self._prefix.address)
        self.folder = temporary_folder(self.name)
        self.remove_copy = weakref.finalize(self, remove_temporary, self.folder, os.getpid())
        self._note = note
        self._root: Entry | None = None
        #: The store's version of the manifest.
        self._digest: str | None = None
        #: Whether a file that belongs to the manifest is missing or damaged.
        self._is_torn = False
        self._has_embeddings = False
        self._lock = Lock()
        #: Whether a copy was made.
        self.is_fetched = False
        #: The parts so far.
        self.parts = RemoteParts(self._prefix, self.folder, note)

    def speaking_of_it(self) -> AbstractContextManager[None]:
        """Errors of the block name the address instead of the copy."""
        return speaking_of_copy(self.folder, self.name)

    def said(self, sentence: str) -> str:
        """A sentence with the address instead of the copy."""
        return said(sentence, {self.folder: self.name})

    def fetch(
        self, *, shard: Shard | None = None, parts: bool = True, embeddings: bool = True, heals: bool = True
    ) -> None:
        """Update the copy to the present state of the run: its result and its parts.

        Args:
            shard: Copy only the parts of this shard and those of no shard; by default all.
            parts: Whether to copy parts and the stages of shards, which requires the right to list objects.
            embeddings: Whether to copy the embeddings of the result, which may be large.
            heals: Whether to accept a manifest whose files are missing or damaged, in order to publish them again.

        Raises:
            ManifestError: The run is incomplete.
            SourceError: It may not be read.
            NetworkError: The store no longer answers.
            OutputError: The copy cannot be written.
        """

        def fetch() -> None:
            self._fetch_result(embeddings=embeddings, heals=heals)
            if parts:
                self.parts.fetch(self.fetch_stages(shard), shard)

        self._again_and_again(fetch)
        self.is_fetched = True

    def fetch_embeddings(self) -> None:
        """Add the embeddings of the result, if it has any, to a copy that has none; raises as `fetch` does."""
        with self._lock:
            if self._digest is None or self._has_embeddings:
                return
            about, lacking = _about(self._digest), [""]

            def fetch() -> None:
                lacking[0] = self._fetch_about(about, inside=f"{EMBEDDINGS}/")

            self._again_and_again(fetch)
            if lacking[0]:
                shutil.rmtree(self.folder / EMBEDDINGS, ignore_errors=True)
                raise self._lacks(lacking[0])
            self._has_embeddings = True

    def _again_and_again(self, work: Callable[[], None]) -> None:
        """Copy files while other calls may publish, and remove earlier copies."""
        from ctprune.sources.failures import Refused

        for tries in range(1, _TRIES + 1):
            try:
                with writing_copy(self.name):
                    return work()
            except Refused as failure:
                if tries == _TRIES:
                    raise ManifestError(f"{self.name}: cannot be read: {failure}: rerun the command") from None

    def fetch_stages(self, mine: Shard | None = None) -> list[Entry]:
        """Update the stages of all shards in the copy, and return the objects among the parts.

        Args:
            mine: A shard for which the copy also gets the number of files.
        """
        entries = self._prefix.entries(PARTS_NAME)
        agreed = self._read_sealed(_AGREED) if any(entry.name == _AGREED for entry in entries) else None
        stages: dict[Shard, str] = {}
        for entry in entries:
            shard, stage = shard_of(entry.name.split("/")[1]), Path(entry.name).stem
            if shard is not None:
                known = stages.get(shard, READING)
                stages[shard] = max(known, stage if stage in _STAGES else READING, key=_STAGES.index)
        for shard, folder in shard_folders(self.folder).items():
            if shard not in stages:
                remove_shard(folder)
        for shard, stage in stages.items() if agreed is not None else ():
            assert agreed is not None
            done = self._read_sealed(f"{self._below(shard)}/{READ}.json") if shard == mine else None
            about = {"files": 0, "digest": ""} if done is None else done
            write_claim(shard.folder(self.folder), agreed | about | {"shard": shard.number, "stage": stage})
        return entries

    def is_joined(self) -> bool:
        """Whether another call has published a manifest since this call began."""
        now = self._prefix.entry(MANIFEST_NAME)
        return now is not None and (self._root is None or now.version != self._root.version)

    def agree(self, claim: dict[str, Any], names: tuple[str, ...]) -> None:
        """Publish what the shards of this run read, or check that it agrees with what others published.

        Raises:
            ConfigError: It disagrees.
            OutputError: It cannot be written.
        """
        if not self._prefix.create(_AGREED, seal(claim).encode()):
            other = self._read_sealed(_AGREED)
            if other is not None:
                check_claim(self.folder, Shard(other["shard"], other["of"]), other, claim, names=names)

    def end_stage(self, shard: Shard) -> None:
        """Publish the stage of a shard, as in the copy; the first call to publish a stage counts."""
        claim = read_claim(shard.folder(self.folder))
        if claim is not None and claim["stage"] != READING:
            name = f"{self._below(shard)}/{claim['stage']}.json"
            self._prefix.create(name, seal({name: claim[name] for name in ("files", "digest")}).encode())

    def saving(self, count: Count) -> Count:
        """The given counter of progress, which now also publishes new parts every few seconds."""

        def counted(done: int) -> None:
            count(done)
            self.parts.save_now_and_then()

        return counted

    def publish(self) -> None:
        """Publish the files that belong to the manifest, then the manifest, and then remove the parts.

        Raises:
            OutputError: It cannot be written, or another run has published something else in the meantime.
            NetworkError: The store no longer answers.
        """
        manifest = self.folder / MANIFEST_NAME
        digest = sha256_of(manifest)
        if digest != self._digest or self._is_torn:
            self._publish_about(digest)
            if self._root is None:
                is_put = self._prefix.create(MANIFEST_NAME, manifest)
            else:
                is_put = self._prefix.replace(MANIFEST_NAME, manifest, self._root.version)
            if not is_put and self._digest_there() != digest:
                raise OutputError(
                    f"{self.name}: another call has published a different manifest in the meantime: rerun to go "
                    "on from that one"
                )
        try:
            if self._digest is not None and self._digest != digest:
                self._prefix.remove(self._names(_about(self._digest)))
            # The claim goes last: until then, other calls find the parts together with the options that read them.
            self._prefix.remove([*(name for name in self.parts.objects() if name != _AGREED), _AGREED])
        except (NetworkError, SourceError) as failure:
            self._note(f"{self.name}: published, but what is no longer needed is still there: {failure}")

    def _publish_about(self, digest: str) -> None:
        """Publish the files that belong to a manifest; their times stay those of the first call to publish it."""
        about = _about(digest)
        if self._is_torn and digest == self._digest:
            # Without the checksums, nobody uses the other files.
            self._prefix.remove([f"{about}/{_SUMS}", *self._names(about)])
        elif self._prefix.entry(f"{about}/{_SUMS}") is not None:
            return
        sums = {}
        for file in self._results():
            name = file.relative_to(self.folder).as_posix()
            there = f"{about}/{name}"
            is_mine = self._prefix.create(there, file)
            sums[name] = sha256_of(file) if is_mine else hashlib.sha256(self._prefix.read(there)).hexdigest()
        self._prefix.create(f"{about}/{_SUMS}", seal(sums).encode())

    def _results(self) -> list[Path]:
        """The files of a finished run besides its manifest."""
        files = [file for file in self.folder.iterdir() if file.is_file() and not file.name.startswith(".")]
        embeddings = self.folder / EMBEDDINGS
        inside = embeddings.iterdir() if embeddings.is_dir() else ()
        return sorted([*(file for file in files if file.name != MANIFEST_NAME), *inside])

    def _digest_there(self) -> str | None:
        """SHA-256 of the present manifest."""
        found = self._prefix.entry(MANIFEST_NAME)
        if found is None:
            return None
        file = self.folder / f".{MANIFEST_NAME}.there"
        with writing_copy(self.name):
            self._prefix.fetch(found, file)
            return sha256_of(file)

    def _fetch_result(self, *, embeddings: bool, heals: bool) -> None:
        found = self._prefix.entry(MANIFEST_NAME)
        if found is None or (self._root is not None and found.version == self._root.version):
            return
        for file in self._results():
            file.unlink()
        self._prefix.fetch(found, self.folder / MANIFEST_NAME)
        digest = sha256_of(self.folder / MANIFEST_NAME)
        lacking = self._fetch_about(_about(digest), besides="" if embeddings else f"{EMBEDDINGS}/")
        if lacking and not heals:
            now = self._prefix.entry(MANIFEST_NAME)
            if now is None or now.version == found.version:
                raise self._lacks(lacking)
            self._fetch_result(embeddings=embeddings, heals=heals)
            return
        self._root, self._digest = found, digest
        self._is_torn, self._has_embeddings = bool(lacking), embeddings

    def _fetch_about(self, about: str, *, inside: str = "", besides: str = "") -> str:
        """Copy the files that belong to a manifest; returns a missing or damaged one's name, or an empty text.

        Objects are requested by name, since not everybody who may read them may list them.

        Args:
            about: The prefix of the files.
            inside: Only files whose names begin with this.
            besides: No files whose names begin with this.
        """
        from ctprune.sources.failures import Gone

        try:
            sums = unseal(self._prefix.read(f"{about}/{_SUMS}").decode())
        except (Gone, ValueError):
            return f"{about}/{_SUMS}"
        for name, expected in sums.items():
            if not name.startswith(inside) or (besides and name.startswith(besides)):
                continue
            entry, file = self._prefix.entry(f"{about}/{name}"), self.folder / name
            file.parent.mkdir(exist_ok=True)
            if entry is not None:
                self._prefix.fetch(entry, file)
            if entry is None or sha256_of(file) != expected:
                return f"{about}/{name}"
        return ""

    def _lacks(self, what: str) -> ManifestError:
        return ManifestError(
            f"{self.name}: {what} is missing or damaged: run 'ctprune reduce' again to publish it"
        )

    def _names(self, below: str) -> list[str]:
        return [entry.name for entry in self._prefix.entries(below)]

    def _read_sealed(self, name: str) -> dict[str, Any] | None:
        """A small object of sealed JSON; None if it is gone or damaged."""
        from ctprune.sources.failures import Refused

        try:
            return unseal(self._prefix.read(name).decode())
        except (Refused, ValueError):
            return None

    def _below(self, shard: Shard) -> str:
        return shard.folder(self.folder).relative_to(self.folder).as_posix()


def _about(digest: str) -> str:
    return f"about-{digest[:DIGITS]}"
