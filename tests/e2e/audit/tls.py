"""uvicorn over TLS. Arguments: application, port, certificate without .crt, and `old` for TLS 1.0 and 1.1."""
import ssl
import sys

import uvicorn

app, port, certificate, *old = sys.argv[1:]
config = uvicorn.Config(app, host="127.0.0.1", port=int(port), server_header=False,
                        ssl_certfile=certificate + ".crt", ssl_keyfile=certificate + ".key")
config.load()
if old:
    config.ssl.set_ciphers("ALL:@SECLEVEL=0")
    config.ssl.minimum_version = ssl.TLSVersion.TLSv1
uvicorn.Server(config).run()
