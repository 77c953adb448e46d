"""The ceiling of checkout: FastAPI and uvicorn answering a constant.

python -m benchmarks.trivial PORT
"""

import socket
import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/v1/authorizations", status_code=201)
async def authorize() -> dict[str, str]:
    """Answer."""
    return {"status": "captured"}


def main() -> None:
    """Serve until terminated; a line says when it listens."""
    with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listening:
        sys.stdout.write('{"listening": true}\n')
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listening])


if __name__ == "__main__":
    main()
