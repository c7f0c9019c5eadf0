"""Kaldi data directories: which stretch of which file, whose speech, and what is refused with which reason."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile as sf

from reseed.stages.audio.kaldi_pipes import Piped, read_pipe
from reseed.stages.audio.manifest import Utterance, read_manifest
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ManifestError, read_rejects
from tests.corpus import write_wave
from tests.stages.audio.files import tone, written

RATE_HZ = 8_000


@pytest.fixture
def data(tmp_path: Path, monkeypatch) -> Path:
    """A folder, below the current one, with a recording of 12 s and a call of 4 s."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    write_wave(tmp_path / "data" / "r.wav", 0.1 * draw.standard_normal(12 * RATE_HZ), RATE_HZ)
    write_wave(tmp_path / "data" / "call.wav", 0.1 * draw.standard_normal((4 * RATE_HZ, 2)), RATE_HZ)
    write_wave(tmp_path / "data" / "a name.wav", 0.1 * draw.standard_normal(2 * 44_100), 44_100)
    return tmp_path / "data"


def tables(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_scp", ".scp")).write_text(text)
    return folder


def prepared(source: Path, **options) -> tuple[dict[str, Utterance], dict[str, str], str]:
    out = source.parent / "out"
    paths = {"utterances": out / "u.parquet", "rejects": out / "r.parquet"}
    message = prepare(source=source, settings=PrepareSettings(), **paths, **options)
    rejects = {reject.utterance_id: reject.reason for reject in read_rejects(paths["rejects"])}
    return {row.utterance_id: row for row in read_manifest(paths["utterances"])}, rejects, message


def stretches(rows: dict[str, Utterance]) -> dict[str, tuple[float, float]]:
    return {name: (round(row.start_s, 6), round(row.duration_s, 6)) for name, row in rows.items()}


OVERSHOOT = {  # start, end and what is left of a recording of 12 s; as extract-segments of Kaldi has it
    "0 3": 3.0,
    "10.0 12.02": 2.0,
    "9.0 12.2": 3.0,
    "9.0 12.4999": 3.0,
    "9.0 12.5": "ends at 12.00 s, before the stretch",
    "9.0 14.0": "ends at 12.00 s, before the stretch",
    "11.9 12.1": "is too short",
    "12.0 12.3": "is too short",
    "13 12.3": "no stretch of time",
    "9.0 -1": 3.0,
    "-1 3": "no stretch of time",
    "3 3": "is too short",
    "3 -2": "no stretch of time",
    "3 nan": "no stretch of time",
}


def test_segments_that_overshoot_are_cut_or_rejected_as_kaldi_does(data):
    lines = [f"u{number:02} r {stretch}\n" for number, stretch in enumerate(OVERSHOOT)]
    rows, rejects, _ = prepared(tables(data, wav_scp="r data/r.wav\n", segments="".join(lines)))
    for number, expected in enumerate(OVERSHOOT.values()):
        name = f"u{number:02}"
        if isinstance(expected, str):
            assert expected in rejects[name]
        else:
            assert rows[name].duration_s == pytest.approx(expected, abs=1e-6)


def test_a_cut_segment_is_at_least_a_tenth_of_a_second_whatever_it_is_for(data):
    lines = "u1 r 11.85 12.1\nu2 r 11.95 12.1\nu3 r 11 11.05\n"
    rows, rejects, _ = prepared(tables(data, wav_scp="r data/r.wav\n", segments=lines), kind="noise")
    assert stretches(rows) == {"u1": (11.85, 0.15), "u3": (11.0, 0.05)}
    assert "is too short: 0.050 s, at least 0.1 s are wanted" in rejects["u2"]


SPEAKERS = [
    ({"utt2spk": "a s\nb s\n"}, {"a": "s", "b": "s"}, ""),
    ({"spk2utt": "s a b\n"}, {"a": "s", "b": "s"}, ""),
    ({"spk2utt": "s\ta\nt\tb c d\n", "utt2spk": "a s\nb t\n"}, {"a": "s", "b": "t"}, ""),
    ({"spk2utt": "s b\n", "utt2spk": "a s\n"}, {"a": "s", "b": "s"}, ""),
    ({}, {"a": None, "b": None}, ""),
    ({"text": "a hello\nb\n", "utt2dur": "a 12\nb 12\n", "reco2dur": "a 1\n"}, {"a": None, "b": None}, ""),
    ({"utt2spk": "s-a s\ns-b s\n"}, {"a": None, "b": None}, "utt2spk knows 0 of 2 utterances, e.g. a is not in it"),
    ({"utt2spk": "a s\ns-b s\n"}, {"a": "s", "b": None}, "utt2spk knows 1 of 2 utterances, e.g. b is not in it"),
    ({"spk2utt": "s A B\n"}, {"a": None, "b": None}, "spk2utt knows 0 of 2 utterances, e.g. a is not in it"),
]


def test_genders_and_languages_are_those_of_spk2gender_and_utt2lang(data):
    said = {"utt2spk": "a s\nb t\n", "spk2gender": "s f\n", "utt2lang": "b fa\n"}
    prepared(tables(data, wav_scp="a data/r.wav\nb data/r.wav\n", **said))
    table = pq.read_table(data.parent / "out/u.parquet", columns=["gender", "language"])
    assert table.to_pylist() == [{"gender": "female", "language": None}, {"gender": None, "language": "fa"}]


@pytest.mark.parametrize(("files", "speakers", "word"), SPEAKERS)
def test_speakers_are_those_of_utt2spk_or_spk2utt(data, files, speakers, word):
    rows, _, message = prepared(tables(data, wav_scp="a data/r.wav\nb data/r.wav\n", **files))
    assert {name: row.speaker_id for name, row in rows.items()} == speakers
    assert word in message.splitlines()[0]
    assert ("knows" in message) == bool(word)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"utt2spk": "a s\nb s\n", "spk2utt": "s a\nt b\n"}, "spk2utt: b is of t, but elsewhere of s; correct one"),
        ({"spk2utt": "s a b\nt b\n"}, "spk2utt: b is of t, but elsewhere of s; correct one"),
        ({"spk2utt": "s a b\ns b\n"}, "spk2utt, line 2: 's' is listed twice"),
        ({"utt2spk": "a s\na t\n"}, "utt2spk, line 2: 'a' is listed twice"),
        ({"utt2spk": "a\n"}, "utt2spk, line 1: 'a' has nothing after it"),
        ({"segments": "a r 0\n"}, "segments: a is not followed by recording, start, end and, if"),
    ],
)
def test_tables_that_contradict_themselves_or_one_another_are_errors(data, files, message):
    with pytest.raises(ManifestError, match=message):
        prepared(tables(data, wav_scp="a data/r.wav\nb data/r.wav\n", **files))


@pytest.mark.parametrize("name", ["split2", "split2utt", "parts"])
def test_the_parts_of_a_split_directory_are_one_list(data, name):
    for part, ids in {"1": "ab", "2": "c", "10": "d"}.items():
        if name == "parts" or part != "10":
            lines = "".join(f"{each} r.wav\n" for each in ids)
            tables(data / name / part, wav_scp=lines, utt2spk="".join(f"{each} s{part}\n" for each in ids))
    if name == "parts":  # by another tool, so that relative paths count from it
        (data / name / "r.wav").symlink_to(data / "r.wav")
    rows, _, _ = prepared(data / name)
    found = {name: row.speaker_id for name, row in rows.items()}
    assert found == {"a": "s1", "b": "s1", "c": "s2"} | ({"d": "s10"} if name == "parts" else {})
    if name != "parts":
        rows, _, _ = prepared(data / name / "2")
        assert list(rows) == ["c"]
        (data / name / "1" / "wav.scp").unlink()
        with pytest.raises(ManifestError, match="has 1 parts with a wav.scp, not 2; split the data anew"):
            prepared(data / name)


def test_a_directory_of_features_alone_says_so(data):
    with pytest.raises(ManifestError, match="feats has feats.scp but no wav.scp: of features no sound can be had"):
        prepared(tables(data / "feats", feats_scp="a x.ark:3\n", utt2spk="a s\n"))


COMMANDS = {  # what is read of a command in wav.scp
    "sph2pipe -f wav -p -c 1 x.sph |": Piped("x.sph", 0, True),
    "/k/tools/sph2pipe_v2.5/sph2pipe -f wav -p -c2 -t 3.5:10 'a b.sph' |": Piped("a b.sph", 1, True, 3.5, 10.0),
    "sph2pipe -pf wav -t :10 a\\ b.sph|": Piped("a b.sph", None, False, 0.0, 10.0),
    "sph2pipe -f wav -t 4: x.sph 2>/dev/null |": Piped("x.sph", start_s=4.0),
    "sph2pipe -f wav -s 8000:32000 x.sph |": Piped("x.sph", None, False, 8_000, 32_000, None, True),
    "sox x.wav -r 8k -t wav - trim 0 16000s |": Piped("x.wav", None, False, 0, 16_000, 8_000, True),
    "sox x.wav -t wav - trim 8000s =9000s trim 100s |": Piped("x.wav", None, False, 8_100, 9_000, None, True),
    "sph2pipe -f wav -c 2 x.sph | sox -t wav - -r 8k -t wav - |": Piped("x.sph", 1, True, rate_hz=8_000),
    "flac -c -d -s x.flac |": Piped("x.flac"),
    "flac -dcs --totally-silent x.flac|": Piped("x.flac"),
    "flac --decode --stdout x.flac | sox - -t wav - trim 1 2 |": Piped("x.flac", start_s=1.0, end_s=3.0),
    "cat x.wav |": Piped("x.wav"),
    "sox x.flac -t wav - remix 1 |": Piped("x.flac", 0, True),
    "sox x.flac -t wav - remix 2 |": Piped("x.flac", 1, True),
    "sox x.wav --bits 16 -e signed -r 16k -c 1 -t wav - |": Piped("x.wav", None, True, rate_hz=16_000),
    "sox -G -V1 x.wav -r16000 -b16 -c1 -t wav - trim 3 =7 remix 2 |": Piped("x.wav", 1, True, 3.0, 7.0, 16_000),
    "sox x.wav -t wav - trim 0:01 2 trim 1 rate -h 44.1k dither -s |": Piped("x.wav", None, False, 2.0, 3.0, 44_100),
    "sox -t sph x.sph --type=wav - channels 1 |": Piped("x.sph", None, True),
    "ffmpeg -v 8 -i x.m4a -f wav -acodec pcm_s16le -|": Piped("x.m4a"),
    "ffmpeg -v 8 -i x.mp4 -f wav -ar 16000 -acodec pcm_s16le -|": Piped("x.mp4", rate_hz=16_000),
    "ffmpeg -nostdin -ss 00:01:02.5 -t 3 -i x.mp4 -vn -f wav -ac 1 pipe:1 |": Piped("x.mp4", None, True, 62.5, 65.5),
    "ffmpeg -ss 10 -i x.wav -ss 1 -to 5 -f wav - </dev/null |": Piped("x.wav", None, False, 11.0, 15.0),
    "ffmpeg -i x.wav -af 'pan=mono|c0=c1' -f wav - |": Piped("x.wav", 1, True),
    "ffmpeg -i x.wav -map_channel 0.0.0 -f wav - |": Piped("x.wav", 0, True),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_only_unpacks_is_read_without_a_shell(command):
    assert read_pipe(command) == COMMANDS[command]


REFUSED = {
    "sox --vol 0.5 -t wav - -t wav - |": "sox has the option --vol",
    "sox -v 0.5 x.wav -t wav - |": "sox has the option -v",
    "sox x.wav -t wav - vol 0.3 |": "sox has the effect vol 0.3, which changes the sound",
    "sox x.wav -t wav - speed 0.9 |": "sox has the effect speed 0.9, which changes the sound",
    "cat x.wav | sox -t wav - -t wav - tempo 1.1 |": "sox has the effect tempo 1.1, which changes the sound",
    "sox x.wav -t wav - remix 1,2 |": "sox has the effect remix 1,2",
    "sox x.wav -t wav - remix 1 2 |": "sox has the effect remix 1 2",
    "sox x.wav -t wav - rate 16k norm -3 |": "sox has the effect norm -3",
    "sox x.wav -t wav - trim 0 -3 |": "sox has the time -3",
    "sox x.wav -t wav - trim 1 8000s |": "sox has the time 1, which is not in samples",
    "sox x.wav -t wav - trim 1.5s 2s |": "sox has the time 1.5s",
    "sox x.wav -t wav - rate 8k trim 8000s |": "sox counts samples of another rate than the file's",
    "sph2pipe -f wav -t 1:9 x.sph | sox - -t wav - trim 8000s |": "sox cuts in samples what is cut in seconds",
    "sox -M a.wav b.wav -t wav - |": "sox has the option -M",
    "sox a.wav b.wav -t wav - |": "sox has a second file, b.wav",
    "sox -t raw -r 8000 -b 16 -e signed x.raw -t wav - |": "sox reads raw, which has no header",
    "sox -r 8000 x.wav -t wav - |": r"sox reads the file otherwise than its header says \(-r 8000\)",
    "sox x.wav -b 8 -t wav - |": "sox gives 8 bits, which changes the sound",
    "sox x.wav -e mu-law -t wav - |": "sox gives the encoding mu-law, which changes the sound",
    "sox x.wav -c 2 -t wav - |": "sox gives 2 channels",
    "sph2pipe -f wav -u x.sph |": "sph2pipe has the option -u",
    "sph2pipe -f wav -s 1.5:32000 x.sph |": "sph2pipe has the time 1.5, which is not in samples",
    "sph2pipe -f raw x.sph |": "sph2pipe gives the format raw",
    "sph2pipe -f wav -c 3 x.sph |": "sph2pipe has no channel 3",
    "sph2pipe -f wav x.sph y.wav |": "sph2pipe names x.sph, y.wav",
    "sph2pipe -f wav -c 1 x.sph | sox - -t wav - remix 2 |": "sox takes channel 1 of one",
    "flac -s x.flac |": "flac without -d and -c gives no recording",
    "ffmpeg -i x.wav -af volume=2 -f wav - |": "ffmpeg has the filter volume=2, which changes the sound",
    "ffmpeg -i x.wav -af atempo=0.9 -f wav - |": "ffmpeg has the filter atempo=0.9",
    "ffmpeg -i x.wav -acodec pcm_mulaw -f wav - |": "ffmpeg gives the codec pcm_mulaw, which changes the sound",
    "ffmpeg -f s16le -ar 8000 -i x.raw -f wav - |": "ffmpeg reads ",
    "ffmpeg -i a.wav -i b.wav -f wav - |": "ffmpeg reads other than one file",
    "ffmpeg -i x.wav y.wav |": "ffmpeg writes y.wav",
    "sox -m a.wav b.wav -t wav - |": "sox has the option -m",
    "zcat x.wav.gz |": "zcat unpacks a recording",
    "gunzip -c x.wav.gz |": "gunzip unpacks a recording",
    "bzcat x.wav.bz2 |": "bzcat is not understood",
    "wav-reverberate --shift-output=true 'sox x.wav -t wav - |' - |": "wav-reverberate is not understood",
    "touch exploded |": "touch is not understood",
    "cat x.wav; touch exploded |": "; needs a shell",
    "cat $(touch exploded) |": r"\$\( needs a shell",
    "cat `touch exploded` |": "` needs a shell",
    "cat x.wav > exploded |": "> needs a shell",
    "cat x.wav || touch exploded |": r"\|\| needs a shell",
    "cat 'x.wav |": "no closing quotation",
    "sox - -t wav - |": "sox reads from no file",
    "cat x.wav | sox y.wav -t wav - |": "sox reads y.wav, not what comes before it",
    "|": "a command is missing",
}


@pytest.mark.parametrize("command", REFUSED)
def test_any_other_command_is_refused_with_what_of_it(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=REFUSED[command]):
        read_pipe(command)
    assert not list(tmp_path.iterdir())


def test_stretches_in_samples_are_those_of_the_file(data):
    scp = {
        "a": "sph2pipe -f wav -s 8000:32000 data/r.wav |",
        "b": "sox data/r.wav -t wav - trim 80000s |",
        "c": "sox 'data/a name.wav' -r 16k -t wav - trim 22050s 44100s |",
        "d": "sox data/r.wav -t wav - trim 0 96800s |",
        "e": "sox data/r.wav -t wav - trim 0 120000s |",
    }
    folder = tables(data, wav_scp="".join(f"{key} {place}\n" for key, place in scp.items()))
    rows, rejects, _ = prepared(folder)
    assert stretches(rows) == {"a": (1.0, 3.0), "b": (10.0, 2.0), "c": (0.5, 1.0), "d": (0.0, 12.0)}
    assert "before the stretch" in rejects["e"]
    tables(data, segments="u1 a 0 -1\nu2 b 0 1\n")
    rows, rejects, _ = prepared(folder)
    assert stretches(rows) == {"u1": (1.0, 3.0)}
    assert "is cut in samples by its command, and in seconds by segments" in rejects["u2"]


def test_commands_and_segments_meet_in_the_file(data):
    scp = {
        "A": "sph2pipe -f wav -p -c 1 data/call.wav |",
        "B": "sph2pipe -f wav -p -c 2 -t 1:3.5 data/call.wav |",
        "m": "sox data/call.wav -c 1 -t wav - |",
        "n": "sox 'data/a name.wav' -r 16k -t wav - |",
        "low": "sox 'data/a name.wav' -r 8k -t wav - |",
        "same": "sox data/r.wav -r 8k -t wav - |",
        "blank": "data/a name.wav",
        "fast": "sox data/r.wav -t wav - speed 1.1 |",
        "to": "| cat > data/x.wav",
    }
    segments = {
        "A-1": "A 0 3",
        "B-1": "B 0 1",
        "B-2": "B 1 2.7",
        "B-3": "B 1 4",
        "B-4": "B 1 -1",
        "B-5": "B 0 1 1",
        "m-1": "m 0.5 4.2",
        "n-1": "n 0 1",
        "low-1": "low 0 1",
        "same-1": "same 11 12",
        "blank-1": "blank 1 2.0",
        "fast-1": "fast 0 1",
        "to-1": "to 0 1",
    }
    folder = tables(
        data,
        wav_scp="".join(f"{key} {place}\n" for key, place in scp.items()),
        segments="".join(f"{key} {place}\n" for key, place in segments.items()),
        reco2file_and_channel="A call A\nB call B\n",
    )
    rows, rejects, message = prepared(folder)
    assert "commands in wav.scp x 3" in message
    found = stretches(rows)
    assert found == {
        "A-1": (0.0, 3.0),
        "B-1": (1.0, 1.0),
        "B-2": (2.0, 1.5),
        "B-4": (2.0, 1.5),
        "m-1": (0.5, 3.5),
        "n-1": (0.0, 1.0),
        "same-1": (11.0, 1.0),
        "blank-1": (1.0, 1.0),
    }
    assert {name: row.channel for name, row in rows.items() if row.channel is not None} == {
        "A-1": 0, "B-1": 1, "B-2": 1, "B-4": 1
    }  # fmt: skip
    assert "ends at 2.50 s by its command, before 4.00 s" in rejects["B-3"]
    assert "takes channel 1 of one" in rejects["B-5"]
    assert "is brought to 8000 Hz by a command in wav.scp" in rejects["low-1"]
    assert "has the effect speed 1.1, which changes the sound; write its output to a file first" in rejects["fast-1"]
    assert "a command in wav.scp that takes one" in rejects["to-1"]


def test_recordings_in_archives_that_hold_none_are_rejects_and_a_colon_in_a_name_is_none(data):
    (data / "r.wav").rename(data / "r:12")
    (data / "feats.ark").write_bytes(b"e \0BFM \4")
    scp = "a data/x.ark:1234\nb /far/raw mfcc.1.ark:9[0:8000]\nc r:12\nd data/gone.wav\ne data/feats.ark:2\n"
    rows, rejects, _ = prepared(tables(data, wav_scp=scp))
    assert list(rows) == ["c"]
    assert "is at byte 1234 of " in rejects["a"]
    assert "x.ark, which does not exist" in rejects["a"]
    assert "takes a range of rows of /far/raw mfcc.1.ark" in rejects["b"]
    assert "does not exist" in rejects["d"]
    assert "which holds matrices or vectors at byte 2, and no sound" in rejects["e"]


def test_a_name_that_no_file_can_have_is_one_reject(data):
    rows, rejects, _ = prepared(tables(data, wav_scp=f"a data/r.wav\nb {'long' * 2_000}.wav\nc {'x' * 5_000}:12\n"))
    assert list(rows) == ["a"]
    assert set(rejects) == {"b", "c"}


def entries(folder: Path, form: str) -> tuple[dict[str, bytes], dict[str, int]]:
    """Write an archive of five recordings; returns these, and where each begins."""
    files = {f"u{n}": written(tone(8_000 + 800 * n, 8_000), 8_000, format=form.upper()) for n in range(5)}
    data, offsets = b"", {}
    for key, held in files.items():
        data += f"{key} ".encode()
        offsets[key] = len(data)
        data += held
    (folder / "x.ark").write_bytes(data)
    return files, offsets


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_recordings_in_archives_end_where_they_say_or_where_the_next_begins(data, form):
    files, offsets = entries(data, form)
    rows, rejects, _ = prepared(tables(data, wav_scp="".join(f"{key} x.ark:{at}\n" for key, at in offsets.items())))
    assert {key: row.sha256 for key, row in rows.items()} == {
        key: hashlib.sha256(held).hexdigest() for key, held in files.items()
    }
    assert not rejects


def test_of_a_part_of_a_wav_scp_recordings_of_known_length_are_read_and_others_refused(data):
    for form, read in (("wav", ["u1", "u3"]), ("flac", [])):
        _, offsets = entries(data, form)
        scp = "r r.wav\n" + "".join(f"{key} x.ark:{offsets[key]}\n" for key in ("u1", "u3"))
        rows, rejects, _ = prepared(tables(data, wav_scp=scp))
        assert sorted(rows) == ["r", *read]
        assert sorted(rejects) == [key for key in ("u1", "u3") if key not in read]
        assert all("FLAC" in reason or "joined" in reason or "frames hold" in reason for reason in rejects.values())


def test_archives_hold_containers_behind_a_word_and_waves_as_kaldi_writes_them(data):
    native = pytest.importorskip("kaldi_native_io")
    wave = (tone(8_000, 8_000) * 32_767).astype(np.int16)
    scp = ""
    with (data / "audio.ark").open("wb") as ark:
        for key, form in (("a", "FLAC"), ("b", "WAV")):
            file = io.BytesIO()
            sf.write(file, wave, 8_000, format=form, subtype="PCM_16")
            ark.write(f"{key} ".encode())
            scp += f"{key} {ark.name}:{ark.tell()}\n"
            ark.write(b"AUDIO\4" + len(file.getvalue()).to_bytes(4, "little") + file.getvalue())
    with native.WaveWriter(f"ark,scp:{data}/plain.ark,{data}/wav.scp") as writer:
        writer.write("c", native.WaveData(8_000.0, wave[None].astype(np.float32)))
    (data / "wav.scp").write_text(scp + (data / "wav.scp").read_text())
    rows, rejects, message = prepared(data)
    assert sorted(rows) == ["a", "b", "c"]
    assert not rejects
    assert "FLAC PCM_16 x 1" in message


def test_segments_and_speakers_go_with_archives(data):
    _, offsets = entries(data, "wav")
    scp = "".join(f"{key} x.ark:{at}\n" for key, at in offsets.items())
    segments = "u1-a u1 0.0 0.5\nu1-b u1 0.5 1.0\nu4-a u4 0.25 -1\n"
    rows, rejects, _ = prepared(tables(data, wav_scp=scp, segments=segments, utt2spk="u1-a s\nu1-b s\nu4-a t\n"))
    assert stretches(rows) == {"u1-a": (0.0, 0.5), "u1-b": (0.5, 0.5), "u4-a": (0.25, 1.15)}
    assert not rejects
