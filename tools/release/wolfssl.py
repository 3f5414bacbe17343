# SPDX-License-Identifier: GPL-3.0-or-later
"""What the program is made of besides its own sources; for what tells of it."""

import re
from pathlib import Path


def source() -> dict[str, str]:
    """The variables of server/wolfssl/source: version, sha256 and others."""
    return dict(re.findall(r"^(\w+)=(\w[\w.]*)$", Path("server/wolfssl/source").read_text(), re.MULTILINE))
