"""An HTTP endpoint that takes a picture and gives it back without masks.

pip install fastapi uvicorn
uvicorn web_endpoint:app
curl --data-binary @photo.jpg -o bare.png http://127.0.0.1:8000/bare
"""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from PIL import Image, UnidentifiedImageError

import barefaced


@asynccontextmanager
async def networks(app: FastAPI) -> AsyncIterator[None]:
    """Compile the networks once, when the server starts."""
    with barefaced.Remover() as app.state.remover:
        yield


app = FastAPI(lifespan=networks)


@app.post("/bare")
async def bare(request: Request) -> Response:
    """The picture in the body as PNG, with its masks drawn over."""
    try:
        rgb = np.array(Image.open(io.BytesIO(await request.body())).convert("RGB"))
    except UnidentifiedImageError as error:
        raise HTTPException(415, "the body is no picture") from error

    # In a thread, so that the server goes on answering; requests take turns with the networks.
    drawn = await run_in_threadpool(request.app.state.remover.picture, rgb)
    out = io.BytesIO()
    Image.fromarray(drawn).save(out, "PNG")
    return Response(out.getvalue(), media_type="image/png")
