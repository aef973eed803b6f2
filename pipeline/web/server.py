"""The server of the page: what answers which request, from start to end."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

from pipeline.errors import BarefacedError, Busy, ConfigError, Refused, SinkError, SourceError, TooLarge, TooSlow
from pipeline.run.report import INVENTED
from pipeline.run.work import MOST_OF_A_MOUTH, WIDEST_FEATHER_PX, Wishes
from pipeline.video.stills import labelled_png
from pipeline.web.faces import WornFaces
from pipeline.web.guard import IDLE_SECONDS, LOG, Doors, Guard, add_headers, new_token
from pipeline.web.uploads import SUFFIXES, Upload, Uploads, small_jpeg
from pipeline.web.visit import Turn, choice_of, in_words, number, parsed, receive
from pipeline.whole_file import temporary_folder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Mapping

    from pipeline.run.load import Networks
    from pipeline.settings.config import Config
    from pipeline.web.faces import Enrolls

TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}
"""The suffix of a file of the page to its media type."""

PROGRESS_SECONDS = 0.25
"""How often the page gets the progress of a file."""

CHUNK_BYTES = 1 << 20

MOST_SNAPSHOT_BYTES = 1 << 26
"""The greatest length of a picture that the page drew."""


def page_files() -> Mapping[str, tuple[str, str]]:
    """Read the files of the page, name to content and media type, so that no request touches the disk."""
    folder = resources.files("pipeline.web").joinpath("page")
    return {
        file.name: (file.read_text(encoding="utf-8"), TYPES[Path(file.name).suffix])
        for file in folder.iterdir()
        if Path(file.name).suffix in TYPES
    }


@dataclass
class Site:
    """Answers the requests of the page."""

    config: Config
    networks: Networks
    enrolls: Enrolls
    folder: Path
    """The directory of files that are being received and processed."""
    files: Mapping[str, tuple[str, str]] = field(default_factory=page_files, repr=False)

    def __post_init__(self) -> None:
        self.turn = Turn()
        self.faces = WornFaces(self.config, self.networks, self.turn, self.folder, self.enrolls)
        self.uploads = Uploads(self.folder, self.config, lambda: self.faces.networks, self.turn)
        self._visits: set[asyncio.Task[object]] = set()

    def application(self, doors: Doors, guard: Guard) -> web.Application:
        """Put all handlers together behind `doors` and `guard`."""
        application = web.Application(middlewares=[doors.check, guard.check])
        application.on_response_prepare.append(add_headers)
        application.on_shutdown.append(self._end)

        application.add_routes(
            [
                web.get("/", self.page),
                web.get("/page/{name}", self.part),
                web.get("/about", self.about),
                web.get("/live", self.live),
                web.post("/files", self.take),
                web.post("/sample", self.sample),
                web.get("/files/{id}", self.progress),
                web.delete("/files/{id}", self.drop),
                web.get("/files/{id}/result", self.result),
                web.get("/files/{id}/original", self.original),
                web.get("/files/{id}/newest", self.newest),
                web.get("/files/{id}/beside", self.beside),
                web.post("/files/{id}/again", self.again),
                web.post("/files/{id}/stop", self.stop),
                web.post("/label", self.label),
                web.get("/faces", self.known_faces),
                web.put("/faces", self.wear),
                web.post("/faces", self.learn),
                web.post("/faces/recordings", self.record),
                web.delete("/faces/recordings", self.drop_recordings),
                web.get("/faces/sheet", self.sheet),
                web.delete("/faces/{name}", self.forget),
            ]
        )
        return application

    async def page(self, _request: web.Request) -> web.Response:
        """Answer with the page."""
        return self._file("index.html")

    async def part(self, request: web.Request) -> web.Response:
        """Answer with a script or a style of the page, by a name that is looked up, never opened as a path."""
        return self._file(request.match_info["name"])

    async def about(self, _request: web.Request) -> web.Response:
        """Answer with what the page says of itself, and the ranges of what a visitor may choose."""
        serve = self.config.serve
        return web.json_response(
            {
                "engine": self.networks.description,
                "note": INVENTED,
                "suffixes": SUFFIXES,
                "upload_megabytes": serve.upload_megabytes,
                **Wishes.of(self.config).sliders,
                "widest_feather": WIDEST_FEATHER_PX,
                "takes_expression": self.networks.takes_expression,
            }
        )

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        """Process a camera for as long as the WebSocket is open."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in one
        self._visits.add(task)
        try:
            return await receive(request, config=self.config, networks=self.faces.networks, turn=self.turn)
        finally:
            self._visits.discard(task)

    async def take(self, request: web.Request) -> web.Response:
        """Take a file: its bytes are the body, its name and the visitor's choices are in the query."""
        try:
            choice = _wishes_in(request)
            chunks = request.content.iter_chunked(CHUNK_BYTES)
            upload = await self.uploads.receive(request.query.get("name", ""), request.content_length, chunks, choice)
        except (Refused, ConfigError, SinkError) as error:
            return _refused(error)
        return web.json_response({"id": upload.id}, status=201)

    async def sample(self, request: web.Request) -> web.Response:
        """Draw the sample and take it as a file; the visitor's choices are in the query."""
        try:
            upload = await self.uploads.draw_sample(_wishes_in(request))
        except (Refused, ConfigError) as error:
            return _refused(error)
        return web.json_response({"id": upload.id}, status=201)

    async def again(self, request: web.Request) -> web.Response:
        """Process a file anew; the body is the visitor's choice."""
        upload = self._upload(request)
        try:
            await self.uploads.draw_again(upload, choice_of(parsed(await request.text())))
        except (Refused, ConfigError) as error:
            return _refused(error)
        return web.json_response({"id": upload.id}, status=201)

    async def stop(self, request: web.Request) -> web.Response:
        """Cancel the processing of a file; a result that was there stays."""
        self.uploads.stop(self._upload(request))
        return web.Response(status=204)

    async def original(self, request: web.Request) -> web.FileResponse:
        """Answer with a file as it came."""
        return web.FileResponse(self._upload(request).source)

    async def newest(self, request: web.Request) -> web.Response:
        """Answer with a small picture of the frame that was finished last; with none where nothing is processed.

        A page may ask for it just when the file is done, which is no error.
        """
        frame = self._upload(request).newest
        if frame is None:
            return web.Response(status=204)
        coded = await asyncio.to_thread(small_jpeg, frame.planes)
        return web.Response(body=coded, content_type="image/jpeg")

    async def beside(self, request: web.Request) -> web.StreamResponse:
        """Answer with original and result side by side, which takes a while at the first time."""
        try:
            path = await self.uploads.put_beside(self._upload(request))
        except (Refused, ConfigError) as error:
            return _refused(error)
        if path is None:
            raise web.HTTPNotFound(text="There is no result.\n")
        return web.FileResponse(path)

    async def label(self, request: web.Request) -> web.Response:
        """Answer with the body, a PNG that the page drew, and with the label of what was drawn by networks."""
        body = bytearray()
        try:
            async for chunk in request.content.iter_chunked(CHUNK_BYTES):
                body += chunk
                # Counted as it comes: what a visitor says of its length is not to be trusted.
                if len(body) > MOST_SNAPSHOT_BYTES:
                    raise TooLarge("the picture is too large to be labelled")
            labelled = await asyncio.to_thread(labelled_png, bytes(body))
        except (Refused, ConfigError, SourceError) as error:
            return _refused(error)
        return web.Response(body=labelled, content_type="image/png")

    async def progress(self, request: web.Request) -> web.StreamResponse:
        """Report the progress of a file as server-sent events, until it is done."""
        upload = self._upload(request)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            status = upload.as_json()
            await response.write(f"data: {json.dumps(status)}\n\n".encode())
            if status["done"]:
                break
            await asyncio.sleep(PROGRESS_SECONDS)
        return response

    async def drop(self, request: web.Request) -> web.Response:
        """Cancel the processing of a file, and forget the file."""
        self.uploads.forget(self._upload(request))
        return web.Response(status=204)

    async def result(self, request: web.Request) -> web.FileResponse:
        """Answer with a file's result, in the ranges that players ask for."""
        path = self._upload(request).result
        if path is None:
            raise web.HTTPNotFound(text="There is no result.\n")
        return web.FileResponse(path)

    async def known_faces(self, _request: web.Request) -> web.Response:
        """Answer with the enrolled faces, and how far the one is that is being learned."""
        return web.json_response(self.faces.as_json())

    async def wear(self, request: web.Request) -> web.Response:
        """Draw with the face that is named in the query from now on; with none, by the shipped network alone."""
        return await self._faces_after(self.faces.wear(request.query.get("name") or None))

    async def forget(self, request: web.Request) -> web.Response:
        """Delete a face."""
        return await self._faces_after(self.faces.forget(request.match_info["name"]))

    async def record(self, request: web.Request) -> web.Response:
        """Take a recording to learn from: its bytes are the body, its name is in the query."""
        chunks = request.content.iter_chunked(CHUNK_BYTES)
        received = self.faces.receive(request.query.get("name", ""), request.content_length, chunks)
        return await self._faces_after(received)

    async def learn(self, request: web.Request) -> web.Response:
        """Begin to learn a face of the recordings; its name and the consent are in the query."""
        agreed = request.query.get("agreed") == "true"
        return await self._faces_after(self.faces.learn(request.query.get("name", ""), agreed=agreed))

    async def drop_recordings(self, _request: web.Request) -> web.Response:
        """Cancel what is being learned, and forget the recordings."""
        return await self._faces_after(self.faces.drop())

    async def sheet(self, _request: web.Request) -> web.FileResponse:
        """Answer with the picture of the face that was learned last."""
        if not self.faces.enrolment.sheet.exists():
            raise web.HTTPNotFound(text="There is no sheet.\n")
        return web.FileResponse(self.faces.enrolment.sheet)

    async def _faces_after(self, change: Awaitable[None]) -> web.Response:
        """Do what was asked for, and answer with the faces as they are then."""
        try:
            await change
        except BarefacedError as error:
            return _refused(error)
        return web.json_response(self.faces.as_json())

    def _file(self, name: str) -> web.Response:
        """Answer with a file of the page. Raises 404 for an unknown name."""
        if name not in self.files:
            raise web.HTTPNotFound(text="There is no such page.\n")
        text, kind = self.files[name]
        return web.Response(text=text, content_type=kind)

    def _upload(self, request: web.Request) -> Upload:
        """Find the file that a request is about. Raises 404 for one that is not here."""
        found = self.uploads.find(request.match_info["id"])
        if found is None:
            raise web.HTTPNotFound(text="That file is not here any more.\n")
        return found

    async def _end(self, _application: web.Application) -> None:
        """End every camera and every file."""
        for task in self._visits:
            task.cancel()
        await self.uploads.end()
        await self.faces.end()


def _refused(error: Exception) -> web.Response:
    """Answer with the reason of a refusal."""
    statuses: dict[type[Exception], int] = {Busy: 409, TooLarge: 413, TooSlow: 408, SinkError: 507}
    return web.json_response({"message": in_words(error)}, status=statuses.get(type(error), 400))


def _wishes_in(request: web.Request) -> Wishes:
    """Read what was chosen for a new file from the query. Raises `ConfigError`."""
    return Wishes(
        smoothing=_number_in(request, "smoothing", highest=1),
        feather_px=_number_in(request, "feather", highest=WIDEST_FEATHER_PX),
        smile=_number_in(request, "smile", lowest=-MOST_OF_A_MOUTH, highest=MOST_OF_A_MOUTH),
        mouth_open=_number_in(request, "mouth_open", lowest=-MOST_OF_A_MOUTH, highest=MOST_OF_A_MOUTH),
    )


def _number_in(request: web.Request, key: str, *, lowest: float = 0, highest: float) -> float:
    """Read a number from the query. Raises `ConfigError`."""
    text = request.query.get(key, "")
    try:
        value = float(text)
    except ValueError as error:
        raise ConfigError(f"{key} is {text!r}; it must be a number") from error
    return number(key, value, lowest=lowest, highest=highest)


@asynccontextmanager
async def serving(config: Config, networks: Networks, enrolls: Enrolls) -> AsyncIterator[Guard]:
    """Serve the page inside a `with` block, whose guard knows the link; `enrolls` learns faces.

    However the block is left, cameras and files are ended and the files that were received are removed.
    Raises `ConfigError` when nothing can listen.
    """
    serve = config.serve
    files = page_files()
    doors, guard = Doors(), Guard(serve.host, new_token() if serve.token else None, lost=files["lost.html"][0])

    with temporary_folder("barefaced-page-") as folder:
        runner = web.AppRunner(
            Site(config, networks, enrolls, folder, files).application(doors, guard),
            access_log=None,
            logger=LOG,
            auto_decompress=False,
            keepalive_timeout=IDLE_SECONDS,
            shutdown_timeout=5,
        )
        await runner.setup()
        assert runner.server is not None  # noqa: S101 - it is there once it is set up
        try:
            async with doors.listening(runner.server, serve.host, serve.port) as guard.port:
                yield guard
        finally:
            await runner.cleanup()
