"""A service that enhances embeddings by numpy alone: torch is neither needed nor loaded.

    uv pip install fastapi uvicorn                     # the extra `service`
    RESEED_MODEL=runs/mine/models/auto uvicorn --app-dir examples service:app
    curl localhost:8000/model
    curl 'localhost:8000/enhance?space=ge2e:4f1c2a9b' --data-binary @vectors.f32 --output enhanced.f32

Vectors travel as float32, little-endian, one after another (`array.astype("<f4").tobytes()`): as JSON they would take
many times as long to write and read as to enhance.
"""

import os

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response

from reseed import ModelError, VectorEnhancer

enhancer = VectorEnhancer.load(os.environ["RESEED_MODEL"])
app = FastAPI(title="Enhanced speaker embeddings")


@app.get("/model")
async def model() -> dict[str, str | int]:
    """Say what the model takes and gives."""
    return {"enhancer": enhancer.enhancer, "space": enhancer.space, "dim": enhancer.dim, "dim_out": enhancer.dim_out}


@app.post("/enhance")
async def enhance(request: Request, space: str) -> Response:
    """Return enhanced embeddings [N, K] for [N, D]; it takes microseconds, so that no thread is asked for it."""
    if space != enhancer.space:
        raise HTTPException(409, f"the model takes embeddings of {enhancer.space}, not of {space}")
    try:
        vectors = np.frombuffer(await request.body(), "<f4").reshape(-1, enhancer.dim)
        return Response(enhancer.enhance(vectors).astype("<f4").tobytes(), media_type="application/octet-stream")
    except (ModelError, ValueError) as error:  # NaN, or no whole number of vectors
        raise HTTPException(422, str(error)) from error
