"""What network file systems say for a moment: a shim before the C library says it at will."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static int left = -1;

int open64(const char *path, int flags, ...) {
    static int (*real)(const char *, int, ...);
    va_list more;
    va_start(more, flags);
    int mode = va_arg(more, int);
    va_end(more);
    if (!real) real = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open64");
    if (left < 0) left = atoi(getenv("SHIM_TIMES"));
    if (left > 0 && strstr(path, getenv("SHIM_NAME"))) {
        left--;
        errno = atoi(getenv("SHIM_ERRNO"));
        return -1;
    }
    return real(path, flags, mode);
}
"""

PROGRAM = """
import sys, ctprune
manifest = ctprune.reduce(sys.argv[1])
print(*sorted(manifest.counts().items()), *manifest.with_status("failed")["reason"], sep="|")
"""


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    command = [compiler, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c", "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return folder / "shim.so"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "times", "is_read"),
    [
        (errno.ESTALE, 3, True),
        (errno.ESTALE, 4, False),
        (errno.ETIMEDOUT, 1, True),
        (errno.EIO, 1, True),
        (errno.EIO, 2, False),
        (errno.EACCES, 1, False),
    ],
)
def test_what_passes_is_tried_again(
    shim: Path, ct_file: Path, tmp_path: Path, code: int, times: int, is_read: bool
) -> None:
    (tmp_path / "in").mkdir()
    shutil.copy(ct_file, tmp_path / "in" / "unlucky.dcm")
    environment = os.environ | {
        "LD_PRELOAD": str(shim),
        "SHIM_NAME": "unlucky",
        "SHIM_ERRNO": str(code),
        "SHIM_TIMES": str(times),
    }
    command = [sys.executable, "-c", PROGRAM, tmp_path / "in"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert ("('kept', 1)" in done.stdout) == is_read, done.stdout
    assert (os.strerror(code) in done.stdout) != is_read
