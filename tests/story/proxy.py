"""The public face of the deployed shape: nginx, with `deploy/nginx.conf` as it is but for the addresses."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from benchmarks.servers import ServerProcess, accepts_connections, program

NGINX_CONF = Path(__file__).parents[2] / "deploy" / "nginx.conf"
AROUND = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
{user}
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/default.conf;
}}
"""
"""What the image has around the file that compose.yaml gives it, with files and log where a test may have them."""


def here(conf: str, ports: Mapping[str, int], *, port: int) -> str:
    """The file with the port to listen on, and with each host of compose.yaml as a port of this machine."""
    listening = conf.replace("listen 8000;", f"listen 127.0.0.1:{port};")
    return re.sub(r"(?<=[ /])([a-z-]+):8000", lambda found: f"127.0.0.1:{ports[found[1]]}", listening)


@contextmanager
def proxy(ports: Mapping[str, int], *, port: int) -> Iterator[str]:
    """A base URL on `port` in front of the services on `ports`, which are named as in compose.yaml."""
    with tempfile.TemporaryDirectory(prefix="sparks-nginx-") as name:
        folder = Path(name)
        user = "user root;" if os.geteuid() == 0 else ""  # else its workers would be somebody who cannot write here
        (folder / "nginx.conf").write_text(AROUND.format(folder=folder, user=user))
        (folder / "default.conf").write_text(here(NGINX_CONF.read_text(), ports, port=port))
        server = ServerProcess(
            command=[program("nginx"), "-p", name, "-c", str(folder / "nginx.conf")],
            directory=folder,
            is_ready=lambda: accepts_connections(port),
        )
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()
