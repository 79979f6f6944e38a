"""Writes the rows of parquet files as JSON lines, for `assay import` and `--data`.

    python3 scripts/convert_parquet.py FILE.parquet… > FILE.jsonl     (needs PyPI pyarrow)
"""
import base64
import datetime
import decimal
import json
import sys

import pyarrow.parquet


def plain(value):
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    return value.isoformat() if isinstance(value, (datetime.date, datetime.datetime)) else str(value)


for path in sys.argv[1:]:
    for batch in pyarrow.parquet.ParquetFile(path).iter_batches(1000):
        for row in batch.to_pylist():
            print(json.dumps(row, ensure_ascii=False, default=plain))
