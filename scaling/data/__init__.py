"""Raw formats → normalised Parquet → token features → batches."""
