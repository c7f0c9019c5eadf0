"""Lists of recordings as toolkits of this field write them: tables, JSON, lhotse's manifests, Parquet."""
