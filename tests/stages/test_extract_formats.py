"""What `prepare` accepts, `extract` reads: codecs, channels and placeholders, from a folder to vectors."""

from pathlib import Path

import numpy as np
import pytest

from reseed.stages.audio.recipe import CropSettings, ExtractSettings, View
from reseed.stages.backbones.table import BACKBONES
from reseed.stages.extract import extract
from reseed.stages.extraction.order import ExtractOrder
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import EmbeddingStore, read_rejects
from tests.corpus import voice, write_wave
from tests.stages.audio.files import encoded, shortened_sphere, tone, with_fields, without_first_frame, written
from tests.stages.test_extract import Levels


@pytest.fixture(autouse=True)
def levels(monkeypatch):
    monkeypatch.setitem(BACKBONES, "levels", Levels)


def stored(source: Path, **settings) -> EmbeddingStore:
    """Prepare and extract a source; nothing may be rejected on the way."""
    out = source.parent / "out"
    manifest, rejects = out / "utterances.parquet", out / "rejects.parquet"
    prepare(source=source, utterances=manifest, rejects=rejects, settings=PrepareSettings(**settings))
    assert [str(reject) for reject in read_rejects(rejects)] == []
    order = ExtractOrder(
        utterances=manifest,
        sources={},
        backbone="levels",
        backbone_settings={},
        settings=ExtractSettings(views={"clean": View()}, crops=CropSettings(count=2, duration_s=0.8)),
        seed=0,
        device="cpu",
    )
    message = extract(order=order, store=out / "store", shards=2)
    assert "0 rejected" in message
    return EmbeddingStore(out / "store")


def test_every_container_and_codec_goes_all_the_way(tmp_path):
    folder = tmp_path / "data" / "s"
    folder.mkdir(parents=True)
    wave = voice(1, 0)
    narrow = voice(1, 0, rate_hz=8_000)
    wav, flac = written(wave), written(wave, format="FLAC")
    files = {
        "gsm.wav": written(narrow, 8_000, subtype="GSM610"),
        "g721.au": written(narrow, 8_000, format="AU", subtype="G721_32"),
        "nms.wav": written(narrow, 8_000, subtype="NMS_ADPCM_32"),
        "vorbis.ogg": written(wave, format="OGG", subtype="VORBIS"),
        "chained.opus": 2 * written(wave, format="OGG", subtype="OPUS"),
        "bare.mp3": without_first_frame(written(wave, format="MP3", bitrate_mode="VARIABLE")),
        "piped.wav": with_fields(wav, (4, "<I", 0x7FFFF024), (40, "<I", 0x7FFFF000)),
        "piped.flac": flac[:21] + bytes([flac[21] & 0xF0]) + bytes(4) + flac[26:],
        "shorten.sph": shortened_sphere(wave),
        "video.mkv": encoded(wave, "aac", "matroska"),
        "phone.amr": encoded(narrow, "libopencore_amrnb", "amr", 8_000, bit_rate=12_200),
        "voice.m4a": encoded(wave, "aac", "ipod"),
        "voice.wma": encoded(voice(1, 0, rate_hz=44_100), "wmav2", "asf", 44_100, bit_rate=64_000),
        "misnamed.flac": encoded(wave, "aac", "ipod"),
    }
    for name, data in files.items():
        (folder / name.replace(".", "-")).with_suffix(Path(name).suffix).write_bytes(data)
    assert stored(tmp_path / "data").header.stored == len(files)


def test_the_sides_of_a_call_have_vectors_of_their_own(tmp_path):
    wave = np.stack([tone(32_000, 8_000), 0.1 * tone(32_000, 8_000)], axis=1)
    data = write_wave(tmp_path / "data" / "call.wav", wave, 8_000, subtype="ULAW").parent
    tables = {
        "wav.scp": "call call.wav\n",
        "segments": "call-A-1 call 0.0 3.0\ncall-B-1 call 0.0 3.0\n",
        "utt2spk": "call-A-1 A\ncall-B-1 B\n",
        "reco2file_and_channel": "call-A call A\ncall-B call B\n",
    }
    for name, text in tables.items():
        (data / name).write_text(text)
    store = stored(data)
    first, second = (store.get(f"call-{side}-1", view="clean", crop=0) for side in "AB")
    assert np.all(first > 5 * second)
