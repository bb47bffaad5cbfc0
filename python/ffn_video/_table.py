"""Columns of equal length: what every table of this package is before pandas, polars or NumPy has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple

from ._errors import package

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars

#: Of the values of a column, any of which may be None. `[…]`: each value is a list.
_PANDAS = {"int": ("int64", "Int64"), "float": ("float64",) * 2, "bool": ("bool", "boolean"), "str": ("string",) * 2}


class Table:
    """Named columns, for `to_pandas`, `to_polars` or `to_numpy`; or as it is, where none of them is installed.

    >>> table = Run("runs/tiny").results()
    >>> table["frames"]
    [2, 3, 4]
    >>> table.to_polars().select("frames", "branch").rows()
    [(2, 2), (3, 4), (4, 4)]
    >>> table
    Table of 3 rows: run, step, frames, branch, views, clips, top1, top5, top1_percent, top5_percent, loss, pinned, left_out
    """

    def __init__(self, types: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> None:
        """`types`: `int`, `float`, `bool`, `str` or a list of one of them, `[int]`, by the name of the column."""
        self._types = dict(types)
        columns: List[List[Any]] = [[] for _ in self._types]
        for row in rows:
            for column, value in zip(columns, row):
                column.append(value)
        self._columns = dict(zip(self._types, columns))

    @property
    def columns(self) -> Tuple[str, ...]:
        """Names of the columns, in their order."""
        return tuple(self._columns)

    def __len__(self) -> int:
        return len(next(iter(self._columns.values()), []))

    def __getitem__(self, column: str) -> List[Any]:
        """The values of a column."""
        return list(self._columns[column])

    def rows(self) -> Iterator[Dict[str, Any]]:
        """Each row, by the name of the column.

        >>> [row["frames"] for row in Run("runs/tiny").results().rows()]
        [2, 3, 4]
        """
        return (dict(zip(self._columns, values)) for values in zip(*self._columns.values()))

    def __repr__(self) -> str:
        return f"Table of {len(self)} rows: {', '.join(self._columns)}"

    def to_pandas(self) -> pandas.DataFrame:
        """A frame with a column for each. Whole numbers and flags with gaps get pandas' nullable types.

        >>> Run("runs/tiny").metrics().to_pandas()["step"].tolist()[-1]
        11
        """
        pd = package("pandas", "Table.to_pandas")
        series = {name: pd.Series(values, dtype=self._pandas_type(name)) for name, values in self._columns.items()}
        frame: pandas.DataFrame = pd.DataFrame(series)
        return frame

    def to_polars(self) -> polars.DataFrame:
        """A frame with a column for each.

        >>> Run("runs/tiny").metrics().to_polars().height
        12
        """
        pl = package("polars", "Table.to_polars")
        plain = {"int": pl.Int64, "float": pl.Float64, "bool": pl.Boolean, "str": pl.String}
        types = {name: pl.List(plain[kind[1:-1]]) if kind[0] == "[" else plain[kind] for name, kind in self._types.items()}
        frame: polars.DataFrame = pl.DataFrame(self._columns, schema=types)
        return frame

    def to_numpy(self) -> Dict[str, numpy.ndarray[Any, Any]]:
        """An array for each column. Lists of one length become rows of a matrix; gaps in whole numbers make them float64.

        >>> Run("runs/tiny").predictions(4).to_numpy()["top_probabilities"].shape
        (8, 5)
        """
        np = package("numpy", "Table.to_numpy")
        return {name: self._array(np, name, values) for name, values in self._columns.items()}

    def _pandas_type(self, name: str) -> str:
        whole, with_gaps = _PANDAS.get(self._types[name], ("object", "object"))
        return with_gaps if None in self._columns[name] else whole

    def _array(self, np: Any, name: str, values: List[Any]) -> numpy.ndarray[Any, Any]:
        kind = self._types[name]
        types = {"int": np.int64, "float": np.float64, "bool": np.bool_, "str": np.str_}
        if kind[0] == "[":
            return _matrix(np, types[kind[1:-1]], values)
        has_gaps = None in values
        if has_gaps and kind in ("int", "float"):
            values = [np.nan if value is None else value for value in values]
            kind = "float"
        array: numpy.ndarray[Any, Any] = np.array(values, dtype=object if has_gaps and kind != "float" else types[kind])
        return array


def _matrix(np: Any, dtype: Any, lists: List[List[Any]]) -> numpy.ndarray[Any, Any]:
    if len({len(values) for values in lists}) <= 1:
        matrix: numpy.ndarray[Any, Any] = np.array(lists, dtype=dtype).reshape(len(lists), -1 if lists and lists[0] else 0)
        return matrix
    ragged: numpy.ndarray[Any, Any] = np.empty(len(lists), dtype=object)
    for index, values in enumerate(lists):
        ragged[index] = np.array(values, dtype=dtype)
    return ragged
