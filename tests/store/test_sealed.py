"""Files that carry the digest of their own bytes."""

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from reseed.store.errors import ScoringError
from reseed.store.sealed import DamagedError, check_table, parse_sealed, sealed_text, table_writer, write_table
from reseed.store.tables import TableFile

SCHEMA = pa.schema({"name": pa.string(), "score": pa.float64()})
TABLE = pa.table({"name": [f"utt-{row}" for row in range(500)], "score": [row / 7 for row in range(500)]}, SCHEMA)
SCORES = TableFile("a score file", "reseed score", ScoringError)


def test_a_table_is_an_ordinary_parquet_file_and_its_bytes_depend_on_its_content_alone(tmp_path):
    for name in ("a.parquet", "b.parquet"):
        write_table(tmp_path / name, TABLE.replace_schema_metadata({"reseed": "{}"}), compression="zstd")
    check_table(tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert pq.read_table(tmp_path / "a.parquet").equals(TABLE)
    assert pq.read_schema(tmp_path / "a.parquet").metadata == {b"reseed": b"{}"}


def test_a_table_without_rows_or_row_groups_is_sealed_too(tmp_path):
    with table_writer(tmp_path / "empty.parquet", SCHEMA):
        pass
    assert SCORES.read(tmp_path / "empty.parquet", SCHEMA).num_rows == 0
    assert b"reseed.digest" in pq.read_metadata(tmp_path / "empty.parquet").metadata


def test_every_flip_in_a_table_is_refused_or_changes_nothing_that_is_read(tmp_path):
    path, dice = tmp_path / "scores.parquet", random.Random(3)
    write_table(path, TABLE, row_group_size=200)
    sound = path.read_bytes()
    places = [*dice.sample(range(len(sound)), 200), *range(len(sound) - 160, len(sound))]
    unchanged, told = 0, []
    for place in places:
        damaged = bytearray(sound)
        damaged[place] ^= 1 << dice.randrange(8)
        path.write_bytes(damaged)
        try:
            assert SCORES.read(path, SCHEMA).equals(TABLE), f"byte {place} changed what is read"
            unchanged += 1
        except ScoringError as error:
            told.append(str(error))
    assert unchanged < 20
    assert all(str(path) in line and "`reseed score`" in line and "\n" not in line for line in told)


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_cut_table_is_refused(tmp_path, share):
    path = tmp_path / "scores.parquet"
    write_table(path, TABLE)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ScoringError, match="is not a score file|is damaged"):
        SCORES.read(path, SCHEMA)


def test_a_table_of_another_program_is_read_by_the_checksums_of_its_pages(tmp_path):
    path = tmp_path / "scores.parquet"
    pq.write_table(TABLE, path, write_page_checksum=True, compression="none", use_dictionary=False)
    assert SCORES.read(path, SCHEMA).equals(TABLE)
    data = bytearray(path.read_bytes())
    data[data.index(b"utt-250")] ^= 1
    path.write_bytes(data)
    with pytest.raises(ScoringError, match="CRC checksum"):
        SCORES.read(path, SCHEMA)


def test_a_table_that_lacks_a_column_or_is_missing_says_what_makes_one(tmp_path):
    write_table(tmp_path / "t.parquet", TABLE.select(["name"]))
    for name in ("t.parquet", "none.parquet"):
        with pytest.raises(ScoringError, match="make it with `reseed score`"):
            SCORES.read(tmp_path / name, SCHEMA)


def test_a_record_is_json_and_every_flip_in_it_is_refused_or_leaves_it_what_it_is():
    record = {"adopted": "0" * 64, "inner": {"digest": "0" * 64}, "seed": 7, "name": "ü"}
    text = sealed_text(record)
    assert {key: value for key, value in json.loads(text).items() if key != "digest"} == record
    assert parse_sealed(text) == record
    for place in range(len(text)):
        damaged = f"{text[:place]}{chr(ord(text[place]) ^ 1)}{text[place + 1 :]}"
        try:
            found = parse_sealed(damaged)
        except ValueError:
            continue
        assert set(found) - set(record), damaged  # its digest is not found: typed records refuse an unknown key


def test_a_record_without_a_digest_is_taken_as_it_is():
    assert parse_sealed('{"seed": 7}') == {"seed": 7}
    with pytest.raises(DamagedError):
        parse_sealed('{"seed": 7, "digest": "1"}')
