#!/usr/bin/env python3
"""Ask the container's own /healthz; exit 0 where the service answers that it makes progress.

Only the standard library, since this runs every few seconds. The port is that of DHPE_HTTP_PORT: where a config file
sets another one, name it in the environment too.
"""

import os
import ssl
import sys
import urllib.request

TIMEOUT_S = 2.0


def main() -> int:
    """Return 0 for a healthy service, else 1 with the reason on standard error."""
    port = os.environ.get("DHPE_HTTP_PORT") or "8080"
    scheme = "https" if os.environ.get("DHPE_HTTP_TLS_CERTIFICATE_FILE") else "http"
    # The certificate names the service's public host, and this question never leaves the container.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    try:
        urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}/healthz", timeout=TIMEOUT_S, context=context)  # noqa: S310
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
