# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads which wolfSSL the program is built from, for the tools that report it."""

import re
from pathlib import Path


def source() -> dict[str, str]:
    """Returns the variables in server/wolfssl/source: version, sha256 and others."""
    return dict(re.findall(r"^(\w+)=(\w[\w.]*)$", Path("server/wolfssl/source").read_text(), re.MULTILINE))
