"""The page on a port of this machine, which fetches nothing from anywhere else. Knows no model."""

import errno
import socket
from collections.abc import Callable

import fastapi
import gradio as gr
import uvicorn

from jaxvae.explore.markup import CSS
from jaxvae.types import InputError

FIRST, TRIED = 7860, 100
"""The port that is tried first, and how many after it."""
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"
"""What a browser may load for the page: what this server sends, and no more, whatever Gradio's own pages ask for."""


def bind(host: str, port: int | None) -> socket.socket:
    """Return a socket on a port: the one that is given (0: any that is free), or the first free one from FIRST on.

    Raises:
        InputError: it is taken or may not be had, or there is no such host.
    """
    ports = [port] if port is not None else [*range(FIRST, FIRST + TRIED), 0]
    for number in ports:
        try:
            family = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0][0]
            found = socket.socket(family, socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise InputError(f"--host={host} is no address of this machine ({error})") from None
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, number))
            found.listen()
        except OSError as error:
            found.close()
            if port is None and error.errno == errno.EADDRINUSE:
                continue
            where = f"--host={host}" if error.errno == errno.EADDRNOTAVAIL else f"--port={number}"
            raise InputError(
                f"{where} cannot be had ({error.strerror}); leave out --port for one that is free"
            ) from None
        return found
    raise InputError(f"no port of {host} is free")


class _AtHome:
    """Says with every answer that browsers are to load nothing from anywhere else."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, scope, receive, send):
        async def answer(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), (b"content-security-policy", POLICY)]
            await send(message)

        await self._app(scope, receive, answer)


def serve(page: gr.Blocks, listening: socket.socket, say: Callable[[str], None]) -> None:
    """Serve a page until Ctrl-C or a signal ends it, and say its address."""
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    app = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_AtHome)
    theme = gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
    gr.mount_gradio_app(
        app, page, path="/", server_name=host, server_port=port, footer_links=[], run_history=False, ssr_mode=False,
        mcp_server=False, pwa=False, enable_monitoring=False, theme=theme, css=CSS,
    )  # fmt: skip
    settings = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)
    say(f"http://{shown}:{port} (Ctrl-C ends it)")  # the port listens already, so whoever comes early waits
    server.run(sockets=[listening])
