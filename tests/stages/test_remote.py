"""A corpus behind a store, from listing to vectors: as if its files were loose, whatever the store does on the way."""

import gzip
import json
import shutil
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from reseed.cli import main
from reseed.pipeline.loading import load_config
from reseed.pipeline.preflight import preflight
from reseed.stages.extraction.allowed import Allowed
from reseed.stages.extraction.replayer import Replayer
from reseed.stages.prepare import PrepareSettings, prepare
from reseed.store import ConfigError, EmbeddingStore, ManifestError, read_rejects
from reseed.store.url import Url
from tests.corpus import write_corpus
from tests.object_server import EITHER, answers, breaks_off, forget, needs_http, needs_s3, served, server
from tests.stages.audio.lists import test_archives
from tests.stages.test_extract import levels, run

__all__ = ["levels", "served", "server"]

VIEWS = "{views: {clean: {}, noisy: {noise: [0, 15]}}}"
REST = f"extract: {{train: {VIEWS}, evaluation: {VIEWS}}}\ntrain: {{wccn: {{}}}}\n"
SOURCES = (
    *("toy", "toy/**/*.flac", "lists/a.csv.gz", "lists/urls.jsonl", "lists/a.parquet", "lists/shards.list"),
    *("kaldi", "tars", "tars/*.tar"),
)
HOSTILE = (
    "http://169.254.169.254/latest/meta-data",
    "s3://private/a.wav",
    "s3://private/set.tar:512+99",
    "http://good.example.evil.example/a.wav",
    "http://good.example@evil.example/a.wav",
    "http://good.example/../a.wav",
    "file:///etc/passwd",
    "simplecache::http://evil.example/a.wav",
)
KINDS = ("speech", "noise", "rir")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "toy", splits=("train",), speakers=4, takes=2)


@pytest.fixture
def bucket(served, corpus):
    """A bucket that holds the corpus."""
    shutil.copytree(corpus, served.root / "bucket" / "toy")
    return served


def manifests(sources, folder, **options):
    """Prepare each kind of recordings."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for kind, source in sources.items():
        found[kind] = folder / f"{kind}.parquet"
        rejects = folder / f"{kind}.rejects.parquet"
        prepare(
            source=source, utterances=found[kind], rejects=rejects, settings=PrepareSettings(), kind=kind, **options
        )
    return found


def shards(store):
    """The bytes of all shards, by name."""
    return {path.name: path.read_bytes() for path in (store / "shards").iterdir()}


def listed(manifest, *columns):
    return pq.read_table(manifest, columns=list(columns)).to_pylist()


@pytest.mark.parametrize("protocol", EITHER)
def test_stores_are_byte_for_byte_those_of_loose_files(bucket, corpus, protocol, tmp_path):
    loose = manifests({kind: corpus / kind / "train" for kind in KINDS}, tmp_path / "loose")
    far = {kind: bucket.place(protocol, f"bucket/toy/{kind}/train") for kind in KINDS}
    remote = manifests(far, tmp_path / "remote")
    columns = ("utterance_id", "speaker_id", "sha256", "samples_sha256", "duration_s")
    assert listed(remote["speech"], *columns) == listed(loose["speech"], *columns)
    assert all(row["path"].startswith(str(far["speech"])) for row in listed(remote["speech"], "path"))
    stores = {name: tmp_path / name / "store" for name in ("loose", "remote")}
    run(loose, stores["loose"])
    forget()
    bucket.faults += [answers(503, "SlowDown"), breaks_off]
    assert "8 utterances stored, 0 rejected" in run(remote, stores["remote"])
    assert EmbeddingStore(stores["remote"]).fingerprint == EmbeddingStore(stores["loose"]).fingerprint
    assert shards(stores["remote"]) == shards(stores["loose"])


@pytest.mark.parametrize("protocol", EITHER)
def test_each_recording_is_fetched_once_to_be_hashed_and_decoded(bucket, protocol, tmp_path):
    speech = manifests({"speech": bucket.place(protocol, "bucket/toy/speech/train")}, tmp_path)
    assert len(bucket.contents()) == 8
    assert len(listed(speech["speech"], "path")) == 8


def tars(folder, files):
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number:02}.tar", "w") as tar:
            for path in files[number::2]:
                tar.add(path, f"{path.parent.name}/{path.name}")


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize("source", SOURCES)
def test_every_kind_of_source_is_read_at_its_url(served, corpus, protocol, source, tmp_path):
    root = served.root / "bucket"
    shutil.copytree(corpus / "speech" / "train" / "toy", root / "toy")
    files = sorted(root.glob("toy/*/*.flac"))

    def url(path):
        return str(served.place(protocol, str(path.relative_to(served.root))))

    (root / "lists").mkdir()
    with gzip.open(root / "lists" / "a.csv.gz", "wt") as table:
        table.write("path,speaker\n" + "".join(f"../toy/{p.parent.name}/{p.name},{p.parent.name}\n" for p in files))
    rows = [{"audio_filepath": url(path), "speaker": path.parent.name} for path in files]
    (root / "lists" / "urls.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), root / "lists" / "a.parquet")
    (root / "lists" / "shards.list").write_text("../tars/00.tar\n" + url(root / "tars" / "01.tar") + "\n")
    tars(root / "tars", files)
    (root / "kaldi").mkdir()
    (root / "kaldi" / "wav.scp").write_text("".join(f"{path.stem} {url(path)}\n" for path in files))
    (root / "kaldi" / "utt2spk").write_text("".join(f"{path.stem} {path.parent.name}\n" for path in files))
    place = Url(f"{served.place(protocol, 'bucket')}/{source}")
    speech = manifests({"speech": place}, tmp_path / "out", strict=0.0)["speech"]
    loose = manifests({"speech": corpus / "speech" / "train"}, tmp_path / "loose")["speech"]
    found, known = (sorted(listed(path, "speaker_id", "sha256"), key=str) for path in (speech, loose))
    for row in known:
        row["speaker_id"] = row["speaker_id"].removeprefix("toy/")
    assert found == sorted(known, key=str)


@needs_s3
@pytest.mark.parametrize("kind", sorted(test_archives.SOURCES.keys() - {"list of tars"}))
def test_archives_of_every_kind_are_read_at_their_urls(served, kind, tmp_path):
    (served.root / "bucket").mkdir()
    source = test_archives.SOURCES[kind](served.root / "bucket" / "made", test_archives.CORPUS)
    here, _, _ = test_archives.prepared(source, tmp_path)
    found, rejects, _ = test_archives.prepared(Url(f"s3://{source.relative_to(served.root)}"), tmp_path)
    assert (found, rejects) == (here, {})


@pytest.mark.parametrize("protocol", EITHER)
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (answers(503, "SlowDown"), "cannot be read (HTTP 503, 3 times)"),
        (answers(403, "AccessDenied"), "cannot be read (access is denied (HTTP 403); docs/datasets.md"),
        (answers(404, "NoSuchKey"), "does not exist (HTTP 404)"),
    ],
)
def test_what_cannot_be_fetched_is_a_reject_with_the_true_reason(bucket, protocol, fault, reason, tmp_path):
    place = bucket.place(protocol, "bucket/toy/speech/train/toy")
    names = [f"s{speaker}/s{speaker}-{take}" for speaker in range(4) for take in range(2)]
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"{place / name}.flac\n" for name in names))
    bucket.faults += [lambda handler: "s1-0" in handler.path and fault(handler)] * 99
    speech = manifests({"speech": tmp_path / "list.csv"}, tmp_path)
    assert len(listed(speech["speech"], "path")) == 7
    ((rejected, why),) = [
        (each.utterance_id, each.reason) for each in read_rejects(tmp_path / "speech.rejects.parquet")
    ]
    assert rejected == f"{place}/s1/s1-0"
    assert why.startswith(f"{place}/s1/s1-0.flac {reason}")


@pytest.mark.parametrize("protocol", EITHER)
def test_recordings_that_have_changed_or_gone_since_are_rejects_of_extract(bucket, protocol, tmp_path):
    sources = {kind: bucket.place(protocol, f"bucket/toy/{kind}/train") for kind in KINDS}
    found = manifests(sources, tmp_path / "manifests")
    forget()
    folder = bucket.root / "bucket/toy/speech/train/toy"
    shutil.copy(folder / "s0/s0-0.flac", folder / "s1/s1-0.flac")
    (folder / "s2/s2-0.flac").unlink()
    run(found, tmp_path / "store")
    reasons = {each.utterance_id: each.reason for each in read_rejects(tmp_path / "store" / "rejects.parquet")}
    assert reasons["toy/s1/s1-0"].endswith("has changed since it was prepared; prepare the corpus again")
    assert "s2-0.flac does not exist" in reasons["toy/s2/s2-0"]
    assert len(reasons) == 2


@needs_http
def test_of_what_a_store_names_nothing_is_fetched_but_what_was_said_to_be(bucket, tmp_path):
    sources = {kind: bucket.place("http", f"bucket/toy/{kind}/train") for kind in KINDS}
    run(manifests(sources, tmp_path / "stores" / "manifests"), tmp_path / "stores" / "store")
    (tmp_path / "config.yaml").write_text("")  # the store lies in a run: manifests in there may be read
    row = EmbeddingStore(tmp_path / "stores" / "store").rows(["utterance_id", "view"]).to_pylist()[1]
    bucket.requests.clear()
    forget()
    refused = Replayer(tmp_path / "stores" / "store", recordings=[Url("http://127.0.0.1:1/bucket")])
    with pytest.raises(ManifestError, match="not on this machine; .* --recordings http://127.0.0.1:"):
        refused.replay(row["utterance_id"], row["view"])
    assert bucket.requests == []
    named = Replayer(tmp_path / "stores" / "store", recordings=[bucket.place("http", "bucket/toy")])
    assert named.replay(row["utterance_id"], row["view"]).cosine > 0.99999


@pytest.mark.parametrize("url", HOSTILE)
def test_urls_of_a_hostile_store_are_refused(url, tmp_path):
    named = [Url("http://good.example"), Url("s3://public"), tmp_path]
    with pytest.raises(ManifestError):
        Allowed(tmp_path / "store", named).check("utterances", url)
    Allowed(tmp_path / "store", named).check("utterances", "http://good.example/a.wav")
    Allowed(tmp_path / "store", named).check("utterances", "s3://public/set.tar:512+99")


@needs_s3
def test_the_command_takes_urls_and_prints_no_credentials(bucket, tmp_path):
    (tmp_path / "run.yaml").write_text(f"name: toy\ncorpus: {{root: '{tmp_path}'}}\n{REST}")
    command = ["prepare", "--config", tmp_path / "run.yaml", "--rejects", tmp_path / "r.parquet"]

    def call(source, utterances=tmp_path / "u.parquet"):
        return CliRunner().invoke(main, [*map(str, command), "--utterances", str(utterances), "--source", source])

    done = call("s3://bucket/toy/speech/train")
    assert done.exit_code == 0, done.output
    assert "s3://bucket/toy/speech/train: 8 recordings, 4 speakers" in done.output
    for url, said in {"s3://none/x": "does not exist", "sftp://me:hidden@host/a": "with a password"}.items():
        failed = call(url)
        assert failed.exit_code in (1, 2)
        assert said in failed.output
        assert "hidden" not in failed.output
    assert "is an address; here a file" in call("x", "s3://bucket/u.parquet").output


@needs_s3
def test_a_run_lists_a_store_once_and_says_where_that_is_kept(bucket, tmp_path, capsys):
    (tmp_path / "toy.yaml").write_text(f"name: toy\ncorpus: {{root: 's3://bucket/toy', evaluation: dev}}\n{REST}")
    for kind in ("speech", "noise"):
        shutil.copytree(bucket.root / f"bucket/toy/{kind}/train", bucket.root / f"bucket/toy/{kind}/dev")
    config, folder = load_config(tmp_path / "toy.yaml"), tmp_path / "runs" / "toy"
    assert str(config.corpus.root) == "s3://bucket/toy"
    for number in range(2):
        bucket.requests.clear()
        preflight(config, folder, is_local=True)
        listings = [each for each in bucket.requests if "list-type=2" in each and "delimiter" not in each]
        assert len(listings) == (0 if number else 4)
    said = capsys.readouterr().err
    assert f"listing.parquet in {folder} say what is there: of a store nothing is listed again" in said
    assert (folder / "corpus/train/speech/listing.parquet").exists()


def test_settings_that_take_a_path_alone_refuse_a_url(tmp_path):
    (tmp_path / "toy.yaml").write_text("name: toy\nextract: {train: {recipe: seed}, evaluation: {recipe: grid}}\n")
    with pytest.raises(ConfigError, match="is an address, and this must be a file or folder of this machine"):
        load_config(tmp_path / "toy.yaml", ["corpus.prepare.speakers=s3://bucket/speakers.csv"])
    source = '{"dataset": "musan", "path": "s3://bucket/musan", "split": "all"}'
    with pytest.raises(ConfigError, match="musan is read from a folder of this machine"):
        load_config(tmp_path / "toy.yaml", [f"corpus.sources.noise/train={source}"])
