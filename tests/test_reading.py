"""What is read is whole and right, or a sentence says where it is not."""

import json

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from sphreg.errors import UserError
from sphreg.reading import read_json, reading
from sphreg.tables import TEXT, Column, read_table

COLUMNS = {"key": TEXT, "angle": Column(low=0, high=180), "pixels": Column(int, 0)}


def table(folder, text):
    path = folder / "table.csv"
    path.write_text(text)
    return read_table(path, COLUMNS, ["key"])


class TestATable:
    def test_it_is_read_as_it_was_written(self, tmp_path):
        written = pd.DataFrame({"key": ["NA", "1", "nan"], "angle": [0.0, 180.0, 1e-300], "pixels": [0, 1, 2]})
        written.to_csv(tmp_path / "table.csv", index=False)
        found = read_table(tmp_path / "table.csv", COLUMNS)
        assert found["key"].tolist() == ["NA", "1", "nan"]
        np.testing.assert_array_equal(found["angle"], written["angle"])
        assert found["pixels"].dtype == np.int64

    def test_other_columns_and_their_order_do_not_matter(self, tmp_path):
        found = table(tmp_path, "pixels,other,angle,key\n3,?,2.5,x\n")
        assert found.to_dict("records") == [{"key": "x", "angle": 2.5, "pixels": 3}]

    def test_an_optional_cell_may_be_empty_and_nothing_else(self, tmp_path):
        (tmp_path / "a.csv").write_text("key,mean\nx,\ny,2\n")
        found = read_table(tmp_path / "a.csv", {"mean": Column(low=0, optional=True)})
        np.testing.assert_array_equal(found["mean"], [np.nan, 2])
        (tmp_path / "a.csv").write_text("key,mean\nx,\ny,-2\n")
        with pytest.raises(UserError, match=r"line 3: mean is -2\.0, allowed: a number of at least 0"):
            read_table(tmp_path / "a.csv", {"mean": Column(low=0, optional=True)})

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("", "is not a table, or is damaged"),
            ("key,pixels\nx,1\n", "has no column 'angle', only 'key', 'pixels'"),
            ("key,angle,pixels\nx,1,2\n,1,2\n", "line 3: key is , allowed: a text"),
            ("key,angle,pixels\nx,1,2\ny,180.5,2\n", "line 3: angle is 180.5, allowed: a number from 0 to 180"),
            ("key,angle,pixels\nx,-1,2\n", "line 2: angle is -1.0"),
            ("key,angle,pixels\nx,nan,2\n", "line 2: angle is 'nan', allowed: a number from 0 to 180"),
            ("key,angle,pixels\nx,inf,2\n", "line 2: angle is inf"),
            ("key,angle,pixels\nx,,2\n", "line 2: angle is nan"),
            ("key,angle,pixels\nx,1,2.5\n", "line 2: pixels is 2.5, allowed: a whole number of at least 0"),
            ("key,angle,pixels\nx,1\n", "line 2: pixels is nan"),
            ("key,angle,pixels\nx\n", "line 2: angle is nan"),
            ("key,angle,pixels\nx,1,2\ny,z,2\n", "line 3: angle is 'z', allowed: a number from 0 to 180"),
            ("key,angle,pixels\nx,1,2,3\n", "is not a table, or is damaged"),
            (
                "key,angle,pixels\n1,x,1,2\n2,y,1,2\n",
                "is not a table, or is damaged",
            ),
            (
                "key,angle,pixels\n0,x,1,2\n1,y,1,2\n",
                "is not a table, or is damaged",
            ),
            ("key,angle,pixels\nx,1,2\ny,1,2,3\n", "is not a table, or is damaged"),
            ("key,angle,pixels\nx,1,2\nx,3,4\n", "line 3: x is there twice"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, text, reason):
        with pytest.raises(UserError) as error:
            table(tmp_path, text)
        assert str(error.value).startswith(str(tmp_path / "table.csv")) and reason in str(error.value)
        assert "\n" not in str(error.value)

    def test_bytes_that_are_no_text(self, tmp_path):
        (tmp_path / "table.csv").write_bytes(bytes(range(128, 256)))
        with pytest.raises(UserError, match=r"table\.csv"):
            read_table(tmp_path / "table.csv", COLUMNS)


class Counts(BaseModel):
    meshes: dict[str, int]


class TestJson:
    def test_it_is_read(self, tmp_path):
        (tmp_path / "a.json").write_text(json.dumps({"meshes": {"bed": 3}}))
        assert read_json(tmp_path / "a.json", Counts).meshes == {"bed": 3}

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "Invalid JSON"),
            (b"[]", "should be an object"),
            (b"\xff", "Invalid JSON"),
            (b'{"meshes": {"bed": "x"}}', "meshes.bed: Input should be a valid integer"),
            (b"[" * 100_000, "Invalid JSON"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path, content, reason):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(UserError) as error:
            read_json(tmp_path / "a.json", Counts)
        assert str(error.value).startswith(str(tmp_path / "a.json")) and reason in str(error.value)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match=r"a\.json: it cannot be read \(No such file or directory\)"):
            read_json(tmp_path / "a.json", Counts)


class TestReading:
    def test_whatever_a_reader_trips_over(self, tmp_path):
        with (
            pytest.raises(UserError, match=r"x\.npz: it is not an archive, or is damaged \('name'\)"),
            reading(tmp_path / "x.npz", "an archive"),
        ):
            {}["name"]

    def test_what_a_user_is_told_already(self, tmp_path):
        with pytest.raises(UserError, match=r"^the reason$"), reading(tmp_path / "x", "a table"):
            raise UserError("the reason")
